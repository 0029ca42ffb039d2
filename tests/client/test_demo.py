"""The sheet of example photos, from the real server."""

from pathlib import Path

import numpy as np
import pytest
from conftest import COMFYUI
from PIL import Image

from lcad_nodes.client import demo
from lcad_nodes.client.photos import read
from lcad_nodes.client.server import ROOT


def test_every_example_is_there_and_has_three_descriptions() -> None:
    for name, texts in demo.EXAMPLES.items():
        assert (ROOT / "photos" / name).is_file()
        assert len(texts) == 3


@pytest.mark.slow
def test_the_sheet_shows_the_photo_and_each_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(demo, "EXAMPLES", {"cup.jpg": ("a red cup", "")})
    path = demo.demo(COMFYUI, tmp_path / "new", cpu=True)
    assert [line for line in caplog.messages if line.startswith("[")] == [
        "[1/2] cup.jpg: “a red cup”",
        "[2/2] cup.jpg: no words",
    ]
    photo = read(ROOT / "photos" / "cup.jpg").picture
    reds = []
    for number in (1, 2):
        with Image.open(tmp_path / "new" / f"cup-{number}.png") as image:
            assert image.size == photo.size
            red, green, _ = np.asarray(image, dtype=float).transpose(2, 0, 1)
            reds.append((red - green).max())
    assert reds[0] > 2 * reds[1]
    with Image.open(path) as sheet:
        assert sheet.size == (3 * (300 + 18) + 18, 64 + 240 + 34 + 18)
        tiles = [np.asarray(sheet.crop((x, 64, x + 300, 304)), float) for x in (18, 336, 654)]
    colors = [np.ptp(tile, axis=2).max() for tile in tiles]
    assert colors[0] < 8 < colors[1]  # the photo is gray, and its paper nearly so
