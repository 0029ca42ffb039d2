"""Colorizing many pictures as the nodes do: the same functions of the host room, in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..color.lab import lightness
from ..host.conditioning import Conditioning
from ..host.decoding import Lightness, decode
from ..host.guidance import Guidance, Mode, guide_attention
from ..host.instances import Instances, encode_instances
from ..host.loading import Checkpoint, CheckpointError, load_checkpoint
from ..host.luminance import Luminance, encode_luminance
from ..host.sampling import SamplerSettings, sample, sample_as_published
from ..model.geometry import Geometry
from ..model.guidance import Reduction

Guide = Callable[[Instances], Guidance]
"""How to guide, whatever the instances."""
Named = Sequence[tuple[str, Tensor]]
"""The objects of one description: a phrase of it and a mask, HxW, each."""


def guide(
    strength: float = 3.0,
    start: float = 0.0,
    end: float = 1.0,
    mode: Mode = "fast",
    reduction: Reduction = "sum",
) -> Guide:
    """Instance guidance; by default as the nodes have it."""
    return lambda instances: Guidance(instances, strength, start, end, mode, reduction)


def unguided() -> Guide:
    """No guidance, but the same noise for every picture: it is over before it begins."""
    return guide(0.0, end=0.0)


@dataclass(frozen=True, eq=False)
class Colorizer:
    """A checkpoint and how to use it, on batches of pictures.

    Attributes:
        checkpoint: with all of its parts.
        resolution: the working size, as `encode_luminance` takes it.
        steps: number of steps.
        cfg: guidance scale.
    """

    checkpoint: Checkpoint
    resolution: int
    steps: int
    cfg: float

    @classmethod
    def load(cls, path: Path, resolution: int, steps: int, cfg: float) -> "Colorizer":
        """Load a checkpoint.

        Raises:
            CheckpointError: there is no such file, or it is not a luminance-conditioned checkpoint
                with all parts.
        """
        if not path.is_file():
            raise CheckpointError(f"There is no checkpoint {path}, or it is not a file.")
        checkpoint = load_checkpoint(str(path))
        if checkpoint.clip is None or checkpoint.vae is None:
            raise CheckpointError(f"{path.name} must hold a text encoder and a VAE to be measured.")
        return cls(checkpoint, resolution, steps, cfg)

    @torch.inference_mode()
    def read(self, images: Tensor) -> Luminance:
        """Compute what the networks read of pictures, Bx3xHxW in [0, 1]; once for all uses."""
        return encode_luminance(self.checkpoint.encoder, images, self.resolution)

    @torch.inference_mode()
    def sample(self, luminance: Luminance, texts: Sequence[str], seed: int) -> Tensor:
        """Sample latents, Bx4xhxw, one description a picture."""
        positive = _together([self._encode(text) for text in texts])
        return self._sample(self.checkpoint.model, positive, luminance, seed)

    @torch.inference_mode()
    def sample_as_published(
        self, luminance: Luminance, text: str, named: Named, guiding: Guide, seed: int
    ) -> Tensor:
        """Sample a latent, 1x4xhxw, with the published schedule; guided where objects are named.

        Raises:
            PhraseError: if a phrase is not in the text.
            MaskError: if a mask is empty or not of the photo's proportions.
        """
        if named:
            model, positive = self._guided(text, named, guiding)
        else:
            model, positive = self.checkpoint.model, self._encode(text)
        negative = self._encode("")
        found = sample_as_published(
            model, positive, negative, luminance, seed=seed, steps=self.steps, cfg=self.cfg
        )
        return found["samples"]

    @torch.inference_mode()
    def sample_guided(
        self,
        luminance: Luminance,
        texts: Sequence[str],
        named: Sequence[Named],
        guiding: Guide,
        seed: int,
    ) -> Tensor:
        """Sample latents, Bx4xhxw, each description's phrases kept to their masks.

        One picture after the other, since the host gives one prompt's masks to a whole batch.
        """
        latents = []
        for number, (text, objects) in enumerate(zip(texts, named, strict=True)):
            model, positive = self._guided(text, objects, guiding)
            photo = luminance.photo(number)
            latents.append(self._sample(model, positive, photo, seed * len(texts) + number))
        return torch.cat(latents)

    @torch.inference_mode()
    def decode(self, latents: Tensor, luminance: Luminance, how: Lightness = "input") -> Tensor:
        """Decode into pictures of the photos' own size, Bx3xHxW in [0, 1]."""
        vae: Any = self.checkpoint.vae
        return decode(vae, latents, luminance, how, True, 0)

    @torch.inference_mode()
    def own_lightness(self, latents: Tensor, luminance: Luminance) -> tuple[Tensor, Tensor]:
        """Compute the decoder's own CIE L before any lock, and the photos', both Bx1xhxw.

        At the working size, so that no enlargement lies in between.
        """
        size = luminance.geometry.working
        working = luminance.geometry.place(luminance.lightness, "bilinear")
        photo = luminance.geometry.unpad(working)
        small = luminance._replace(lightness=photo, geometry=Geometry.fit(size, 0))
        return lightness(self.decode(latents, small, "decoder")), photo

    @torch.inference_mode()
    def reconstruct(self, images: Tensor, with_luminance: bool = True) -> Tensor:
        """Encode true colors and decode them at the pictures' own size, the lightness not locked.

        Args:
            images: Bx3xHxW in [0, 1], H and W multiples of 8, 64 at least.
            with_luminance: whether the decoder gets the luminance features.
        """
        luminance = encode_luminance(self.checkpoint.encoder, images, 0)
        if not with_luminance:
            luminance = without_luminance(luminance)
        vae: Any = self.checkpoint.vae
        latents = torch.cat([vae.encode(image.movedim(1, -1)) for image in images.split(1)])
        return self.decode(latents, luminance, "decoder")

    def _sample(
        self, model: Any, positive: Conditioning, luminance: Luminance, seed: int
    ) -> Tensor:
        settings = SamplerSettings(seed, self.steps, self.cfg, "euler", "normal", 1.0)
        return sample(model, positive, self._encode(""), luminance, settings)["samples"]

    def _guided(self, text: str, named: Named, guiding: Guide) -> tuple[Any, Conditioning]:
        phrases = "\n".join(_plain(phrase) for phrase, _ in named)
        masks = [mask for _, mask in named]
        clip: Any = self.checkpoint.clip  # `load` has checked that it is there
        positive, instances = encode_instances(clip, _plain(text), phrases, masks)
        return guide_attention(self.checkpoint.model, guiding(instances)), positive

    def _encode(self, text: str) -> Conditioning:
        clip: Any = self.checkpoint.clip
        return clip.encode_from_tokens_scheduled(clip.tokenize(_plain(text)))


def without_luminance(luminance: Luminance) -> Luminance:
    """Features of zeros: what reads them computes as if it had no weights for them."""
    return luminance._replace(features=tuple(map(torch.zeros_like, luminance.features)))


def _plain(text: str) -> str:
    """A text whose parentheses are no prompt weights to the host."""
    return text.replace("(", "\\(").replace(")", "\\)")


def _together(conditionings: Sequence[Conditioning]) -> Conditioning:
    """Prompts of the same length as one conditioning, one row a picture."""
    longest = max(cond[0][0].shape[1] for cond in conditionings)
    rows = [cond[0][0].repeat(1, longest // cond[0][0].shape[1], 1) for cond in conditionings]
    return [[torch.cat(rows), dict(conditionings[0][0][1])]]
