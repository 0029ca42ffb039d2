"""Webdataset shards: everything is seen once a round, and training goes on anywhere."""

import io
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from sparse_archives import add_sparse

from lcad_nodes.training.config import ConfigError, DataConfig
from lcad_nodes.training.data import shards as shards_of_data
from lcad_nodes.training.data.batches import Batch, batches
from lcad_nodes.training.data.pictures import DataError, Photo
from lcad_nodes.training.data.shards import Shards


def _shards(pattern: str, first: int = 0, process: int = 0, processes: int = 1) -> Shards:
    """Pictures as they are, of 8 px, in batches of one."""
    config = DataConfig(
        shards=(pattern,),
        size=8,
        smallest_crop=1.0,
        flipped=0.0,
        dropped=0.0,
        shortened=0.0,
        workers=0,
    )
    return Shards(config, 1, (process, processes), first)


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
    whole = _take(config, 0, 18)
    for first in (1, 4, 7, 15):
        for a, b in zip(whole[first:], _take(config, first, 18 - first), strict=True):
            assert torch.equal(a.images, b.images)
            assert a.texts == b.texts


def test_a_round_shows_every_picture_once_and_text_stays_with_its_picture(shards: str) -> None:
    stream = iter(_shards(shards))
    taken = [next(stream) for _ in range(40)]
    numbers = [round(float(sample.image[0, 0, 0]) * 255 / 10) for sample in taken]
    for sample, number in zip(taken, numbers, strict=True):
        assert sample.text in (f"number {number}", f"its number is {number}")
    for one_round in (numbers[:20], numbers[20:]):
        assert set(one_round) == set(range(20)) - {7}
        assert one_round != sorted(one_round)
    assert numbers[:20] != numbers[20:]


@pytest.mark.parametrize("passed", [0, 7, 19, 20, 21, 40, 105])
def test_rounds_that_were_seen_are_not_read_again(
    shards: str, passed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = iter(_shards(shards))
    seen = [next(whole) for _ in range(passed + 3)]
    photos_of, read = shards_of_data._photos_of, list[str]()

    def noted(url: str) -> Iterator[Photo]:
        read.append(url)
        return photos_of(url)

    monkeypatch.setattr(shards_of_data, "_photos_of", noted)
    resumed = iter(_shards(shards, passed))
    for expected in seen[passed:]:
        found = next(resumed)
        assert torch.equal(found.image, expected.image)
        assert found.text == expected.text
    assert len(read) <= 3 * 4  # the round that is counted, and those that are shown


def test_processes_and_workers_share_the_shards_out(shards: str) -> None:
    seen = []
    for process in range(2):
        stream = iter(_shards(shards, 0, process, 2))
        seen.append({round(float(next(stream).image[0, 0, 0]) * 25.5) for _ in range(10)})
    assert seen[0] | seen[1] == set(range(20)) - {7}
    assert not seen[0] & seen[1]


def test_what_cannot_be_read_is_named_once(shards: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _take(DataConfig(shards=(shards,), size=16, workers=0), 0, 20)
    (line,) = [r.message for r in caplog.records if r.message.startswith("skipped")]
    assert "photos-1.tar: 7 (it is no picture of a known format)" in line


@pytest.mark.parametrize(("processes", "workers"), [(5, 0), (5, 1), (1, 5)])
def test_fewer_shards_than_readers_are_refused_before_any_is_read(
    shards: str, processes: int, workers: int
) -> None:
    with pytest.raises(DataError, match=r"4 shards cannot be dealt out to 5 readers"):
        Shards(DataConfig(shards=(shards,), workers=workers), 1, (0, processes), 0)


def test_workers_that_would_have_no_shard_are_told_of_in_a_line(shards: str) -> None:
    with pytest.raises(DataError, match=r"^4 shards cannot be dealt out to 6 readers"):
        _take(DataConfig(shards=(shards,), size=16, workers=6), 0, 1)


def test_shards_cut_short_are_read_as_far_as_they_go_and_named(
    shards: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (tmp_path / "photos-2.tar").read_bytes()
    third = 2 * 4 * tarfile.BLOCKSIZE  # a picture and a text, each with a head
    (tmp_path / "photos-2.tar").write_bytes(whole[: third + tarfile.BLOCKSIZE + 20])
    (tmp_path / "photos-0.tar").write_bytes(b"")
    (tmp_path / "photos-3.tar").unlink()
    with caplog.at_level(logging.WARNING):
        taken = _take(DataConfig(shards=(shards,), size=8, workers=0), 0, 8)
    seen = {round(float(image[0, 0, 0]) * 25.5) for batch in taken for image in batch.images}
    assert seen == {5, 6, 8, 9, 10, 11}
    said = sorted(r.message for r in caplog.records if "photos-1" not in r.message)
    assert [line.partition(".tar")[0][-1] for line in said] == ["0", "2", "3"]
    assert "photos-2.tar (the shard ends here: ReadError: unexpected end of data" in said[1]
    assert "photos-3.tar (the shard ends here: FileNotFoundError: No such file" in said[2]


@pytest.mark.parametrize("described", [True, False])
def test_shards_without_descriptions_are_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, described: bool
) -> None:
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "png")
    with tarfile.open(tmp_path / "few.tar", "w") as archive:
        for number in range(10):
            _add(archive, f"{number}.png", png.getvalue())
            _add(archive, f"{number}.txt" if described else f"{number}.caption", b"a square")
    stream = iter(_shards(str(tmp_path / "few.tar")))
    for _ in range(250):
        next(stream)
    assert caplog.text.count("has a description (a .txt of its name)") == (not described)


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        (r"C:\photos\a-{0..1}.tar", "file:///C:/photos/a-0.tar"),
        ("D:/photos/a-{0..1}.tar", "file:///D:/photos/a-0.tar"),
        ("photos/a-{0..1}.tar", "photos/a-0.tar"),
        ("https://example.org/a-{0..1}.tar", "https://example.org/a-0.tar"),
    ],
)
def test_a_drive_of_windows_is_no_scheme(pattern: str, first: str) -> None:
    assert _shards(pattern).urls[0] == first


@pytest.mark.parametrize(
    "pattern", ["pipe:touch ran", "a.tar::pipe:touch ran", "{a.tar,pipe:touch ran}", "gs://a/b.tar"]
)
def test_shards_that_would_run_a_command_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"shards: expected paths.*not '(pipe:touch ran|gs:)"):
        _shards(pattern)


def test_what_would_fill_the_memory_is_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shards_of_data, "LARGEST", 2**20)
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "png")
    with tarfile.open(tmp_path / "bomb.tar", "w") as archive:
        _add(archive, "first.png", png.getvalue())
        _add(archive, "huge.png", bytes(2**20 + 1))
        add_sparse(archive, "sparse.png", 2**29)
        add_sparse(archive, "short.png", 8)
        _add(archive, "last.png", png.getvalue())
    with caplog.at_level(logging.WARNING):
        _take(DataConfig(shards=(str(tmp_path / "bomb.tar"),), size=8, workers=0), 0, 4)
    said = sorted(r.message.partition("bomb.tar: ")[2] for r in caplog.records)
    names = [line.partition(" (it is sparse or larger than 1 MiB)")[0] for line in said]
    assert names == ["huge.png", "short.png", "sparse.png"]


def test_shards_without_anything_to_read_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(DataError, match=r"empty\.tar: the shard holds no samples"):
        next(iter(_shards(str(tmp_path / "empty.tar"))))
