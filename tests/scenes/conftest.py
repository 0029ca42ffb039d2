"""What the tests of scenes share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def stamp(tmp_path: Path) -> Callable[[Image.Image, str], Path]:
    """Write one cut-out and its caption; the folder that it is in."""

    def write(image: Image.Image, caption: str) -> Path:
        image.save(tmp_path / "thing.png")
        (tmp_path / "thing.txt").write_text(caption, encoding="utf-8")
        return tmp_path

    return write
