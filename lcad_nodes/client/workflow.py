"""What the server is asked for: one description of one photo as a graph of nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SAVE = "save"
SAMPLE = "sample"

Workflow = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Settings:
    """How colors are made; the defaults suit lcad-mini.

    Attributes:
        checkpoint: its name in the server's list.
        digest: of that file.
        seed: another one gives other colors.
        steps: of the sampler.
        cfg: the scale of classifier-free guidance: how strongly words are followed.
        resolution: shorter side, in pixels, of the size that colors are made at; -1: what the
            checkpoint was trained at.
        strength: how strongly phrases keep to their masks.
        tile_size: side in pixels of the pieces that are decoded one after another, where memory
            is short; 0: in one piece.
    """

    checkpoint: str = "lcad-mini.safetensors"
    digest: str = ""
    seed: int = 0
    steps: int = 20
    cfg: float = 3.0
    resolution: int = -1
    strength: float = 3.0
    tile_size: int = 0


@dataclass(frozen=True)
class Region:
    """A phrase of the description, and the mask file (in the server's inputs) of its object."""

    phrase: str
    mask: str


def colorizing(photo: str, text: str, regions: Sequence[Region], settings: Settings) -> Workflow:
    """The graph that colorizes a photo.

    Args:
        photo: a file in the server's inputs.
        text: the description.
        regions: its phrases that have a mask; may be empty.
        settings: how.
    """
    model, clip, vae, encoder = (["load", output] for output in range(4))
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "photo": ("LoadImage", {"image": photo}),
        "load": ("LCAD_LoadCheckpoint", {"ckpt_name": settings.checkpoint}),
        "empty": ("CLIPTextEncode", {"clip": clip, "text": ""}),
        "describe": ("CLIPTextEncode", {"clip": clip, "text": text}),
        "encode": (
            "LCAD_EncodeLuminance",
            {"encoder": encoder, "image": ["photo", 0], "resolution": settings.resolution},
        ),
        SAMPLE: (
            "LCAD_Sample",
            {
                "model": model,
                "positive": ["describe", 0],
                "negative": ["empty", 0],
                "luminance": ["encode", 0],
                "seed": settings.seed,
                "steps": settings.steps,
                "cfg": settings.cfg,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
                "strength": settings.strength,
                "mode": "fast",
            },
        ),
        "decode": (
            "LCAD_Decode",
            {
                "vae": vae,
                "latent": [SAMPLE, 0],
                "luminance": ["encode", 0],
                "lightness": "input",
                "tile_size": settings.tile_size,
            },
        ),
        SAVE: ("PreviewImage", {"images": ["decode", 0]}),
    }
    if regions:
        nodes |= _masked(clip, text, regions)
        nodes[SAMPLE][1]["instances"] = ["describe", 1]
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def _masked(
    clip: list[Any], text: str, regions: Sequence[Region]
) -> dict[str, tuple[str, dict[str, Any]]]:
    names = [f"mask_{i}" for i in range(len(regions))]
    inputs = {"clip": clip, "text": text, "phrases": "\n".join(r.phrase for r in regions)}
    inputs |= {f"masks.{name}": [name, 0] for name in names}
    masks = {
        name: ("LoadImageMask", {"image": region.mask, "channel": "red"})
        for name, region in zip(names, regions, strict=True)
    }
    return {"describe": ("LCAD_Instances", inputs), **masks}
