"""Long work shows how far it is, and stops when the user cancels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comfy.model_management as management
import comfy.utils
import pytest
import torch
from torch import Tensor

from lcad_nodes.host.conditioning import Conditioning
from lcad_nodes.host.decoding import decode
from lcad_nodes.host.guidance import Guidance, guide_attention
from lcad_nodes.host.instances import encode_instances
from lcad_nodes.host.loading import Checkpoint, load_checkpoint
from lcad_nodes.host.luminance import Luminance, encode_luminance
from lcad_nodes.host.sampling import SamplerSettings, sample

PHOTOS = torch.rand(2, 3, 130, 140, generator=torch.manual_seed(0))


@dataclass
class Bar:
    """What the page's progress bar is told."""

    cancel_at: float = 2.0
    shares: list[float] = field(default_factory=list)

    def __call__(self, value: int, total: int, _preview: Any, **_node: Any) -> None:
        self.shares.append(value / total)
        if self.shares[-1] >= self.cancel_at:
            management.interrupt_current_processing()


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> Bar:
    bar = Bar()
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", bar)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0, raising=False)
    return bar


@pytest.fixture(scope="module")
def loaded(small_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(str(small_checkpoint))


@pytest.fixture(scope="module")
def luminance(loaded: Checkpoint) -> Luminance:
    with torch.inference_mode():
        return encode_luminance(loaded.encoder, PHOTOS, 96)


def work(name: str, loaded: Checkpoint, luminance: Luminance) -> Callable[[], Any]:
    assert loaded.vae is not None
    latent = torch.zeros(2, 4, *luminance.geometry.latent)
    piece = (loaded.vae, latent, luminance, "input", True)
    return {
        "encode": lambda: encode_luminance(loaded.encoder, PHOTOS, 96),
        "decode": lambda: decode(*piece, 0),
        "decode in tiles": lambda: decode(*piece, 64),
    }[name]


LONG = ["encode", "decode", "decode in tiles"]


@pytest.mark.parametrize("name", LONG)
@torch.inference_mode()
def test_progress_comes_in_small_steps(
    loaded: Checkpoint, luminance: Luminance, bar: Bar, name: str
) -> None:
    work(name, loaded, luminance)()
    assert bar.shares == sorted(bar.shares)
    assert bar.shares[-1] == 1
    gaps = [after - before for before, after in zip([0, *bar.shares], bar.shares, strict=False)]
    assert max(gaps) < 0.2


@pytest.mark.parametrize("name", LONG)
@torch.inference_mode()
def test_cancelling_stops_at_once_and_leaves_nothing_behind(
    loaded: Checkpoint, luminance: Luminance, bar: Bar, name: str
) -> None:
    bar.cancel_at = 0.05
    with pytest.raises(management.InterruptProcessingException):
        work(name, loaded, luminance)()
    assert max(bar.shares) < 0.2
    assert loaded.vae is not None
    networks: list[Any] = [loaded.encoder.model, loaded.vae.first_stage_model]
    modules = [module for network in networks for module in network.modules()]
    assert not any(module._forward_hooks for module in modules)


def prompts(loaded: Checkpoint) -> tuple[Conditioning, Guidance]:
    assert loaded.clip is not None
    mask: Tensor = torch.ones(130, 140)
    positive, instances = encode_instances(loaded.clip, "a red cup", "", [mask])
    return positive, Guidance(instances, 2.0, 0.0, 1.0, "reference", "sum")


@torch.inference_mode()
def test_cancelling_stops_between_the_two_passes_of_a_step(
    loaded: Checkpoint, luminance: Luminance
) -> None:
    positive, guidance = prompts(loaded)
    calls: list[None] = []

    def cancel(*_call: Any) -> None:
        calls.append(None)
        management.interrupt_current_processing()

    handle = loaded.model.model.diffusion_model.out.register_forward_hook(cancel)
    try:
        with pytest.raises(management.InterruptProcessingException):
            sample(
                guide_attention(loaded.model, guidance),
                positive,
                positive,
                luminance,
                SamplerSettings(0, 3, 1.0, "euler", "normal", 1.0),
            )
    finally:
        handle.remove()
    assert len(calls) == 1
