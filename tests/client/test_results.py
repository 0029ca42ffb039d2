"""What is asked of a server, and what becomes of its answers. None runs here."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import folder_paths
import pytest
from PIL import EpsImagePlugin, Image
from utils.extra_config import load_extra_path_config

from lcad_nodes.client import __main__ as client
from lcad_nodes.client import colorize, photos
from lcad_nodes.client.colorize import WEIGHTS, Colorizer, colorize_many, colorize_one, colorizer
from lcad_nodes.client.jobs import Job
from lcad_nodes.client.photos import Photo, PhotoError, made_from
from lcad_nodes.client.server import Server, WorkflowError
from lcad_nodes.client.workflow import SAVE, Settings

SETTINGS = Settings()


class Painter:
    """In a colorizer's place: remembers what it is asked for, and paints it red."""

    settings = SETTINGS

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str], list[Image.Image]]] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(
        self,
        photo: Photo,
        text: str,
        phrases: Sequence[str] = (),
        masks: Sequence[Image.Image] = (),
        label: str = "",
    ) -> Image.Image:
        self.asked.append((text, [*phrases], [*masks]))
        self.meanwhile()
        return Image.new("RGB", photo.picture.size, "red")


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Painter:
    caplog.set_level("INFO")
    painter = Painter()

    @contextmanager
    def started(*_: object, **__: object) -> Iterator[Painter]:
        yield painter

    monkeypatch.setattr(colorize, "colorizer", started)
    return painter


@pytest.fixture
def job(tmp_path: Path) -> Job:
    Image.new("L", (8, 6), 40).save(tmp_path / "a.png")
    return Job(tmp_path / "a.png", "a red cup", tmp_path / "a.color.png")


def one(job: Job, folder: Path) -> None:
    colorize_one(job, [], [], folder, SETTINGS, None, cpu=True)


def many(job: Job, folder: Path) -> None:
    if colorize_many([job], folder, SETTINGS, None, cpu=True):
        raise PhotoError("it failed")


def test_a_photo_goes_with_its_masks_to_the_file_that_is_named(
    job: Job, tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.signal, "signal", lambda *_: None)
    options = ["-o", str(tmp_path / "new" / "b.png")]
    for name, box in (("left", (0, 0, 4, 6)), ("right", (4, 0, 8, 6))):
        mask = Image.new("L", (8, 6))
        mask.paste(255, box)
        mask.save(tmp_path / f"{name}.png")
        options += ["--phrase", f"{name} cup", "--mask", str(tmp_path / f"{name}.png")]
    text = "a red left cup, a blue right cup"
    assert client.main(["colorize", str(job.photo), text, *options]) == 0
    ((asked, phrases, masks),) = painter.asked
    assert (asked, phrases) == (text, ["left cup", "right cup"])
    assert [mask.getbbox() for mask in masks] == [(0, 0, 4, 6), (4, 0, 8, 6)]
    with Image.open(tmp_path / "new" / "b.png") as image:
        assert image.getpixel((0, 0)) == (255, 0, 0)
    assert not job.out.exists()


def test_a_result_is_made_again_unless_it_was_retouched(
    job: Job, tmp_path: Path, painter: Painter
) -> None:
    one(job, tmp_path)
    one(replace(job, text="a blue cup"), tmp_path)
    assert '"a blue cup"' in (made_from(job.out) or "")
    Image.new("L", (8, 6), 70).save(job.out)
    retouched = job.out.read_bytes()
    with pytest.raises(PhotoError, match=r"not made by this: choose another name with -o"):
        one(job, tmp_path)
    assert len(painter.asked) == 2
    assert job.out.read_bytes() == retouched


def test_what_was_made_with_masks_stays_in_the_run_of_a_folder(
    job: Job, tmp_path: Path, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("L", (8, 6), 255).save(tmp_path / "mask.png")
    colorize_one(job, ["cup"], [tmp_path / "mask.png"], tmp_path, SETTINGS, None, cpu=True)
    masked = job.out.read_bytes()
    for text in (job.text, "a blue cup"):
        many(replace(job, text=text), tmp_path)
    assert job.out.read_bytes() == masked
    assert len(painter.asked) == 1
    stays = f"{job.out} was made with masks (to have it without, move it): it stays as it is"
    assert caplog.messages.count(stays) == 2
    one(job, tmp_path)  # the photo by itself is meant
    assert job.is_finished(SETTINGS)


def test_what_another_run_has_made_meanwhile_is_not_made_again(
    job: Job, tmp_path: Path, painter: Painter
) -> None:
    Image.new("L", (8, 6), 70).save(tmp_path / "b.png")
    second = Job(tmp_path / "b.png", "a hat", tmp_path / "b.color.png")

    def another_run() -> None:
        painter.meanwhile = lambda: None
        many(second, tmp_path)

    painter.meanwhile = another_run
    assert colorize_many([job, second], tmp_path, SETTINGS, None, cpu=True) == 0
    assert [text for text, *_ in painter.asked] == ["a red cup", "a hat"]
    assert second.is_finished(SETTINGS)


def test_two_runs_over_the_same_photos_share_them(
    tmp_path: Path, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    """The other one is ahead by a little, all along: it has made what this one is at."""
    jobs = [Job(tmp_path / f"{n}.png", n, tmp_path / f"{n}.color.png") for n in "abcde"]
    for level, job in enumerate(jobs):
        Image.new("L", (8, 6), 40 * level).save(job.photo)
    theirs = iter(jobs)

    def another_run() -> None:
        painter.meanwhile = lambda: None
        many(next(theirs), tmp_path)
        painter.meanwhile = another_run

    painter.meanwhile = another_run
    assert colorize_many(jobs, tmp_path, SETTINGS, None, cpu=True) == 0
    assert [text for text, *_ in painter.asked] == ["a", "a", "e", "b", "d", "c"]
    assert all(job.is_finished(SETTINGS) for job in jobs)
    assert "[5/5] b.png -> b.color.png" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["result", "server's folder"])
def test_a_full_disk_ends_the_run(
    job: Job,
    tmp_path: Path,
    painter: Painter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    where: str,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, "no room")

    if where == "result":
        monkeypatch.setattr(photos.os, "replace", full)
    else:
        painter.meanwhile = full
    others = [replace(job, out=tmp_path / f"{name}.png") for name in "bcd"]
    with pytest.raises(PhotoError, match=r"(?s)no room.*Make room; the same command goes on"):
        colorize_many([job, *others], tmp_path, SETTINGS, None, cpu=True)
    assert len(painter.asked) == 1
    assert "0 colorized, 0 failed, 4 left" in caplog.text


@pytest.mark.parametrize("colorized", [one, many])
def test_a_file_that_came_meanwhile_stays(
    job: Job, tmp_path: Path, painter: Painter, colorized: Callable[[Job, Path], None]
) -> None:
    painter.meanwhile = lambda: job.out.write_text("mine")
    with pytest.raises(PhotoError):
        colorized(job, tmp_path)
    assert job.out.read_text() == "mine"


@pytest.mark.usefixtures("painter")
def test_of_two_photos_whose_results_are_one_file_on_this_disk_the_first_has_it(
    job: Job, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As those of IMG.JPG and img.jpg are on some."""
    Image.new("L", (8, 6), 90).save(tmp_path / "A.PNG")
    second = replace(job, photo=tmp_path / "A.PNG")
    assert colorize_many([job, second], tmp_path, SETTINGS, None, cpu=True) == 1
    assert job.is_finished(SETTINGS)
    assert f"A.PNG: {job.out} is there and was made from another photo" in caplog.text


@pytest.mark.parametrize("colorized", [one, many])
@pytest.mark.parametrize("was_there", [False, True])
def test_a_result_is_of_the_photo_that_was_read_whatever_became_of_it(
    job: Job, tmp_path: Path, painter: Painter, colorized: Any, was_there: bool
) -> None:
    if was_there:
        one(replace(job, text="a blue cup"), tmp_path)
    first = job.photo.read_bytes()
    painter.meanwhile = lambda: Image.new("L", (8, 6), 90).save(job.photo)
    colorized(job, tmp_path)
    job.photo.write_bytes(first)
    assert job.is_finished(SETTINGS)


@pytest.mark.parametrize("colorized", [one, many])
@pytest.mark.parametrize(
    ("size", "name", "reason"),
    [
        ((65501, 1), "b.jpg", "65501 x 1 pixels, and a side of a .jpg file has at most 65500"),
        ((1, 16384), "b.WEBP", "1 x 16384 pixels, and a side of a .WEBP file has at most 16383"),
        ((8, 6), f"{'b' * 300}.png", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_not_colorized(
    job: Job,
    tmp_path: Path,
    painter: Painter,
    caplog: pytest.LogCaptureFixture,
    colorized: Callable[[Job, Path], None],
    size: tuple[int, int],
    name: str,
    reason: str,
) -> None:
    Image.new("1", size).save(job.photo)
    with pytest.raises(PhotoError) as caught:
        colorized(replace(job, out=tmp_path / name), tmp_path)
    assert reason in f"{caught.value}{caplog.text}"
    assert not painter.asked


@pytest.mark.usefixtures("painter")
def test_a_result_of_the_largest_size_is_written(job: Job, tmp_path: Path) -> None:
    for size, name in (((65500, 1), "b.jpg"), ((1, 16383), "b.webp"), ((65501, 1), "b.tif")):
        Image.new("1", size).save(job.photo)
        one(replace(job, out=tmp_path / name), tmp_path)
        with Image.open(tmp_path / name) as image:
            assert image.size == size


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
        photo = Photo(Image.new("RGB", (8, 6)), None, Image.Exif(), None, None, "")
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


@pytest.mark.parametrize("shipped", [True, False])
def test_a_model_file_is_offered_under_its_own_name_to_a_server_with_no_pack_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: bool
) -> None:
    """The shipped one, too: ComfyUI's own configuration may have another one of its name."""
    given: list[str | Path] = []

    @contextmanager
    def running(_comfyui: Path, base: Path, options: Any, **_: object) -> Iterator[Server]:
        given.extend(options)
        yield Server(None, 1, base)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(colorize, "run_server", running)
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"weights")
    model = WEIGHTS / SETTINGS.checkpoint if shipped else own
    with colorizer(tmp_path, SETTINGS, None if shipped else own, cpu=True) as colorize_photo:
        base = colorize_photo.server.base
        (offered,) = (base / "models/checkpoints").iterdir()
        assert offered.name == model.name
        assert offered.samefile(model)
        (pack,) = (base / "custom_nodes").iterdir()
    assert model.exists()
    assert given[:2] == ["--extra-model-paths-config", base / "extra_model_paths.yaml"]
    assert given[2:] == ["--disable-all-custom-nodes", "--whitelist-custom-nodes", pack.name]


@pytest.mark.parametrize("links", [True, False])
def test_a_model_file_is_found_before_others_of_its_name_and_never_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """By the real host, in whose own configuration another folder comes first."""

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    for kind in ("symlink_to", "hardlink_to") * (not links):
        monkeypatch.setattr(Path, kind, refuse)
    own, base, other = (tmp_path / name for name in ("$HOME, Ünser", "base", "other"))
    for folder in (own, base / "models/checkpoints", other):
        folder.mkdir(parents=True)
        (folder / "other.safetensors").touch()
    for folder in (own, other):
        (folder / "own.safetensors").write_text(folder.name)
    folders = [str(other), str(base / "models/checkpoints")]
    known = {"checkpoints": (folders, folder_paths.supported_pt_extensions)}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    _, config = colorize._offer(own / "own.safetensors", base)
    load_extra_path_config(str(config))
    found = folder_paths.get_full_path_or_raise("checkpoints", "own.safetensors")
    assert Path(found).read_text() == own.name
