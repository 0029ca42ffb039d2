"""The command line of training."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lcad_nodes.training import __main__ as commands
from lcad_nodes.training.config import DiffusionConfig

NAMES = ("model.diffusion_model.w", "first_stage_model.w", "first_stage_model.g_encoder.w")


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Two checkpoints of one network, of zeros and of ones."""
    paths = tmp_path / "zeros.safetensors", tmp_path / "ones.safetensors"
    for value, path in enumerate(paths):
        save_file({name: torch.full((3,), float(value)) for name in NAMES}, path)
    return str(paths[0]), str(paths[1])


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    commands.main()


def _written(path: Path) -> tuple[list[float], str]:
    """The first number of each tensor, and the resolution that the file tells."""
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        return [tensors[name][0].item() for name in NAMES], file.metadata()["modelspec.resolution"]


def test_an_average_is_written_with_its_resolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, str]
) -> None:
    out = tmp_path / "mean.safetensors"
    _run(monkeypatch, "average", *files, "--out", str(out), "--resolution", "192")
    assert _written(out) == ([0.5, 0.5, 0.5], "192x192")


def test_an_export_takes_the_autoencoder_from_elsewhere_if_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, str]
) -> None:
    out = tmp_path / "out.safetensors"
    plain = ("export", files[0], str(out), "--resolution", "64")
    _run(monkeypatch, *plain)
    assert _written(out) == ([0, 0, 0], "64x64")
    _run(monkeypatch, *plain, "--autoencoder", files[1])
    assert _written(out) == ([0, 1, 1], "64x64")


def test_an_export_leaves_out_what_is_no_network_and_refuses_a_file_without_autoencoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, str]
) -> None:
    whole, unet, out = (str(tmp_path / f"{name}.safetensors") for name in ("all", "unet", "out"))
    numbers = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    more = {"model_ema.w": torch.ones(3), numbers: torch.arange(77)}
    save_file(load_file(files[0]) | more, whole)
    _run(monkeypatch, "export", whole, out, "--resolution", "64")
    written = load_file(out)
    assert written.keys() == {*NAMES, numbers}
    assert torch.equal(written[numbers], torch.arange(77))
    save_file({NAMES[0]: torch.ones(3)}, unet)
    with pytest.raises(SystemExit, match="holds no autoencoder with a luminance encoder"):
        _run(monkeypatch, "export", whole, out, "--resolution", "64", "--autoencoder", unet)


def test_checkpoints_are_validated_on_as_many_pictures_as_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    files: tuple[str, str],
) -> None:
    asked = []

    def validate(
        config: DiffusionConfig, found: Sequence[Path], count: int
    ) -> list[dict[str, float]]:
        asked.append((config.start, [str(path) for path in found], count))
        return [{"error": 0.25} for _ in found]

    monkeypatch.setattr(commands, "validate", validate)
    config = tmp_path / "config.toml"
    text = 'start = "s"\ntokenizer = "t"\ndata = {folder = "a"}\n'
    config.write_text(text + 'fit = {directory = "b", steps = 1}\n', encoding="utf-8")
    with caplog.at_level("INFO"):
        _run(monkeypatch, "validate", str(config), *files, "--pictures", "5")
        _run(monkeypatch, "validate", str(config), files[1])
    assert asked == [("s", list(files), 5), ("s", [files[1]], 192)]
    assert f"{files[1]}: error 0.2500" in caplog.text


@pytest.mark.parametrize("command", ["compression", "diffusion", "validate"])
def test_pictures_that_are_not_there_are_named_before_anything_is_read_or_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    config = tmp_path / "config.toml"
    text = f'start = "s"\ndata = {{folder = "{tmp_path.as_posix()}", captions = "c.json"}}\n'
    more = "" if command == "compression" else 'tokenizer = "t"\n'
    config.write_text(f'{text}{more}fit = {{directory = "b", steps = 1}}\n', encoding="utf-8")
    checkpoints = ["c.safetensors"] if command == "validate" else []
    with pytest.raises(SystemExit, match=r"data: there is no c\.json"):
        _run(monkeypatch, command, str(config), *checkpoints)
