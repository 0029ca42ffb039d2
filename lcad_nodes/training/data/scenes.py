"""Made-up scenes as training samples."""

from pathlib import Path

import torch
from torch.utils.data import Dataset

from ...scenes.builder import SceneBuilder
from ...scenes.dressed import SKIN
from ..config import DataConfig
from .pictures import Sample

GOLDEN_RATIO = 0.6180339887498949
"""Its multiples spread scenes of one sort evenly among the others."""


class Scenes(Dataset[Sample]):
    """Scene number n, the same in every run; described at every level by itself."""

    def __init__(self, config: DataConfig) -> None:
        """Read the cut-outs and photographs."""
        stamps, photos, people = (
            list(map(Path, paths)) for paths in (config.stamps, config.photos, config.people)
        )
        self.builder = SceneBuilder(stamps, photos, config.size, config.split, people)
        self.config = config

    def __getitem__(self, number: int) -> Sample:
        """Build a scene."""
        seed = self.config.seed * 1_000_000_007 + number
        config, sort = self.config, number * GOLDEN_RATIO % 1
        if sort < config.simple:
            description = "full" if number % 8 else "none"
            scene = self.builder.build(seed, objects=1, description=description)
        elif sort < config.simple + config.natural:
            scene = self.builder.build(seed, objects=0, description="none")
        elif sort < config.simple + config.natural + config.portraits:
            scene = self.builder.build(seed, objects=1, kinds="people", description="none")
        elif sort < config.simple + config.natural + config.portraits + config.unplaced:
            scene = self.builder.build(seed, places=False)
        else:
            scene = self.builder.build(seed)
        named = [(thing.phrase, thing.mask) for thing in scene.objects if thing.phrase]
        if scene.background:
            covered = torch.stack([thing.mask for thing in scene.objects]).amax(dim=0)
            named.append((scene.background, 1 - covered))
        unsaid = [("", o.mask) for o in scene.objects if o.name == SKIN and not o.phrase]
        return Sample(scene.image, scene.text, objects=(*named, *unsaid))
