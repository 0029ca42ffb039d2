"""Rendered things collected as stamps."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from lcad_nodes.scenes.cutouts import object_name, read_cutouts
from lcad_nodes.scenes.packages import SourceError, read_list
from lcad_nodes.scenes.renderings import LIST, collect


def disc() -> bytes:
    """A shaded disc on nothing."""
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    alpha = 255 * (x * x + y * y < 1)
    light = 128 + 100 * x
    pixels = np.stack([light, light, light, alpha], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_every_listed_thing_has_a_name_and_is_listed_once() -> None:
    listed = read_list(LIST)
    assert len(listed) > 1000
    assert len(set(listed.values())) == len(listed)
    for name in listed:
        thing, number = name.rsplit("-", 1)
        assert number.isdigit()
        assert object_name(f"The {thing.replace('-', ' ')}.") == thing.replace("-", " ")


def test_things_become_stamps_that_scenes_are_made_of(tmp_path: Path) -> None:
    (tmp_path / "chair.png").write_bytes(disc())
    with tarfile.open(tmp_path / "emoji.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("1f9fb.webp")
        entry.size = len(disc())
        archive.addfile(entry, io.BytesIO(disc()))
    listed = {"deck-chair-1": "chair.png", "toilet-paper-1": "fluent-emoji-3d:1f9fb.webp"}
    assert collect(listed, tmp_path / "emoji.tgz", tmp_path / "out", tmp_path) == 2
    cutouts = read_cutouts([tmp_path / "out"], "train")
    assert [cutout.name for cutout in cutouts] == ["deck chair", "toilet paper"]


def test_what_would_start_a_program_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = io.BytesIO()
    Image.new("RGB", (8, 8)).save(figure, "EPS")
    (tmp_path / "figure.png").write_bytes(figure.getvalue())
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: started.append(given))
    with pytest.raises(SourceError, match=r"figure\.png is no picture"):
        collect({"figure-1": "figure.png"}, tmp_path / "none", tmp_path / "out", tmp_path)
    assert not started
