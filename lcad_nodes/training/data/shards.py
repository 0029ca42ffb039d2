"""Webdataset shards: tar files read in a stream, for sets that outgrow a disk."""

import logging
import random
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, count, islice
from typing import Any
from urllib.parse import urlparse

from torch.utils.data import IterableDataset, get_worker_info

from ..config import ConfigError, DataConfig
from .pictures import DataError, Photo, Sample, augment, readable

BUFFER = 1000
"""Samples that are shuffled at a time, beside the order of the shards."""
ENOUGH = 100
"""Pictures without a description, from the first on, after which that is worth a word."""
LARGEST = 256 * 2**20
"""Bytes of a picture or a description; a shard of a few KB can hold what claims to be any size."""
KEYS = ("jpg", "jpeg", "png", "webp")
"""What the format calls pictures that are read."""
SCHEMES = {"", "file", "http", "https"}
"""What of webdataset's is opened; others run commands."""
METADATA = re.compile(r"(^|/)__[^/]*__($|/)")
"""What the format calls no sample."""
BROKEN = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error)
"""What a shard that is cut short, or is none, is noticed by."""

logger = logging.getLogger(__name__)


class Shards(IterableDataset[Sample]):
    """An endless stream of samples, dealt out to processes and workers by shard.

    A sample is a picture (`.jpg`, `.png`, `.webp`) and its descriptions (`.txt`, one a line)
    under one name.
    """

    def __init__(self, config: DataConfig, batch: int, reader: tuple[int, int], first: int) -> None:
        """Prepare the stream.

        Args:
            config: its `shards` are paths, or addresses of file and http(s).
            batch: samples a batch.
            reader: which process this is, and of how many.
            first: batches to pass over, without decoding them.

        Raises:
            ConfigError: if a shard is neither a path nor such an address.
            DataError: if there are fewer shards than readers.
        """
        from webdataset.shardlists import expand_urls

        self.urls = [url for pattern in config.shards for url in expand_urls(_as_url(pattern))]
        if refused := [url for url in self.urls if urlparse(url).scheme not in SCHEMES]:
            raise ConfigError(
                f"shards: expected paths, or addresses of file: or http(s):, not {refused[0]!r}"
            )
        self.config, self.batch, self.first = config, batch, first
        self.process, processes = reader
        self.workers = max(config.workers, 1)
        self.readers = processes * self.workers
        if len(self.urls) < self.readers:
            raise DataError(
                f"{len(self.urls)} shards cannot be dealt out to {self.readers} readers "
                "(processes times workers): use fewer workers or more shards"
            )

    def __iter__(self) -> Iterator[Sample]:
        """Yield this worker's samples, beginning where the batches passed over end."""
        info = get_worker_info()
        # The loader asks its workers in turn, from the first on, wherever training goes on.
        worker = ((info.id if info else 0) + self.first) % self.workers
        passed = len(range(worker, self.first, self.workers)) * self.batch
        reader = self.process * self.workers + worker
        photos = readable(self._photos(reader, passed), self.config)
        described = False
        for number, (photo, image, skipped) in enumerate(photos, passed):
            described |= bool(photo.texts)
            if number == passed + ENOUGH and not described:
                logger.warning(
                    "none of %d pictures of the shards has a description (a .txt of its name): "
                    "stage 2 learns no words from them",
                    ENOUGH,
                )
            seed = [self.config.seed, reader, number]
            yield replace(augment(image, photo.texts, self.config, seed), skipped=skipped)

    def _photos(self, reader: int, passed: int) -> Iterator[Photo]:
        """Yield photos round by round, from the one after those passed over.

        In any order a round is as long as the first: no other is read to be passed over.
        """
        first = self._round(reader, 0)
        size = sum(1 for _ in islice(first, passed))
        if size == passed:
            return chain(first, self._rounds(reader, 1))
        rounds, rest = divmod(passed, size)
        return islice(self._rounds(reader, rounds), rest, None)

    def _rounds(self, reader: int, number: int) -> Iterator[Photo]:
        return chain.from_iterable(self._round(reader, n) for n in count(number))

    def _round(self, reader: int, number: int) -> Iterator[Photo]:
        from webdataset.filters import shuffle

        urls = self.urls[reader :: self.readers]
        rng = random.Random(f"{self.config.seed} {reader} {number}")
        photos = chain.from_iterable(map(_photos_of, rng.sample(urls, len(urls))))
        return shuffle(BUFFER, initial=BUFFER, rng=rng)(photos)


def _as_url(pattern: str) -> str:
    r"""Write a path of Windows (`C:\photos-{0..9}.tar`) so that webdataset takes it as a path."""
    if not re.match(r"[A-Za-z]:[\\/]", pattern):
        return pattern
    return "file:///" + pattern.replace("\\", "/")


def _photos_of(url: str) -> Iterator[Photo]:
    """Yield a shard's photos and, for what is amiss in it, such without a picture."""
    from webdataset.tariterators import group_by_keys

    amiss: list[Photo] = []

    def noted(error: Exception) -> bool:
        if not isinstance(error, ValueError):
            raise error
        amiss.append(Photo(url, None, reason=str(error.args[0])))  # a name that comes twice
        return True

    some = False
    for sample in group_by_keys(_files_of(url, amiss), handler=noted):
        some = True
        yield _photo(sample)
    if not (some or amiss):
        amiss.append(Photo(url, None, reason="the shard holds no samples"))
    yield from amiss


def _files_of(url: str, amiss: list[Photo]) -> Iterator[dict[str, Any]]:
    """Yield a shard's files as webdataset has them, but none that would fill the memory."""
    from webdataset.gopen import gopen

    try:
        opened: Any = gopen(url)
        with opened as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
            kept: Any = archive
            for member in filter(tarfile.TarInfo.isreg, archive):
                kept.members = []  # it would keep millions
                if METADATA.search(member.name):
                    continue
                file = archive.extractfile(member)
                if member.issparse() or member.size > LARGEST or file is None:
                    reason = f"it is sparse or larger than {LARGEST // 2**20} MiB"
                    amiss.append(Photo(f"{url}: {member.name}", None, reason=reason))
                else:
                    yield {"fname": member.name, "data": file.read(), "__url__": url}
    except BROKEN as error:
        told = getattr(error, "strerror", None) or error
        reason = f"the shard ends here: {type(error).__name__}: {told}"
        amiss.append(Photo(url, None, reason=reason))


def _photo(sample: dict[str, Any]) -> Photo:
    pictures = [sample[key] for key in KEYS if key in sample]
    text = sample.get("txt", b"").decode("utf-8", errors="replace")
    return Photo(
        name=f"{sample['__url__']}: {sample['__key__']}",
        source=pictures[0] if pictures else None,
        texts=tuple(line.strip() for line in text.splitlines() if line.strip()),
    )
