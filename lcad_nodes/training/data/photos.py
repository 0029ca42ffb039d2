"""A folder of photos, described or not, in an order shuffled anew for every round."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from ...files.captions import captions_of, read_captions
from ...files.formats import READABLE
from ...files.pictures import files_below
from ..config import DataConfig
from .pictures import DataError, Photo, Sample, augment, readable

logger = logging.getLogger(__name__)


class PhotoFolder(Dataset[Sample]):
    """Sample number n of a folder, the same in every run."""

    def __init__(self, config: DataConfig) -> None:
        """List all that is `READABLE` in the folder and its subfolders, linked ones too.

        Raises:
            DataError: if there are no photos, or captions for none of them.
            CaptionsError: if the captions are in no known format.
        """
        folder, captions = Path(config.folder), config.captions
        self.config = config
        self._round, self._order = -1, np.empty(0, int)
        paths = sorted(p for p in files_below(folder) if p.suffix.lower() in READABLE)
        if not paths:
            raise DataError(f"{folder} holds no photos ({', '.join(sorted(READABLE))})")
        said = read_captions(Path(captions)) if captions else {}
        self.photos = [Photo(str(p), p, captions_of(p.relative_to(folder), said)) for p in paths]
        described = sum(bool(photo.texts) for photo in self.photos)
        if captions and not described:
            raise DataError(
                f"{captions} describes none of the {len(paths)} photos in {folder}; it begins "
                f"with {next(iter(said), 'nothing')!r}, the folder with {paths[0].name!r}"
            )
        logger.info("%s: %d photos, %d of them described", folder, len(paths), described)

    def __getitem__(self, number: int) -> Sample:
        """Make sample `number`; the next photo stands in for one that cannot be read.

        Raises:
            DataError: if no photo of the round can be read.
        """
        for photo, image, skipped in readable(self._from(number), self.config):
            sample = augment(image, photo.texts, self.config, [self.config.seed, number])
            return replace(sample, skipped=skipped)
        raise DataError(f"not one of the {len(self.photos)} photos can be read")

    def _from(self, number: int) -> Iterator[Photo]:
        count = len(self.photos)
        if self._round != number // count:
            self._round = number // count
            self._order = np.random.default_rng([self.config.seed, self._round]).permutation(count)
        for place in range(count):
            yield self.photos[self._order[(number + place) % count]]
