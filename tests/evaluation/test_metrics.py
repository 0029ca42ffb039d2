"""Trained networks from the disk, or not at all."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from lcad_nodes.evaluation import metrics
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
        self.seen, self.device = 0, torch.device("cpu")

    def forward(self, pictures: Tensor) -> Tensor:
        self.seen += len(pictures)
        self.device = pictures.device
        return pictures[..., 0, 0].double()


def test_the_frechet_distance_from_one_cloud_to_others() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(0, 120, (60, 3))
    others = [rng.integers(60, 250, (50, 3)), rng.integers(0, 90, (40, 3))]
    flat = Flat()
    fid = FrechetDistance(flat)
    for pixel in real:
        fid.add_true(torch.tensor(pixel / 255).view(3, 1, 1))
    for number in range(50):  # as the pictures of several methods come in turn
        for name, other in enumerate(others):
            for pixel in other[number : number + 1]:
                fid.add(str(name), torch.tensor(pixel / 255).view(3, 1, 1))
    for name, other in enumerate(others):
        covariances = [np.cov(some, rowvar=False) for some in (real, other)]
        expected = ((real.mean(0) - other.mean(0)) ** 2).sum() + np.trace(
            covariances[0] + covariances[1] - 2 * np.real(sqrtm(covariances[0] @ covariances[1]))
        )
        assert fid.distance(str(name)) == pytest.approx(expected, rel=1e-4)
    assert flat.seen == 60 + 50 + 40  # the true ones once


def published(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a published file of weights would be, and whatever is there passes for it."""
    file = folder / "checkpoints" / name
    file.parent.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder))
    digest = SimpleNamespace(hexdigest=lambda: file.stem.rpartition("-")[2])
    monkeypatch.setattr(metrics, "hashlib", SimpleNamespace(sha256=lambda _: digest))
    return file


@pytest.fixture
def alexnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AlexNet's file, its convolutions drawn at random, in place of the published one."""
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in torchvision.models.alexnet().state_dict().items()}
    weights = {
        name: torch.randn(shape) / 50
        if name.startswith("features")
        else torch.zeros(1).expand(shape)
        for name, shape in shapes.items()
    }
    torch.save(weights, published(tmp_path, "alexnet-owt-7be5be79.pth", monkeypatch))


@pytest.mark.usefixtures("alexnet")
def test_lpips_is_the_metrics_value_without_what_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = torch.rand(2, 1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    metric = LearnedPerceptualImagePatchSimilarity(normalize=True)
    expected = float(metric(one, other))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the metric keeps the values of all pictures before")

    monkeypatch.setattr(LearnedPerceptualImagePatchSimilarity, "update", refuse)
    lpips = load_backbones("no/such").lpips
    assert lpips is not None
    assert float(lpips(one, other)) == pytest.approx(expected)
    assert expected > 0
    assert float(lpips(one, one)) == 0


class Untrained(FeatureExtractorInceptionV3):
    """FID's network as it is made, its convolutions drawn at random; of its file, nothing."""

    def load_state_dict(self, *_: Any, **__: Any) -> Any:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 2.0)  # or else little is left of a picture


@pytest.mark.slow
def test_fid_is_that_of_the_published_networks_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    file = published(tmp_path, "weights-inception-2015-12-05-6726825d.pth", monkeypatch)
    torch.save({}, file)
    network = Untrained("inception-v3-compat", ["2048"], str(file))
    torch.save(network.state_dict(), file)
    inception = load_backbones("no/such").inception
    assert inception is not None
    own = FrechetInceptionDistance(2048, feature_extractor_weights_path=str(file)).inception
    pictures = torch.rand(4, 3, 40, 48) ** torch.arange(1, 5).view(4, 1, 1, 1)
    fid = FrechetDistance(inception)
    for picture in pictures[:2]:
        fid.add_true(picture)
    for picture in pictures[2:]:
        fid.add("made", picture)
    one, two, three, four = own((pictures * 255).round().to(torch.uint8)).double()
    assert one.shape == (2048,)
    # Of two pictures each, the covariances have one direction each.
    means = (one + two - three - four).square().sum() / 4
    true, made = one - two, three - four
    spreads = true @ true / 2 + made @ made / 2 - (true @ made).abs()
    assert fid.distance("made") == pytest.approx(float(means + spreads), rel=1e-3)


@pytest.mark.usefixtures("alexnet")
def test_networks_and_pictures_go_to_the_gpu(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert metrics.device() == torch.device("cuda")
    # A device without numbers in place of a GPU: what is computed there cannot be read.
    monkeypatch.setattr(metrics, "device", lambda: torch.device("meta"))
    lpips = load_backbones("no/such").lpips
    assert lpips is not None
    assert lpips(*torch.rand(2, 1, 3, 40, 48)).device.type == "meta"
    with pytest.raises(RuntimeError, match="meta"):
        load_clip(str(clip))(torch.rand(3, 40, 48), "a red cup")
    flat = Flat()
    FrechetDistance(flat).add("made", torch.rand(3, 8, 8))
    assert flat.device == torch.device("meta")


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


def test_a_file_that_could_run_code_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "alexnet-owt-7be5be79.pth"
    torch.save(SimpleNamespace(), published(tmp_path, name, monkeypatch))
    assert f"{name} holds more than tensors" in load_backbones("no/such").missing[0]


def test_a_folder_without_a_clip_model(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="neither a folder with a CLIP model"):
        load_clip(str(tmp_path))
