"""Made-up scenes as training samples."""

from functools import partial
from pathlib import Path

import torch
from torch.utils.data import Dataset

from ...scenes.builder import SceneBuilder
from ..config import DataConfig
from .pictures import Sample

GOLDEN_RATIO = 0.6180339887498949
"""Its multiples spread scenes of one sort evenly among the others."""


class Scenes(Dataset[Sample]):
    """Scene number n, the same in every run; described at every level by itself."""

    def __init__(self, config: DataConfig, batch: int) -> None:
        """Read the cut-outs and photographs; the scenes of a batch have one shape."""
        stamps, photos = (list(map(Path, paths)) for paths in (config.stamps, config.photos))
        self.builder = SceneBuilder(stamps, photos, config.size, config.split)
        self.config, self.batch = config, batch

    def __getitem__(self, number: int) -> Sample:
        """Build a scene."""
        seed = self.config.seed * 1_000_000_007 + number
        config, sort = self.config, number * GOLDEN_RATIO % 1
        build = partial(
            self.builder.build,
            seed,
            aspect=config.aspects[number // self.batch % len(config.aspects)],
        )
        if sort < config.simple:
            scene = build(objects=1, description="full" if number % 8 else "none")
        elif sort < config.simple + config.natural:
            scene = build(objects=0, description="none")
        elif sort < config.simple + config.natural + config.unplaced:
            scene = build(places=False)
        else:
            scene = build()
        named = [(thing.phrase, thing.mask) for thing in scene.objects if thing.phrase]
        if scene.background:
            covered = torch.stack([thing.mask for thing in scene.objects]).amax(dim=0)
            named.append((scene.background, 1 - covered))
        return Sample(scene.image, scene.text, objects=tuple(named))
