"""What is said while a folder is colorized. Its photos are broken: no server is asked for them."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lcad_nodes.client import __main__ as client
from lcad_nodes.client import colorize, photos
from lcad_nodes.client.colorize import Colorizer, colorize_many
from lcad_nodes.client.jobs import Job
from lcad_nodes.client.photos import PhotoError
from lcad_nodes.client.server import Server, ServerError
from lcad_nodes.client.workflow import Settings

START_SECONDS = 3600


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> list[Job]:
    """Five broken photos, for servers that take an hour to start."""
    caplog.set_level(logging.INFO)
    clock = [time.monotonic()]

    @contextmanager
    def started(*_: object, **__: object) -> Iterator[Colorizer]:
        clock[0] += START_SECONDS
        yield Colorizer(Server.__new__(Server), Settings())

    monkeypatch.setattr(colorize, "colorizer", started)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for name in "abcde":
        (tmp_path / f"{name}.png").write_text("Dear all")
    return [Job(tmp_path / f"{n}.png", "", tmp_path / f"{n}.color.png") for n in "abcde"]


def stopping(monkeypatch: pytest.MonkeyPatch, error: type[BaseException], names: str) -> None:
    """Make the run stop at some photos."""
    read = photos.read

    def stopped(path: Path) -> photos.Photo:
        if path.stem in names:
            raise error("it has stopped")
        return read(path)

    monkeypatch.setattr(photos, "read", stopped)


def run(jobs: list[Job], folder: Path) -> int:
    return colorize_many(jobs, folder, Settings(), None, cpu=True)


def test_the_time_left_is_that_of_photos_and_not_of_the_start(
    jobs: list[Job], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(jobs, tmp_path) == 5
    said = [line for line in caplog.messages if line.startswith("[")]
    assert all(line.endswith("(less than a minute left)") for line in said[:4])
    assert not said[4].endswith("left)")
    assert "0 colorized, 5 failed" in caplog.text


@pytest.mark.parametrize(
    ("error", "names", "sum_up"),
    [(KeyboardInterrupt, "c", "2 failed, 3 left"), (ServerError, "bcd", "3 failed, 2 left")],
)
def test_what_failed_is_told_even_where_the_run_is_stopped(
    jobs: list[Job],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    names: str,
    sum_up: str,
) -> None:
    stopping(monkeypatch, error, names)
    with pytest.raises(error):
        run(jobs, tmp_path)
    assert f"0 colorized, {sum_up}" in caplog.text
    assert f"  {tmp_path / 'a.png'}: a.png is not a picture" in caplog.text


def test_large_scans_are_handled_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(client.signal, "signal", lambda *_: None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)  # of which it warns, up to twice as many
    for name in ("scan.png", "scan.color.png"):
        Image.new("1", (10, 10)).save(tmp_path / name)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert client.main(["colorize", str(tmp_path)]) == 0
    assert "scan.color.png is there and was not made by this" in caplog.text
    assert "1 photos, 0 of them finished before" in caplog.text
    assert not warned


def test_a_failure_without_a_word_is_a_failure(
    jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def silent(_path: Path) -> photos.Photo:
        raise PhotoError

    monkeypatch.setattr(photos, "read", silent)
    assert run(jobs, tmp_path) == len(jobs)
    assert f"  {jobs[0].photo}: PhotoError" in caplog.messages
