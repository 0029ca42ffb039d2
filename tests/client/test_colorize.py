"""From file to file through the real server: folders, tables, masks, and what goes wrong."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COMFYUI
from PIL import ExifTags, Image, ImageOps

from lcad_nodes.client import colorize, photos
from lcad_nodes.client.colorize import colorize_many, colorizer
from lcad_nodes.client.jobs import in_folder
from lcad_nodes.client.server import ROOT, Server, ServerError
from lcad_nodes.client.workflow import Settings

QUICK = Settings(steps=2, resolution=64)

pytestmark = pytest.mark.slow


def slope(width: int, height: int) -> Image.Image:
    """A gray picture, darker at the left."""
    return Image.fromarray(np.tile(np.linspace(40, 220, width, dtype=np.uint8), (height, 1)))


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lcad_nodes.client", "colorize", *arguments]
    command += ["--cpu", "--comfyui", COMFYUI, "--steps", "2", "--resolution", "64"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def test_a_table_of_a_folder(tmp_path: Path) -> None:
    """Scans of all kinds; what cannot be read is named, what is finished is not made again."""
    folder, out = tmp_path / "Großmutters Fotos", tmp_path / "in color"
    folder.mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "Grandmother"
    slope(96, 64).save(folder / "turned.jpg", exif=exif, dpi=(300, 300))
    deep = np.tile(np.linspace(9000, 60000, 80).astype(np.uint16), (72, 1))
    Image.fromarray(deep).save(folder / "scan, deep.tif", dpi=(600, 600))
    (folder / "broken.png").write_bytes(b"not a picture")
    table = tmp_path / "words.csv"
    rows = ['turned.jpg,"a red cup, a blue hat"', "broken.png,a red cup", '"scan, deep.tif",']
    table.write_text("\n".join(["file,text", *rows]), encoding="utf-8-sig")

    first = run(folder, str(table), "-o", out)
    assert first.returncode == 1, first.stdout + first.stderr
    assert "2 colorized, 1 failed" in first.stdout
    assert "broken.png is not a picture" in first.stdout
    assert {file.name for file in out.iterdir()} == {"turned.color.jpg", "scan, deep.color.tif"}
    with Image.open(out / "turned.color.jpg") as image:
        assert image.size == (64, 96)
        assert image.getexif()[ExifTags.Base.Artist] == "Grandmother"
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert image.info["dpi"] == (300, 300)
        gray = np.asarray(image.convert("L"), dtype=float)
        assert np.ptp(np.asarray(image), axis=2).max() > 8  # in color
    upright = np.asarray(slope(96, 64).rotate(-90, expand=True), dtype=float)
    assert np.corrcoef(gray.flat, upright.flat)[0, 1] > 0.95
    with Image.open(out / "scan, deep.color.tif") as image:
        assert (image.mode, image.size) == ("RGB", (80, 72))

    os.remove(folder / "broken.png")  # noqa: PTH107
    slope(64, 64).save(folder / "broken.png")
    slope(64, 64).save(folder / "painted.png")
    slope(64, 64).save(out / "painted.color.png")
    words = table.read_text(encoding="utf-8").replace("a red cup, a blue hat", "a green cup")
    table.write_text(f"{words}\npainted.png,a blue hat", encoding="utf-8")
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    second = run(folder, str(table), "-o", out)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "4 photos, 1 of them finished before" in second.stdout
    assert "painted.color.png is there and was not made by this" in second.stdout
    after = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {
        "turned.color.jpg",
        "broken.color.png",
    }


def test_masks_of_a_photo(tmp_path: Path) -> None:
    """Every phrase goes with its own mask, and nothing is left in the server's folders."""
    file = _saved(slope(96, 64), tmp_path / "photo.png")
    photo = photos.read(file)
    left = Image.new("L", (96, 64))
    left.paste(255, (0, 0, 48, 64))
    right = left.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    edited = [photos.read_mask(_with_hole(file, hole), (96, 64)) for hole in (left, right)]
    text, phrases = "a red cup, a blue hat", ["a red cup", "a blue hat"]
    orders = ([], []), (phrases, [left, right]), (phrases, [right, left]), (phrases, edited)
    with colorizer(COMFYUI, replace(QUICK, steps=4), None, cpu=True) as colorize_photo:
        made = [np.asarray(colorize_photo(photo, text, *given), dtype=float) for given in orders]
        base = colorize_photo.server.base
        left_over = [*(base / "input").rglob("*.png"), *(base / "temp").rglob("*.png")]
        assert not left_over
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(made[one] - made[other]).mean() > 1
    assert np.array_equal(made[3], made[1])


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """The real ComfyUI, whose configuration names folders of its user's: another model of the
    shipped one's name, and a node that leaves a file where it was loaded."""
    comfyui, models, packs = (tmp_path / name for name in ("ComfyUI", "models", "packs"))
    for folder in (comfyui, models, packs):
        folder.mkdir()
    for entry in Path(COMFYUI).iterdir():
        if entry.name not in {"main.py", "extra_model_paths.yaml"}:
            (comfyui / entry.name).symlink_to(entry)
    shutil.copy(Path(COMFYUI) / "main.py", comfyui)  # beside it, ComfyUI looks for the other file
    (models / Settings().checkpoint).write_text("another")
    (packs / "pack.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').close()")
    folders = {"is_default": True, "checkpoints": str(models), "custom_nodes": str(packs)}
    (comfyui / "extra_model_paths.yaml").write_text(json.dumps({"mine": folders}))
    return comfyui


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_what_comfyui_is_configured_for_changes_no_result(tmp_path: Path, configured: Path) -> None:
    photo = photos.read(_saved(slope(96, 64), tmp_path / "photo.png"))
    with colorizer(configured, QUICK, None, cpu=True) as colorize_photo:
        said = (colorize_photo.server.base / "server.log").read_text(encoding="utf-8")
        assert colorize_photo(photo, "a red cup").size == (96, 64)
    assert f"extra search path checkpoints {tmp_path / 'models'}" in said
    assert not (tmp_path / "loaded").exists()


def _with_hole(photo: Path, hole: Image.Image) -> Path:
    """Save a photo with a mask as ComfyUI's mask editor does."""
    with Image.open(photo) as image:
        edited = image.convert("RGBA")
    edited.putalpha(ImageOps.invert(hole))
    return _saved(edited, photo.with_name("clipspace.png"))


def test_a_server_that_stops_takes_one_photo_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another goes on with the rest; where all stop at once, it is given up."""
    caplog.set_level("INFO")
    for name in "abcdefg":
        _saved(slope(64, 64), tmp_path / f"{name}.png")
    servers: list[Server] = []
    run_server, read = colorize.run_server, photos.read

    @contextmanager
    def remembered(*args: Any, **kwargs: Any) -> Iterator[Server]:
        running: AbstractContextManager[Server] = run_server(*args, **kwargs)
        with running as server:
            servers.append(server)
            yield server

    def deadly(path: Path) -> photos.Photo:
        if path.stem in "bcefg":
            servers[-1].process.kill()
            servers[-1].process.wait()
        return read(path)

    monkeypatch.setattr(colorize, "run_server", remembered)
    monkeypatch.setattr(photos, "read", deadly)
    with pytest.raises(ServerError, match=r"(?s)stopped.*stopped at 3 photos in a row: e\.png, f"):
        colorize_many(in_folder(tmp_path, "", None), COMFYUI, QUICK, None, cpu=True)
    assert {file.stem for file in tmp_path.glob("*.color.png")} == {"a.color", "d.color"}
    assert len(servers) == 5
    assert "b.png failed: ComfyUI stopped at it" in caplog.text


def _saved(picture: Image.Image, file: Path) -> Path:
    picture.save(file)
    return file
