"""Photographs collected from Debian's packages."""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from lcad_nodes.scenes.packages import read_list
from lcad_nodes.scenes.photographs import LIST, MORE, collect


def jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((900, 600)).save(stream, "JPEG")
    return stream.getvalue()


def test_the_lists_name_each_photograph_once() -> None:
    listed, more = read_list(LIST), read_list(MORE)
    assert (len(listed), len(more)) == (272, 118)  # what is measured with is not to change
    assert len({*listed, *more}) == len({*listed.values(), *more.values()}) == 390
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in (*listed, *more))


def test_photographs_are_collected_small(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.jpg").write_bytes(jpeg())
    assert collect({"plain": "a/b.jpg"}, tmp_path / "out", tmp_path) == 1
    with Image.open(tmp_path / "out" / "plain.jpg") as photo:
        assert photo.size == (768, 512)
