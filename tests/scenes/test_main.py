"""The command lines of scenes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lcad_nodes.scenes import __main__ as scenes
from lcad_nodes.scenes import photographs, renderings


@pytest.fixture(autouse=True)
def _without_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture is listed, that no package holds, and one in an archive that is none."""
    (tmp_path / "list.txt").write_text("cow no-package/cow.jpg\n", encoding="utf-8")
    (tmp_path / "emoji.txt").write_text("cow-1 fluent-emoji-3d:cow.webp\n", encoding="utf-8")
    (tmp_path / "page.tgz").write_bytes(b"<html>")
    monkeypatch.setattr(photographs, "LIST", tmp_path / "list.txt")
    monkeypatch.setattr(renderings, "LIST", tmp_path / "emoji.txt")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (scenes.main, ["--stamps", ".", "--out", "sheet.png"], "cut-outs"),
        (scenes.main, ["--stamps", "missing", "--out", "sheet.png"], "missing"),
        (photographs.main, ["--out", "out"], r"cow\.jpg is missing: install the package"),
        (renderings.main, ["--emoji", "missing", "--out", "out"], "missing is missing"),
        (renderings.main, ["--emoji", "page.tgz", "--out", "out"], r"page\.tgz is .*no archive"),
    ],
)
def test_what_is_wrong_is_told_without_a_traceback(
    command: Callable[[Sequence[str]], None], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        command(arguments)
