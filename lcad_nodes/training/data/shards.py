"""Webdataset shards: tar files read in a stream, for sets that outgrow a disk."""

import logging
import random
import re
import tarfile
import zlib
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from .photos import SUFFIXES
from .pictures import Augment, DataError, Photo, Sample, readable

BUFFER = 1000
"""Samples that are shuffled at a time, beside the order of the shards."""
ENOUGH = 100
"""Pictures without a description, from the first on, after which that is worth a word."""
BROKEN = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error)
"""What a shard that is cut short, or is none, is noticed by."""

logger = logging.getLogger(__name__)


class Shards(IterableDataset[Sample]):
    """An endless stream of samples, dealt out to processes and workers by shard.

    A sample is a picture (`.jpg`, `.png`, `.webp`) and its descriptions (`.txt`, one a line)
    under one name.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        augment: Augment,
        seed: int,
        batch: int,
        reader: tuple[int, int],
        first: int,
    ) -> None:
        """Prepare the stream.

        Args:
            urls: paths or what else webdataset opens, with braces: `photos-{000..099}.tar`.
            augment: crops, flips, level of detail.
            seed: of the order and of everything else that is left to chance.
            batch: samples a batch.
            reader: which process this is, and of how many.
            first: batches to pass over, without decoding them.

        Raises:
            DataError: if there are fewer shards than readers.
        """
        from webdataset.shardlists import expand_urls

        self.urls = [url for pattern in urls for url in expand_urls(_as_url(pattern))]
        self.augment, self.seed, self.batch, self.first = augment, seed, batch, first
        self.process, self.processes = reader

    def __iter__(self) -> Iterator[Sample]:
        """Yield this worker's samples, beginning where the batches passed over end."""
        info = get_worker_info()
        workers = info.num_workers if info else 1
        # The loader asks its workers in turn, from the first on, wherever training goes on.
        worker = ((info.id if info else 0) + self.first) % workers
        passed = len(range(worker, self.first, workers)) * self.batch
        reader = self.process * workers + worker
        photos = islice(self._photos(reader, self.processes * workers), passed, None)
        described = False
        for number, (photo, image, skipped) in enumerate(readable(photos), passed):
            described |= bool(photo.texts)
            if number == passed + ENOUGH and not described:
                logger.warning(
                    "none of %d pictures of the shards has a description (a .txt of its name): "
                    "stage 2 learns no words from them",
                    ENOUGH,
                )
            sample = self.augment(image, photo.texts, [self.seed, reader, number])
            yield Sample(sample.image, sample.text, skipped)

    def _photos(self, reader: int, readers: int) -> Iterator[Photo]:
        urls = self.urls[reader::readers]
        if not urls:
            raise DataError(
                f"{len(self.urls)} shards cannot be dealt out to {readers} readers (processes "
                "times workers): use fewer workers or more shards"
            )
        return chain.from_iterable(self._round(urls, reader, n) for n in count())

    def _round(self, urls: list[str], reader: int, number: int) -> Iterator[Photo]:
        from webdataset.filters import shuffle

        rng = random.Random(f"{self.seed} {reader} {number}")
        photos = chain.from_iterable(map(_photos_of, rng.sample(urls, len(urls))))
        return shuffle(BUFFER, initial=BUFFER, rng=rng)(photos)


def _as_url(pattern: str) -> str:
    r"""Write a path of Windows (`C:\photos-{0..9}.tar`) so that webdataset takes it as a path."""
    if not re.match(r"[A-Za-z]:[\\/]", pattern):
        return pattern
    return "file:///" + pattern.replace("\\", "/")


def _photos_of(url: str) -> Iterator[Photo]:
    """Yield a shard's photos and, if it is cut short or has none, one without a picture."""
    from webdataset.pipeline import DataPipeline
    from webdataset.shardlists import SimpleShardList
    from webdataset.tariterators import tarfile_to_samples

    reasons: list[str] = []

    def noted(error: Exception) -> bool:
        if not isinstance(error, BROKEN):
            raise error
        told = getattr(error, "strerror", None) or error.args[0]  # webdataset adds to the rest
        reasons.append(f"the shard ends here: {type(error).__name__}: {told}")
        return True

    some = False
    for sample in DataPipeline(SimpleShardList([url]), tarfile_to_samples(handler=noted)):
        some = True
        yield _photo(sample)
    if not some:
        reasons.append("the shard holds no samples")
    if reasons:
        yield Photo(url, None, reason=reasons[0])


def _photo(sample: dict[str, Any]) -> Photo:
    pictures = [sample[s[1:]] for s in SUFFIXES if s[1:] in sample]
    text = sample.get("txt", b"").decode("utf-8", errors="replace")
    return Photo(
        name=f"{sample['__url__']}: {sample['__key__']}",
        source=pictures[0] if pictures else None,
        texts=tuple(line.strip() for line in text.splitlines() if line.strip()),
    )
