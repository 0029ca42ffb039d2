"""The loop that both stages share, on the smallest network there is."""

import csv
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from lcad_nodes.model.checkpoint import StateDict
from lcad_nodes.training.config import ConfigError, FitConfig
from lcad_nodes.training.loop import Fit, TrainingError, check_precision
from lcad_nodes.training.sheet import Row


class Line(nn.Module):
    """Learns y = 2x from one weight, with a second group as a discriminator has one."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))
        self.other = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        loss = ((self.slope - 2) * x).square().mean() + (self.other - step).square().sum()
        return loss, {"slope": self.slope.detach().clone()}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.slope]}, {"params": [self.other], "betas": (0.5, 0.9)}]

    def checkpoint(self) -> StateDict:
        return {"slope": self.slope.detach().clone(), "other": self.other.detach().clone()}


@pytest.fixture
def config(tmp_path: Path) -> FitConfig:
    return FitConfig(
        str(tmp_path / "run"),
        steps=8,
        batch=2,
        learning_rate=0.1,
        warmup=2,
        schedule="cosine",
        save_every=3,
        log_every=1,
        sample_every=0,
    )


def _batches(size: int, first: int) -> Iterator[Tensor]:
    while True:
        yield torch.arange(size * first, size * (first + 1)) / 10
        first += 1


def _run(config: FitConfig, stage: Line | None = None, size: int = 2) -> dict[str, Tensor]:
    fit = Fit(stage or Line(), config, "line", 64)
    return load_file(fit.run(lambda first: _batches(size, first), list))


def _log(config: FitConfig) -> list[list[str]]:
    lines = Path(config.directory, "line.csv").read_text().splitlines()
    return [[v for i, v in enumerate(line.split(",")) if i != 1] for line in lines]


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_training_goes_on_from_any_step_as_if_it_had_not_stopped(
    config: FitConfig, stop: int
) -> None:
    whole = _run(config)
    halved = replace(config, directory=config.directory + "-2")

    class Halted(Line):
        def forward(self, x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            if step == stop:
                raise KeyboardInterrupt
            return super().forward(x, step)

    with pytest.raises(KeyboardInterrupt):
        _run(replace(halved, save_every=1), Halted())
    resumed = _run(halved)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert _log(halved) == _log(config)


def test_what_is_saved_are_the_averaged_weights(config: FitConfig) -> None:
    stage = Line()
    fit = Fit(stage, replace(config, ema=0.9), "line", 64)
    saved = load_file(fit.run(lambda first: _batches(2, first), list))
    assert torch.equal(saved["slope"], fit.average.shadow_params[0])
    assert not torch.equal(saved["slope"], stage.slope)


@pytest.mark.parametrize(("minutes", "steps"), [(0.0, 8), (3.5, 4), (1000.0, 8)])
def test_training_stops_and_saves_when_its_minutes_are_over(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch, minutes: float, steps: int
) -> None:
    stage = Line()
    fit = Fit(stage, replace(config, minutes=minutes), "line", 64)
    monkeypatch.setattr(time, "monotonic", lambda: 60.0 * fit.progress.step)
    fit.run(lambda first: _batches(2, first), list)
    assert fit.progress.step == steps
    saved = load_file(Path(config.directory, "line.state", "model.safetensors"))
    assert torch.equal(saved["slope"], stage.slope)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        *((f"custom_checkpoint_{number}.pkl", True) for number in range(3)),
        ("optimizer.bin", True),
        ("random_states_0.pkl", False),  # accelerate goes on without what is no such thing
    ],
)
def test_a_state_that_could_run_code_is_refused(
    config: FitConfig, tmp_path: Path, name: str, refused: bool
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    _run(replace(config, steps=3))
    torch.save({"step": Evil()}, Path(config.directory, "line.state", name))
    expected = pytest.raises(TrainingError, match=f"{name} .*could run code")
    with expected if refused else nullcontext():
        _run(replace(config, steps=4))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02h\x05.", b"PK"])
def test_a_state_that_was_cut_short_is_named(config: FitConfig, content: bytes) -> None:
    _run(replace(config, steps=3))
    Path(config.directory, "line.state", "custom_checkpoint_1.pkl").write_bytes(content)
    with pytest.raises(TrainingError, match=r"custom_checkpoint_1\.pkl is cut short"):
        _run(config)


class Wider(Line):
    """Has a weight more than what was saved."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Parameter(torch.zeros(1))


class Longer(Line):
    """Its second group has a weight of another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Parameter(torch.zeros(2))


@pytest.mark.parametrize(
    ("stage", "broken", "problem"),
    [
        (Wider, "", "more"),
        (Longer, "", "other"),
        (Line, "model.safetensors", ""),
        (Line, "optimizer.bin", "No such file"),
    ],
)
def test_a_state_of_another_configuration_or_a_broken_one_is_named(
    config: FitConfig, stage: type[Line], broken: str, problem: str
) -> None:
    _run(replace(config, steps=3))
    file = Path(config.directory, "line.state", broken)
    if broken == "model.safetensors":
        file.write_bytes(file.read_bytes()[:-3])
    elif broken:
        file.unlink()
    message = rf"^\S+line\.state is broken, or of another configuration: undo .*\(.*{problem}.*\)$"
    with pytest.raises(TrainingError, match=message):
        _run(config, stage())


def test_a_gpu_that_is_full_does_not_make_a_state_a_broken_one(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    _run(replace(config, steps=3))
    monkeypatch.setattr(Accelerator, "load_state", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        _run(config)


def test_a_second_training_in_a_directory_is_refused(config: FitConfig) -> None:
    def batches(first: int) -> Iterator[Tensor]:
        with pytest.raises(ConfigError, match=r"directory = .*another training of line"):
            _run(config)
        return _batches(2, first)

    Fit(Line(), config, "line", 64).run(batches, list)
    assert _run(replace(config, steps=9))  # now it is over


def test_checkpoints_stay_that_are_to_be_kept(config: FitConfig) -> None:
    last = _run(replace(config, keep_every=4))
    folder = Path(config.directory)
    kept = {file.name: load_file(file) for file in folder.glob("line-*.safetensors")}
    assert sorted(kept) == ["line-4.safetensors", "line-8.safetensors"]
    assert torch.equal(kept["line-8.safetensors"]["slope"], last["slope"])
    assert not torch.equal(kept["line-4.safetensors"]["slope"], last["slope"])


def test_a_lower_learning_rate_holds_from_the_saved_step_on(config: FitConfig) -> None:
    even = replace(config, schedule="constant_with_warmup", ema=0.9)
    _run(replace(even, steps=4))
    fit = Fit(Line(), replace(even, steps=5, learning_rate=0.0, ema=0.5), "line", 64)
    before = load_file(Path(config.directory, "line.state", "model.safetensors"))
    fit.run(lambda first: _batches(2, first), list)
    after = load_file(Path(config.directory, "line.state", "model.safetensors"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert fit.average.decay == 0.5


def test_what_was_logged_after_the_saved_step_is_logged_once(config: FitConfig) -> None:
    class Halted(Line):
        def forward(self, x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            if step == 5:
                raise KeyboardInterrupt
            return super().forward(x, step)

    with pytest.raises(KeyboardInterrupt):
        _run(config, Halted())  # saved after step 3, logged up to step 5
    _run(config)
    assert [row[0] for row in _log(config)] == ["step", *map(str, range(1, 9))]


def _table(config: FitConfig) -> list[dict[str, str]]:
    with Path(config.directory, "line.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_logs_columns_are_right_when_training_goes_on_with_other_figures(
    config: FitConfig,
) -> None:
    class Other(Line):
        def forward(self, x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            loss, figures = super().forward(x, step)
            return loss, {"other": self.other.detach().sum(), **figures}

    _run(replace(config, steps=3))
    before = _table(config)
    _run(replace(config, steps=6), Other())
    _run(config)
    table = _table(config)
    assert [int(row["step"]) for row in table] == list(range(1, 9))
    assert [row | {"other": ""} for row in before] == table[:3]
    assert [bool(row["other"]) for row in table] == [False] * 3 + [True] * 3 + [False] * 2
    assert all(row["slope"] for row in table)


def test_an_entry_that_was_cut_short_is_dropped(config: FitConfig) -> None:
    _run(replace(config, steps=3))
    whole = _table(config)
    path = Path(config.directory, "line.csv")
    path.write_text(path.read_text(encoding="utf-8") + "3,0.1", encoding="utf-8")
    _run(replace(config, steps=4))
    assert _table(config)[:-1] == whole
    path.write_text("", encoding="utf-8")
    _run(replace(config, steps=5))
    assert [row["step"] for row in _table(config)] == ["5"]


@pytest.mark.parametrize(
    ("saved", "problem"),
    [
        (lambda text: "\ufeff" + text, ""),
        (lambda text: text.replace(",", ";"), "KeyError"),
        (lambda text: text.replace("\n2,", "\n2.0,"), "'2.0'"),
        (lambda text: text.replace("step", "Schritt"), "KeyError"),
        (lambda text: "\udcff" + text, "UnicodeDecodeError"),
    ],
)
def test_a_log_that_a_spreadsheet_saved_is_read_or_named(
    config: FitConfig, saved: Callable[[str], str], problem: str
) -> None:
    _run(replace(config, steps=3))
    whole = _table(config)
    path = Path(config.directory, "line.csv")
    text = saved(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    if problem:
        with pytest.raises(ConfigError, match=rf"line\.csv is not as .*step .*{problem}"):
            _run(replace(config, steps=4))
        assert path.read_bytes() == text.encode(errors="surrogateescape")
    else:
        _run(replace(config, steps=4))
        assert _table(config)[:-1] == whole


def test_a_full_disk_takes_nothing_from_the_log(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    _run(replace(config, steps=3))
    whole = _table(config)
    with monkeypatch.context() as patch:
        patch.setattr(csv.DictWriter, "writerows", full)
        with pytest.raises(OSError, match="no space left"):
            _run(config)
    assert _table(config) == whole


def test_the_log_is_not_read_again_for_every_entry(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(csv, "DictReader", lambda file: read.append(1) or iter(list(file)[:0]))
    _run(config)
    assert len(read) <= 1


def test_accumulated_passes_are_one_larger_batch(config: FitConfig) -> None:
    large = _run(replace(config, batch=4), size=4)
    small = replace(config, directory=config.directory + "-2", accumulate=2)
    parts = _run(small, size=2)
    assert all(torch.allclose(large[name], parts[name], atol=1e-6) for name in large)
    for a, b in zip(_log(config)[1:], _log(small)[1:], strict=True):
        assert float(a[1]) == pytest.approx(float(b[1]), rel=1e-5)


def test_a_schedule_ends_at_zero(config: FitConfig) -> None:
    fit = Fit(Line(), config, "line", 64)
    fit.run(lambda first: _batches(2, first), list)
    assert fit.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_a_loss_that_is_no_number_stops_training(config: FitConfig) -> None:
    class Broken(Line):
        def forward(self, x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            loss, figures = super().forward(x, step)
            return (loss * float("nan") if step == 4 else loss), figures

    with pytest.raises(TrainingError, match="the loss is nan at step 4"):
        _run(config, Broken())


def test_a_gradient_that_is_no_number_stops_training_before_it_does_harm(
    config: FitConfig,
) -> None:
    class Broken(Line):
        def forward(self, x: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
            loss, figures = super().forward(x, step)
            if step == 2:  # whose weights would be saved
                self.slope.register_hook(lambda gradient: gradient * float("nan"))
            return loss, figures

    stage = Broken()
    with pytest.raises(TrainingError, match="the norm of the gradient is nan at step 2"):
        _run(config, stage)
    assert stage.slope.isfinite()


def test_other_passes_a_step_hold_from_the_saved_step_on(config: FitConfig) -> None:
    """Steps end where they did: a state is that of a whole step, however many passes it has."""
    _run(replace(config, steps=3))
    _run(replace(config, accumulate=2))
    parts = load_file(Path(config.directory, "line.safetensors"))
    whole = replace(config, directory=config.directory + "-2")
    _run(replace(whole, steps=3))
    fit = Fit(Line(), replace(whole, batch=4), "line", 64)
    fit.run(lambda first: _batches(4, first), list)
    expected = load_file(Path(whole.directory, "line.safetensors"))
    assert all(torch.allclose(parts[name], expected[name], atol=1e-6) for name in expected)


def test_a_sheet_is_drawn_every_so_many_steps_with_the_averaged_weights(config: FitConfig) -> None:
    stage = Line()
    fit = Fit(stage, replace(config, sample_every=4), "line", 64)
    drawn = []

    def rows() -> list[Row]:
        drawn.append((stage.slope.item(), float(fit.average.shadow_params[0])))
        return [Row("a line", [torch.rand(3, 8, 8)] * 3)] * 2

    fit.run(lambda first: _batches(2, first), rows)
    sheets = sorted(Path(config.directory, "line-samples").iterdir())
    assert [path.name for path in sheets] == ["0000004.png", "0000008.png"]
    assert Image.open(sheets[0]).width == 6 * 192
    assert all(used == average for used, average in drawn)


def test_tensorboard_gets_the_figures(config: FitConfig) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _run(replace(config, log="tensorboard"))
    events = EventAccumulator(str(Path(config.directory, "line"))).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 9))


def test_an_interrupted_save_leaves_the_state_before(config: FitConfig) -> None:
    _run(replace(config, steps=3))
    partial = Path(config.directory, "line.partial")
    partial.mkdir()
    (partial / "model.safetensors").write_text("cut short")
    Path(config.directory, "line.safetensors.partial").write_text("cut short")
    _run(config)
    assert [row[0] for row in _log(config)] == ["step", *map(str, range(1, 9))]


@pytest.mark.parametrize(("moment", "kept"), [(0, 2), (1, 2), (2, 3)])
def test_whoever_is_killed_while_the_state_is_replaced_loses_nothing(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch, moment: int, kept: int
) -> None:
    whole = _run(config)
    other = replace(config, directory=config.directory + "-2", save_every=1)
    stage, done = Line(), []

    def killed(do: Callable[..., Any]) -> Callable[..., Any]:
        def moved(*arguments: Any, **options: Any) -> Any:
            done.append(fit.progress.step)
            if done.count(3) > moment:
                raise KeyboardInterrupt
            return do(*arguments, **options)

        return moved

    fit = Fit(stage, other, "line", 64)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed(Path.rename))
        patch.setattr(shutil, "rmtree", killed(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            fit.run(lambda first: _batches(2, first), list)
    begun = []

    def batches(first: int) -> Iterator[Tensor]:
        begun.append(first)
        return _batches(2, first)

    resumed = load_file(Fit(Line(), other, "line", 64).run(batches, list))
    assert begun == [kept]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    left = {path.name for path in Path(other.directory).iterdir()}
    assert left == {"line.state", "line.safetensors", "line.csv", "line.lock"}


@pytest.mark.usefixtures("free_precision")
@pytest.mark.parametrize(
    ("capability", "precision", "warned"),
    [("AVX2", "bf16", True), ("AVX2", "no", False), ("AVX512", "bf16", False)],
)
def test_a_cpu_on_which_bf16_is_slow_is_told_of(
    config: FitConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capability: str,
    precision: Literal["no", "bf16"],
    warned: bool,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    Fit(Line(), replace(config, mixed_precision=precision), "line", 8)
    assert ("no instructions" in caplog.text) == warned


@pytest.mark.parametrize(
    ("precision", "device", "problem"),
    [
        ("fp16", "cpu", '"fp16" needs a GPU'),
        ("bf16", "cuda", '"bf16": this GPU does not have it'),
        ("fp16", "cuda", None),
        ("no", "cuda", None),
        ("no", "cpu", None),
    ],
)
def test_a_precision_that_the_device_lacks_is_refused(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, problem: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(ConfigError, match=problem) if problem else nullcontext():
        check_precision(precision, torch.device(device))


@pytest.mark.usefixtures("free_precision")
def test_half_precision_is_not_trained_on_a_cpu_without_a_word(config: FitConfig) -> None:
    with pytest.raises(ConfigError, match="needs a GPU"):
        Fit(Line(), replace(config, mixed_precision="fp16"), "line", 8)
