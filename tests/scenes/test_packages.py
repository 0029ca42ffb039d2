"""Pictures out of packages and archives."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from sparse_archives import add_sparse

from lcad_nodes.scenes import packages
from lcad_nodes.scenes.packages import SourceError, read_sources, resources


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


def archives(folder: Path) -> None:
    """One file of each kind that a list can name."""
    (folder / "plain.jpg").write_bytes(b"plain")
    content = resource_file(3, ["x", "activities", "erase", "calf.webp"], b"resource")
    (folder / "a.rcc").write_bytes(content)
    with zipfile.ZipFile(folder / "b.sh3f", "w") as archive:
        archive.writestr("c/chair.png", b"zipped")
    with tarfile.open(folder / "d.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("e/1f400.webp")
        entry.size = 6
        archive.addfile(entry, io.BytesIO(b"tarred"))


def test_files_are_read_in_the_order_of_the_list(tmp_path: Path) -> None:
    archives(tmp_path)
    listed = {
        "1": "d.tgz:e/1f400.webp",
        "2": "plain.jpg",
        "3": "b.sh3f:c/chair.png",
        "4": "a.rcc:erase/calf.webp",
    }
    read = list(read_sources(listed, tmp_path.joinpath))
    assert read == [b"tarred", b"plain", b"zipped", b"resource"]


@pytest.mark.parametrize("archive", ["a.rcc", "b.sh3f", "d.tgz"])
def test_what_another_version_of_a_package_lacks_is_named(tmp_path: Path, archive: str) -> None:
    archives(tmp_path)
    with pytest.raises(SourceError, match=rf"{archive} holds no erase/cow\.webp"):
        list(read_sources({"cow": f"{archive}:erase/cow.webp"}, tmp_path.joinpath))


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"qres"])
@pytest.mark.parametrize("name", ["a.rcc", "b.sh3f", "d.tgz"])
def test_what_is_no_archive_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name} is cut short, or is no archive"):
        list(read_sources({"cow": f"{name}:erase/cow.webp"}, tmp_path.joinpath))


@pytest.mark.parametrize("archive", ["a.rcc", "b.sh3f", "d.tgz"])
def test_an_archive_cut_short_is_named(tmp_path: Path, archive: str) -> None:
    archives(tmp_path)
    whole = (tmp_path / archive).read_bytes()
    (tmp_path / archive).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=f"{archive} is cut short, or is no archive"):
        list(read_sources({"cow": f"{archive}:erase/cow.webp"}, tmp_path.joinpath))


@pytest.mark.parametrize("name", ["hole.png", "huge.png"])
@pytest.mark.parametrize("archive", ["a.tgz", "b.zip"])
def test_what_would_fill_the_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: str, name: str
) -> None:
    monkeypatch.setattr(packages, "LARGEST", 2**20)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        add_sparse(tar, "hole.png", 2**29)
        entry = tarfile.TarInfo("huge.png")
        entry.size = 2**20 + 1
        tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("huge.png", bytes(2**20 + 1))
    with pytest.raises(SourceError, match=rf"{archive} holds no {name}, or one above 1 MiB"):
        list(read_sources({"one": f"{archive}:{name}"}, tmp_path.joinpath))


def test_of_an_archive_only_what_is_listed_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "many.tar", "w") as archive:
        for name in ("one", "other", "third"):
            archive.addfile(tarfile.TarInfo(name))
    opened = []
    extract = tarfile.TarFile.extractfile

    def noted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> object:
        opened.append(member.name)
        return extract(archive, member)

    monkeypatch.setattr(tarfile.TarFile, "extractfile", noted)
    assert list(read_sources({"a": "many.tar:other"}, tmp_path.joinpath)) == [b""]
    assert opened == ["other"]


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="install the package"):
        list(read_sources({"cow": "cow.jpg"}, tmp_path.joinpath))
