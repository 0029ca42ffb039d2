"""Tables of descriptions, and what of them is left to do."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from PIL import ExifTags, Image

from lcad_nodes.client.colorize import WEIGHTS, with_checkpoint
from lcad_nodes.client.jobs import Job, ResultError, TableError, digest_of, in_folder, in_table
from lcad_nodes.client.photos import PhotoError, read, write
from lcad_nodes.client.workflow import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.png", "c.bmp", "a.color.jpg"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    return tmp_path


def make(job: Job, settings: Settings) -> None:
    photo = read(job.photo)
    write(photo.picture, photo, job.out, job.made_from(photo.digest, settings))


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('file,text,out\na.jpg,"red, green",\nb.png,ä,x/y.webp\n\n', "utf-8"),
        ("File;Text;Out\na.jpg;red, green;\nb.png;ä;x/y.webp\n;;\n", "utf-8-sig"),
        ('file, text, out\na.jpg, "red, green",\n"b.png", "ä", "x/y.webp"\n', "utf-8"),
    ],
)
def test_tables_of_several_programs_are_read(folder: Path, text: str, encoding: str) -> None:
    jobs = in_table(table(folder, text, encoding), folder, None)
    assert jobs == [
        Job(folder / "a.jpg", "red, green", folder / "a.color.jpg"),
        Job(folder / "b.png", "ä", folder / "x/y.webp"),
    ]


@pytest.mark.parametrize(
    ("file", "out", "result"),
    [
        ("1950/a.jpg", None, "1950/a.color.jpg"),
        ("1950/a.jpg", "color", "color/1950/a.color.jpg"),
        ("../others/a.jpg", "color", "color/a.color.jpg"),
        ("/scans/a.jpg", "color", "color/a.color.jpg"),
    ],
)
def test_results_keep_the_folders_that_a_table_names(
    folder: Path, file: str, out: str | None, result: str
) -> None:
    place = folder / out if out else None
    (job,) = in_table(table(folder, f"file,text\n{file},red"), folder, place)
    assert (job.photo, job.out) == (folder / file, folder / result)


@pytest.mark.parametrize(("written", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_photo_is_found_whichever_form_of_unicode_its_name_has(
    folder: Path, written: Any, there: Any
) -> None:
    name = "Großmütter.png"
    photo = folder / normalize(there, name)
    Image.new("L", (8, 8)).save(photo)
    rows = f"file,text\n{normalize(written, name)},red\nnone/{name},blue"
    found, missing = in_table(table(folder, rows), folder, None)
    assert os.path.samefile(found.photo, photo)  # noqa: PTH121
    assert missing.photo == folder / "none" / name


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\f", "\v", "\x1c"])
def test_only_ends_of_lines_end_rows(folder: Path, mark: str) -> None:
    first, second = in_table(table(folder, f"file,text\na.jpg,red{mark}cup\nb.png,x"), folder, None)
    assert (first.text, second.text) == (f"red{mark}cup", "x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,text\na.jpg,red", "no column file"),
        ("file,text\na.jpg,red, green", "line 2: more columns"),
        ("file,text\n,red", "line 2: there is no file"),
        ("file,text\n.,red", "line 2: there is no file"),
        ('file,text\na.jpg,red\nb.png,"blue\nc.bmp,green\n', "line 3: unexpected end of data"),
        ('file,text\na.jpg,red\nb.png,"a 5" cup"\n', "line 3: ',' expected"),
        ("file,text\na.jpg," + 150_000 * "red ", "line 2: field larger than"),
        ("file,text\n", "names no photo"),
        ("file,text,out\na.jpg,red,b.png\nb.png,blue,", "would overwrite a photo"),
        ("file,text\na.jpg,red\na.jpg,blue", "both to be written"),
        ("file,text,out\na.jpg,red,a.gif", "a result is one of"),
        ("file,text\na.jpg,red\nb\0.png,blue", "line 3: it holds a NUL character"),
        ("file,text,out\na.jpg,red,\0.png", "line 2: it holds a NUL character"),
    ],
)
def test_a_wrong_table_is_refused_with_its_reason(folder: Path, text: str, reason: str) -> None:
    with pytest.raises(TableError, match=reason):
        in_table(table(folder, text), folder, None)


def test_a_table_in_another_encoding_says_how_to_save_it(folder: Path) -> None:
    with pytest.raises(TableError, match="CSV UTF-8"):
        in_table(table(folder, "file,text\na.jpg,grün", "cp1252"), folder, None)


def test_a_folder_means_its_photos_without_results(folder: Path) -> None:
    outs = [job.out.name for job in in_folder(folder, "", folder / "color")]
    assert outs == ["a.color.jpg", "b.color.png", "c.color.png"]


def test_folders_within_a_folder_are_said_to_be_left_out(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (folder / "a.color.jpg").unlink()
    in_folder(folder, "", None)
    assert not caplog.text
    (folder / "1950").mkdir()
    in_folder(folder, "", folder / "1950")  # results are no photos
    assert not caplog.text
    in_folder(folder, "", None)
    (line,) = caplog.messages
    assert "are left out: 1950. Colorize each folder by itself, or name its photos in a" in line


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_in_a_circle_keeps_no_other_photo_from_being_done(folder: Path) -> None:
    (folder / "d.png").symlink_to(folder / "d.png")
    outs = [job.out.name for job in in_folder(folder, "", folder / "color")]
    assert outs == ["a.color.jpg", "b.color.png", "c.color.png", "d.color.png"]
    with pytest.raises(PhotoError, match=r"d\.png cannot be read"):
        read(folder / "d.png")


def test_files_that_are_no_photos_are_said_to_be_left_out(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    make(Job(folder / "b.png", "", folder / "b.color.png"), Settings())
    for name in ("d.heic", "e.HEIC", "table.csv", ".hidden"):
        (folder / name).touch()
    in_folder(folder, "", None)
    assert "its files of other kinds are left out: .csv, .heic" in caplog.text
    assert caplog.messages[-1].endswith("named like a result is left out: a.color.jpg")


def test_only_the_same_words_and_settings_count_as_finished(folder: Path) -> None:
    job, settings = Job(folder / "b.png", "a grün car", folder / "b.color.png"), Settings()
    assert not job.is_finished(settings)
    make(job, settings)
    assert job.is_finished(settings)
    assert job.is_finished(replace(settings, tile_size=128))  # which changes no picture
    assert not replace(job, text="a red car").is_finished(settings)
    assert not job.is_finished(replace(settings, seed=1))


@pytest.mark.parametrize("later", [60, -600])
def test_a_result_that_was_retouched_is_finished_or_stays(folder: Path, later: int) -> None:
    job, settings = Job(folder / "b.png", "a red car", folder / "b.color.png"), Settings()
    make(job, settings)
    made = job.out.stat().st_mtime
    with Image.open(job.out) as image:
        image.save(job.out, exif=image.getexif())
    # Of some file systems times are even, or an hour off in summer.
    for off in (2, -2, 3600, 7202, -7200):
        os.utime(job.out, (made + off, made + off))
        job.require_replaceable(digest_of(job.photo))
    os.utime(job.out, (made + later, made + later))
    assert job.is_finished(settings)
    with pytest.raises(ResultError, match=r"b\.color\.png was changed, or copied, after it was"):
        job.is_finished(replace(settings, seed=1))
    with pytest.raises(ResultError, match=r"was changed, or copied"):
        job.require_replaceable(digest_of(job.photo))


def test_the_photo_is_read_in_full_only_where_all_else_is_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, settings = Job(folder / "b.png", "a red car", folder / "b.color.png"), Settings()
    make(job, settings)
    read: list[Path] = []
    told = "lcad_nodes.client.jobs.digest_of"
    monkeypatch.setattr(told, lambda file: read.append(file) or "")
    assert not replace(job, text="a blue car").is_finished(settings)
    assert not read
    job.is_finished(settings)
    assert read == [job.photo]


def test_masks_and_their_phrases_are_kept_in_what_a_result_was_made_from(folder: Path) -> None:
    settings = Settings()
    plain = Job(folder / "b.png", "a red car", folder / "b.color.png")
    masked = replace(plain, masked=(("red car", "1a"),))
    assert "masked" not in plain.made_from("", settings)  # as in results of older versions
    make(plain, settings)
    assert not masked.is_finished(settings)
    make(masked, settings)
    assert masked.is_finished(settings)
    assert not replace(masked, masked=(("red car", "2b"),)).is_finished(settings)
    for text in ("a red car", "a blue car"):
        with pytest.raises(ResultError, match=r"b\.color\.png was made with masks"):
            replace(plain, text=text).is_finished(settings)


def test_a_result_without_a_byte_is_made_again(folder: Path) -> None:
    (folder / "b.color.png").touch()
    job = Job(folder / "b.png", "", folder / "b.color.png")
    assert not job.is_finished(Settings())


def test_a_photo_that_cannot_be_read_is_not_said_to_be_another_one(folder: Path) -> None:
    job = Job(folder / "b.png", "a red car", folder / "b.color.png")
    make(job, Settings())
    job.photo.unlink()
    assert not replace(job).is_finished(Settings())


def test_a_name_that_cannot_be_is_not_finished(folder: Path) -> None:
    assert Job(folder / "a.jpg", "", folder / f"{'a' * 300}.jpg").found() == ""


def test_a_file_of_somebody_else_stays(folder: Path) -> None:
    with pytest.raises(ResultError, match=r"a\.color\.jpg is there and was not made by this"):
        Job(folder / "a.jpg", "", folder / "a.color.jpg").found()


@pytest.mark.parametrize(
    "said",
    [
        '5 {"photo": []}',
        '5 {"photo": {}}',
        "5 []",
        f"5 {'[' * 20_000}",
        f"{'9' * 400} {{}}",
        f"{'9' * 5000} {{}}",
        "5",
    ],
    ids=["photo a list", "photo a dict", "list", "deep", "400 digits", "5000 digits", "nothing"],
)
def test_what_only_looks_like_a_result_stays(folder: Path, said: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageHistory] = f"lcad-nodes {said}"
    job = Job(folder / "b.png", "", folder / "b.color.png")
    Image.new("L", (8, 8)).save(job.out, exif=exif)
    with pytest.raises(ResultError, match="was not made by this"):
        job.is_finished(Settings())


def test_a_result_of_another_photo_of_that_name_stays(folder: Path, tmp_path: Path) -> None:
    job = Job(folder / "b.png", "a red car", tmp_path / "b.color.png")
    make(job, Settings())
    (tmp_path / "other").mkdir()
    Image.new("L", (8, 8), 9).save(tmp_path / "other" / "b.png")
    with pytest.raises(ResultError, match=r"b\.color\.png .* was made from another photo"):
        job.require_replaceable(digest_of(tmp_path / "other" / "b.png"))


def test_the_shipped_model_is_told_from_its_other_versions() -> None:
    settings = with_checkpoint(Settings(), None)
    assert settings.checkpoint == "lcad-mini.safetensors"
    assert settings.digest == digest_of(WEIGHTS / "lcad-mini.safetensors")


def test_a_model_that_cannot_be_read_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="model"):
        with_checkpoint(Settings(), tmp_path / "model.safetensors")


def test_another_model_of_the_same_name_is_another_setting(tmp_path: Path) -> None:
    model = tmp_path / "diffusion.safetensors"
    model.write_bytes(b"one")
    one = with_checkpoint(Settings(), model)
    model.write_bytes(b"two")
    assert with_checkpoint(Settings(), model) != one
