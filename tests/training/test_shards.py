"""Webdataset shards: everything is seen once a round, and training goes on anywhere."""

import io
import logging
import tarfile
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from lcad_nodes.training.config import DataConfig
from lcad_nodes.training.data.batches import Batch, batches
from lcad_nodes.training.data.captions import Detail
from lcad_nodes.training.data.pictures import Augment, DataError
from lcad_nodes.training.data.shards import Shards

WHOLE = Augment(8, 1.0, 0.0, Detail(0, 0))


@pytest.fixture
def shards(tmp_path: Path) -> str:
    """Four shards of five pictures, one of them broken, with two descriptions each."""
    for shard in range(4):
        with tarfile.open(tmp_path / f"photos-{shard}.tar", "w") as archive:
            for index in range(5):
                number = shard * 5 + index
                png = io.BytesIO()
                Image.new("RGB", (8, 8), (10 * number, 0, 0)).save(png, "png")
                broken = b"not a picture" if number == 7 else png.getvalue()
                _add(archive, f"{number}.png", broken)
                _add(
                    archive,
                    f"{number}.txt",
                    f"number {number}\n\nits number is {number}\n".encode(),
                )
    return str(tmp_path / "photos-{0..3}.tar")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _take(config: DataConfig, first: int, count: int) -> list[Batch]:
    source = batches(config, 3, Accelerator(), first)
    return [next(source) for _ in range(count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_training_sees_the_same_from_any_batch_on(shards: str, workers: int) -> None:
    config = DataConfig(shards=(shards,), size=16, workers=workers)
    whole = _take(config, 0, 12)
    for first in (1, 4, 7):
        for a, b in zip(whole[first:], _take(config, first, 12 - first), strict=True):
            assert torch.equal(a.images, b.images)
            assert a.texts == b.texts


def test_a_round_shows_every_picture_once_and_text_stays_with_its_picture(shards: str) -> None:
    stream = iter(Shards((shards,), WHOLE, 0, 1, (0, 1), 0))
    taken = [next(stream) for _ in range(40)]
    numbers = [round(float(sample.image[0, 0, 0]) * 255 / 10) for sample in taken]
    for sample, number in zip(taken, numbers, strict=True):
        assert sample.text in (f"number {number}", f"its number is {number}")
    for one_round in (numbers[:20], numbers[20:]):
        assert set(one_round) == set(range(20)) - {7}
        assert one_round != sorted(one_round)
    assert numbers[:20] != numbers[20:]


def test_processes_and_workers_share_the_shards_out(shards: str) -> None:
    seen = []
    for process in range(2):
        stream = iter(Shards((shards,), WHOLE, 0, 1, (process, 2), 0))
        seen.append({round(float(next(stream).image[0, 0, 0]) * 25.5) for _ in range(10)})
    assert seen[0] | seen[1] == set(range(20)) - {7}
    assert not seen[0] & seen[1]


def test_what_cannot_be_read_is_named_once(shards: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _take(DataConfig(shards=(shards,), size=16, workers=0), 0, 20)
    (line,) = [r.message for r in caplog.records if r.message.startswith("skipped")]
    assert "photos-1.tar: 7 (UnidentifiedImageError" in line


def test_fewer_shards_than_readers_are_refused(shards: str) -> None:
    with pytest.raises(DataError, match=r"4 shards cannot be dealt out to 5 readers"):
        next(iter(Shards((shards,), WHOLE, 0, 1, (4, 5), 0)))
