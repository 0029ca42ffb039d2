"""Photographs collected from Debian's packages."""

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lcad_nodes.evaluation.photographs import SourceError, collect, resources, sources


def jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).resize((900, 600)).save(stream, "JPEG")
    return stream.getvalue()


def resource_file(version: int, path: list[str], content: bytes) -> bytes:
    """A Qt resource file that holds one file in a folder for each part of its path but the last."""
    names, nodes = b"", b""
    padding = b"" if version == 1 else bytes(8)
    for index, part in enumerate(["", *path]):
        where = len(names)
        names += struct.pack(">HI", len(part), 0) + part.encode("utf-16-be")
        if index < len(path):
            nodes += struct.pack(">IHII", where, 2, 1, index + 1) + padding
        else:
            nodes += struct.pack(">IHHHI", where, 0, 0, 0, 0) + padding
    data = struct.pack(">I", len(content)) + content
    header = 24 if version > 2 else 20
    offsets = [version, header, header + len(nodes), header + len(nodes) + len(data)]
    return b"qres" + struct.pack(">4I", *offsets) + bytes(header - 20) + nodes + data + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_files_come_out_of_a_qt_resource_file(version: int) -> None:
    data = resource_file(version, ["src", "activities", "erase", "calf.webp"], b"picture")
    assert dict(resources(data)) == {"erase/calf.webp": b"picture"}


def test_what_is_no_resource_file_is_an_error() -> None:
    with pytest.raises(SourceError, match="qres"):
        dict(resources(b"PK..."))


def test_the_list_names_each_photograph_once() -> None:
    listed = sources()
    assert len(listed) > 250
    assert len(set(listed.values())) == len(listed)
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in listed)


def test_photographs_are_collected_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"plain": "a/b.jpg", "bundled": "c.rcc:erase/calf.webp"}
    monkeypatch.setattr("lcad_nodes.evaluation.photographs.sources", lambda: listed)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.jpg").write_bytes(jpeg())
    bundle = resource_file(3, ["x", "activities", "erase", "calf.webp"], jpeg())
    (tmp_path / "c.rcc").write_bytes(bundle)
    assert collect(tmp_path / "out", tmp_path) == 2
    for name in listed:
        with Image.open(tmp_path / "out" / f"{name}.jpg") as photo:
            assert photo.size == (768, 512)


def test_a_photograph_that_another_version_of_a_package_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"bundled": "c.rcc:erase/cow.webp"}
    monkeypatch.setattr("lcad_nodes.evaluation.photographs.sources", lambda: listed)
    bundle = resource_file(3, ["x", "activities", "erase", "calf.webp"], jpeg())
    (tmp_path / "c.rcc").write_bytes(bundle)
    with pytest.raises(SourceError, match=r"holds no erase/cow\.webp"):
        collect(tmp_path / "out", tmp_path)


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="install the Debian package"):
        collect(tmp_path / "out", tmp_path)
