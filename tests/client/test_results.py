"""What is asked of a server, and what becomes of its answers. None runs here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import EpsImagePlugin, Image

from lcad_nodes.client.colorize import Colorizer
from lcad_nodes.client.photos import Photo
from lcad_nodes.client.server import Server, WorkflowError
from lcad_nodes.client.workflow import SAVE, Settings

SETTINGS = Settings()


@pytest.fixture
def answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, str]], Image.Image]:
    """Colorizes with something that answers that a file is the result."""
    for name in ("input", "temp"):
        (tmp_path / "base" / name).mkdir(parents=True)

    def run(file: dict[str, str]) -> Image.Image:
        data = {"node": SAVE, "output": {"images": [file]}}
        events = [{"type": "executed", "data": data}]
        monkeypatch.setattr(Server, "events", lambda *_: iter(events))
        server = Server(None, 1, tmp_path / "base")  # pyright: ignore[reportArgumentType]
        photo = Photo(Image.new("RGB", (8, 6)), None, Image.Exif(), None, None)
        return Colorizer(server, SETTINGS)(photo, "a red cup")

    return run


def test_a_result_is_taken_from_the_servers_folder(tmp_path: Path, answered: Any) -> None:
    (tmp_path / "base/temp/some").mkdir()
    Image.new("RGB", (8, 6), "red").save(tmp_path / "base/temp/some/a.png")
    picture = answered({"subfolder": "some", "filename": "a.png"})
    assert picture.getpixel((0, 0)) == (255, 0, 0)
    assert not [*(tmp_path / "base").rglob("*.png")]


@pytest.mark.parametrize("name", ["{}/mine.png", "../../mine.png", "link.png"])
@pytest.mark.parametrize("key", ["subfolder", "filename"])
def test_a_file_outside_of_the_servers_folder_is_neither_taken_nor_removed(
    tmp_path: Path, answered: Any, name: str, key: str
) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "mine.png")
    (tmp_path / "base/temp/link.png").symlink_to(tmp_path / "mine.png")
    with pytest.raises(WorkflowError, match=r"mine\.png as its result, which is not in its folder"):
        answered({"subfolder": "", "filename": "", key: name.format(tmp_path)})
    assert (tmp_path / "mine.png").exists()


def test_no_decoder_that_starts_programs_sees_a_result(
    tmp_path: Path, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: started.append(given))
    lines = ["%!PS-Adobe-3.0 EPSF-3.0", "%%BoundingBox: 0 0 9 9", "%%EndComments", "showpage", ""]
    (tmp_path / "base/temp/a.png").write_text("\n".join(lines), encoding="ascii")
    with pytest.raises(OSError, match="cannot identify"):
        answered({"subfolder": "", "filename": "a.png"})
    assert not started
