"""Trained networks from the disk, or not at all."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from lcad_nodes.evaluation.metrics import (
    BackboneError,
    FrechetDistance,
    load_backbones,
    load_clip,
)


@pytest.fixture
def clip(tmp_path: Path, comfyui: Path) -> Path:
    """A CLIP model of one layer, its numbers drawn at random, in a folder."""
    torch.manual_seed(1)
    layer: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    text = CLIPTextConfig(**layer, num_attention_heads=2, eos_token_id=49407)
    vision = CLIPVisionConfig(**layer, num_attention_heads=2, image_size=32, patch_size=16)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16
    )
    CLIPModel(config).save_pretrained(tmp_path)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    tokenizer = CLIPTokenizer.from_pretrained(str(comfyui / "comfy" / "sd1_tokenizer"))
    CLIPProcessor(images, tokenizer).save_pretrained(tmp_path)
    return tmp_path


def test_the_clip_score_is_a_hundred_cosines(clip: Path) -> None:
    score = load_clip(str(clip))
    model = CLIPModel.from_pretrained(str(clip))
    processor = CLIPProcessor.from_pretrained(str(clip))
    noise = torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(0))
    cosines = []
    for text, picture in product(
        ("a red cup", "blue", "a dog " * 200), (noise, noise**9, noise * 0)
    ):
        pixels = (picture * 255).round().to(torch.uint8)
        inputs = processor(
            text=[text], images=[pixels], return_tensors="pt", truncation=True, max_length=77
        )
        with torch.no_grad():
            found = model(**inputs)
            cosines.append(float(found.logits_per_image / model.logit_scale.exp()))
        assert score(picture, text) == pytest.approx(100 * max(cosines[-1], 0), abs=1e-3)
    assert min(cosines) < 0 < max(cosines)


class Flat(nn.Module):
    """Features that are the first pixels themselves."""

    num_features = 3

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, pictures: Tensor) -> Tensor:
        self.seen += len(pictures)
        return pictures[..., 0, 0].double()


def test_the_frechet_distance_from_one_cloud_to_others() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(0, 120, (60, 3))
    others = [rng.integers(60, 250, (50, 3)), rng.integers(0, 90, (40, 3))]
    flat = Flat()
    fid = FrechetDistance(flat)
    for pixel in real:
        fid.add(torch.tensor(pixel / 255).view(3, 1, 1), real=True)
    for other in others:
        for pixel in other:
            fid.add(torch.tensor(pixel / 255).view(3, 1, 1), real=False)
        covariances = [np.cov(some, rowvar=False) for some in (real, other)]
        expected = ((real.mean(0) - other.mean(0)) ** 2).sum() + np.trace(
            covariances[0] + covariances[1] - 2 * np.real(sqrtm(covariances[0] @ covariances[1]))
        )
        assert fid.distance() == pytest.approx(expected, rel=1e-4)
    assert flat.seen == 60 + 50 + 40  # the true ones once


def test_what_is_not_on_the_disk_is_said_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    backbones = load_backbones("no/such")
    assert (backbones.lpips, backbones.inception, backbones.clip) == (None, None, None)
    lpips, fid, clip = backbones.missing
    assert "alexnet-owt-7be5be79.pth is not there" in lpips
    assert "weights-inception-2015-12-05-6726825d.pth is not there" in fid
    assert "no/such is neither a folder" in clip


def test_a_file_that_is_not_the_published_one_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    for name in ("alexnet-owt-7be5be79.pth", "weights-inception-2015-12-05-6726825d.pth"):
        (tmp_path / "checkpoints" / name).write_bytes(b"something else")
    lpips, fid, _ = load_backbones("no/such").missing
    assert "is not the file published" in lpips
    assert "is not the file published" in fid


def test_a_folder_without_a_clip_model(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="neither a folder with a CLIP model"):
        load_clip(str(tmp_path))
