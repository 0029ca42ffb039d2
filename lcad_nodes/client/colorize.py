"""Colorizing photos through one server, from file to file."""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from . import photos
from .jobs import Job
from .photos import Photo, PhotoError
from .server import Server, WorkflowError, free_port, has_gpu, lay_out, run_server
from .workflow import SAMPLE, SAVE, Region, Settings, colorizing

logger = logging.getLogger(__name__)


class Colorizer:
    """A server for photos: it gets each as a file, and its files are removed again."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.server = server
        self.settings = settings

    def __call__(
        self,
        photo: Photo,
        text: str,
        phrases: Sequence[str] = (),
        masks: Sequence[Image.Image] = (),
        label: str = "",
    ) -> Image.Image:
        """Colorize a photo.

        Returns:
            RGB of the photo's size.

        Raises:
            WorkflowError: if the server cannot do it.
            ServerError: if the server is gone.
        """
        inputs = self.server.base / "input"
        files = [f"photo-{time.time_ns()}.png"]
        files += [f"mask-{number}-{files[0]}" for number in range(len(masks))]
        try:
            for name, picture in zip(files, (photo.picture, *masks), strict=True):
                picture.convert("RGB").save(inputs / name, compress_level=1)
            regions = [Region(p, m) for p, m in zip(phrases, files[1:], strict=True)]
            return self._run(colorizing(files[0], text, regions, self.settings), label)
        finally:
            for name in files:
                (inputs / name).unlink(missing_ok=True)

    def _run(self, workflow: dict, label: str) -> Image.Image:
        result = None
        with tqdm(total=self.settings.steps, desc=label, leave=False, disable=None) as bar:
            for event in self.server.events(workflow):
                data = event["data"]
                if event["type"] == "progress" and data.get("node") == SAMPLE:
                    bar.update(data["value"] - bar.n)
                if event["type"] == "executed" and data["node"] == SAVE:
                    (result,) = data["output"]["images"]
        if result is None:
            raise WorkflowError("the server gave no picture")
        file = self.server.base / "temp" / result["subfolder"] / result["filename"]
        with Image.open(file) as image:
            picture = image.convert("RGB")
        file.unlink()
        return picture


@contextmanager
def colorizer(
    comfyui: Path, settings: Settings, checkpoint: Path | None, *, cpu: bool
) -> Iterator[Colorizer]:
    """Start a server in a folder that is gone afterwards.

    Args:
        comfyui: ComfyUI's folder, which is only read.
        settings: how photos are colorized.
        checkpoint: a model file instead of the shipped one.
        cpu: without a GPU even where there is one.
    """
    with tempfile.TemporaryDirectory(prefix="lcad-", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        lay_out(base)
        if checkpoint is not None:
            _offer(checkpoint.resolve(), base / "models/checkpoints")
        logger.info("Starting ComfyUI ...")
        start = time.monotonic()
        cpu = cpu or not has_gpu()
        with (
            (base / "server.log").open("wb") as log,
            run_server(comfyui, base, port=free_port(), cpu=cpu, log=log) as server,
        ):
            where = "the CPU" if cpu else "the GPU"
            logger.info("ComfyUI runs on %s, after %.0f s", where, time.monotonic() - start)
            yield Colorizer(server, settings)


def _offer(checkpoint: Path, folder: Path) -> None:
    """Link a model file into a folder, or copy it where there are no links."""
    try:
        (folder / checkpoint.name).symlink_to(checkpoint)
    except OSError:
        shutil.copy(checkpoint, folder)


def colorize_one(
    job: Job,
    phrases: Sequence[str],
    mask_files: Sequence[Path],
    comfyui: Path,
    settings: Settings,
    checkpoint: Path | None,
    *,
    cpu: bool,
) -> None:
    """Colorize a single photo. Everything is read before the server starts.

    Raises:
        PhotoError: if a file cannot be read or written.
        WorkflowError: if the server cannot do it.
    """
    photo = photos.read(job.photo)
    masks = [photos.read_mask(file, photo.picture.size) for file in mask_files]
    if job.out.exists() and photos.made_from(job.out) is None:
        raise PhotoError(f"{job.out} is there and was not made by this: choose another with -o.")
    with colorizer(comfyui, settings, checkpoint, cpu=cpu) as colorize:
        picture = colorize(photo, job.text, phrases, masks, job.photo.name)
    photos.write(picture, photo, job.out, job.made_from(settings))
    logger.info("Colorized: %s", job.out)


def colorize_many(
    jobs: Sequence[Job], comfyui: Path, settings: Settings, checkpoint: Path | None, *, cpu: bool
) -> int:
    """Colorize what is not finished yet, one server for all.

    Returns:
        How many failed.

    Raises:
        ServerError: if the server is gone.
    """
    left = [job for job in jobs if not job.is_finished(settings)]
    logger.info("%d photos, %d of them finished before", len(jobs), len(jobs) - len(left))
    if not left:
        return 0
    failed: list[str] = []
    with colorizer(comfyui, settings, checkpoint, cpu=cpu) as colorize:
        start = time.monotonic()
        for number, job in enumerate(left, 1):
            problem = _try(job, colorize, f"[{number}/{len(left)}] {job.photo.name}")
            per_photo = (time.monotonic() - start) / number
            rest = _as_time(per_photo * (len(left) - number))
            said = f"failed: {problem}" if problem else f"-> {job.out.name}"
            logger.info("[%d/%d] %s %s (%s left)", number, len(left), job.photo.name, said, rest)
            if problem:
                failed.append(f"{job.photo}: {problem}")
    logger.info("\n%d colorized, %d failed", len(left) - len(failed), len(failed))
    for line in failed:
        logger.info("  %s", line)
    return len(failed)


def _try(job: Job, colorize: Colorizer, label: str) -> str | None:
    """Do one job. Returns what kept it from being done, if anything."""
    try:
        photo = photos.read(job.photo)
        picture = colorize(photo, job.text, label=label)
        photos.write(picture, photo, job.out, job.made_from(colorize.settings))
    except (PhotoError, WorkflowError, OSError) as error:
        return str(error)
    return None


def _as_time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def with_checkpoint(settings: Settings, checkpoint: Path | None) -> Settings:
    """The settings with a model file's name in them."""
    return settings if checkpoint is None else replace(settings, checkpoint=checkpoint.name)
