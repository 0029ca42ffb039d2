"""Figures that need a trained network: LPIPS, FID, CLIP score. Nothing is ever downloaded."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..color.measures import SSIM_LEAST

Distance = Callable[[Tensor, Tensor], Tensor]
"""LPIPS of two pictures, 1x3xHxW in [0, 1] each."""
Agreement = Callable[[Tensor, str], float]
"""CLIP score of a picture, 3xHxW in [0, 1], and a text."""
T = TypeVar("T")
LPIPS_LEAST = 32
"""Side of a picture in px: AlexNet halves it five times."""


def device() -> torch.device:
    """Where the networks run: on the GPU if PyTorch has one (its ROCm goes by that name too)."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class BackboneError(OSError):
    """A trained network is not on the disk; the message says where it belongs."""


@dataclass(frozen=True)
class Backbones:
    """The trained networks that are there.

    Attributes:
        lpips: None if it is not there.
        inception: from pictures, Bx3xHxW uint8, to features, BxN; None likewise.
        clip: None likewise.
        missing: a sentence for each that is not.
        least: side in px that a picture must have for them and SSIM.
    """

    lpips: Distance | None
    inception: nn.Module | None
    clip: Agreement | None
    missing: tuple[str, ...]
    least: int = SSIM_LEAST


def load_backbones(clip: str) -> Backbones:
    """Load the networks that are on the disk.

    Args:
        clip: name on the Hugging Face Hub, or folder, of the CLIP model.
    """
    missing: list[str] = []

    def attempt(figure: str, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except BackboneError as error:
            missing.append(f"{figure} is empty: {error}")
        except ModuleNotFoundError as error:
            missing.append(
                f"{figure} is empty: {error.name} is not installed; the project's extra "
                "'evaluate' has it."
            )
        return None

    lpips, inception = attempt("LPIPS", _lpips), attempt("FID", _inception)
    agreement = attempt("CLIP score", lambda: load_clip(clip))
    least = LPIPS_LEAST if lpips else SSIM_LEAST
    return Backbones(lpips, inception, agreement, tuple(missing), least)


def load_clip(name: str) -> Agreement:
    """Make the CLIP score (Hessel et al. 2021), 100 times the cosine and 0 at the least.

    Not torchmetrics' own, which does not fit transformers 5.

    Args:
        name: of a CLIP model in the Hugging Face Hub's folder on this disk, or its own folder.

    Raises:
        BackboneError: it is not there.
    """
    from transformers import CLIPModel, CLIPProcessor

    try:
        model: Any = CLIPModel.from_pretrained(name, local_files_only=True)
        processor: Any = CLIPProcessor.from_pretrained(name, local_files_only=True)
    except OSError as error:
        raise BackboneError(
            f"{name} is neither a folder with a CLIP model nor in the Hugging Face Hub's folder on "
            "this disk."
        ) from error
    where = device()
    model.to(where)
    longest = model.config.text_config.max_position_embeddings

    @torch.inference_mode()
    def score(picture: Tensor, text: str) -> float:
        inputs = processor(
            text=[text],
            images=[_to_bytes(picture)],
            return_tensors="pt",
            truncation=True,
            max_length=longest,
        )
        found = model(**inputs.to(where))
        similarity = torch.cosine_similarity(found.image_embeds, found.text_embeds)
        return 100 * float(similarity.clamp(min=0))

    return score


class FrechetDistance:
    """The Fréchet distances (Heusel et al. 2017) from one set of true pictures to other sets.

    Of pictures, 3xHxW in [0, 1], only sums of their features are kept. A distance needs two
    pictures of either set.
    """

    def __init__(self, inception: nn.Module) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        self._device = device()
        self._new = lambda: FrechetInceptionDistance(inception).to(self._device)
        self._true = self._new()
        self._sets = defaultdict[str, Any](self._new)

    def add_true(self, picture: Tensor) -> None:
        """Add a picture to the true ones."""
        self._true.update(self._to_device(picture), real=True)

    def add(self, name: str, picture: Tensor) -> None:
        """Add a picture to the set of that name."""
        self._sets[name].update(self._to_device(picture), real=False)

    def distance(self, name: str) -> float:
        """Return that of the set of that name."""
        metric = self._sets[name]
        for statistic in ("sum", "cov_sum", "num_samples"):
            state = f"real_features_{statistic}"
            setattr(metric, state, getattr(self._true, state))
        return float(metric.compute())

    def _to_device(self, picture: Tensor) -> Tensor:
        return _to_bytes(picture)[None].to(self._device)


def _lpips() -> Distance:
    """LPIPS on AlexNet (Zhang et al. 2018)."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    from torchvision.models import AlexNet_Weights

    _on_disk(AlexNet_Weights.DEFAULT.url)
    where = device()
    # The metric itself would keep every picture's value, and average over all of them each time.
    network: Any = LearnedPerceptualImagePatchSimilarity(net_type="alex").net.to(where)

    @torch.inference_mode()
    def distance(picture: Tensor, reference: Tensor) -> Tensor:
        return network(picture.to(where), reference.to(where), normalize=True)

    return distance


def _inception() -> nn.Module:
    """The Inception network that FID is defined with."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchmetrics.image.fid import NoTrainInceptionV3

    path = _on_disk(URL_INCEPTION_V3)
    network: Any = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
    network.num_features = 2048
    return network


def _on_disk(url: str) -> Path:
    """The file that torch.hub would keep what is at `url` in.

    The libraries unpickle it, whatever is in it, so that it must hold tensors alone; and it must be
    the one published, by the start of its SHA-256 at the end of its name.
    """
    name = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise BackboneError(f"{path} is not there; it can be had from {url}")
    published = Path(name).stem.rpartition("-")[2]
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(published):
        raise BackboneError(f"{path} is not the file published at {url}")
    try:
        torch.load(path, map_location="meta", weights_only=True)
    except (UnpicklingError, EOFError, RuntimeError) as error:
        raise BackboneError(f"{path} holds more than tensors") from error
    return path


def _to_bytes(picture: Tensor) -> Tensor:
    return (picture * 255).round().to(torch.uint8)
