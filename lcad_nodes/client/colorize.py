"""Colorizing photos through one server, from file to file."""

import errno
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from itertools import chain
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..files.digests import digest, digest_of
from . import photos
from .jobs import Job, ResultError
from .photos import Photo, PhotoError
from .server import (
    PACK,
    ROOT,
    Server,
    ServerError,
    WorkflowError,
    free_port,
    lay_out,
    offer_models,
    run_server,
    without_gpu,
)
from .workflow import SAMPLE, SAVE, Region, Settings, colorizing

WEIGHTS = ROOT / "lcad_nodes" / "weights"
"""Where the shipped model is."""

ONLY_THIS_PACK = ("--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK)
"""ComfyUI's own configuration may name folders of others, which change how pictures are made."""

STOPS = 3
"""Photos in a row that the server may stop at before it is given up."""

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What a system says where a disk, or a user's share of it, is full."""

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
                # Not compressed, which takes longer than the file is there.
                picture.convert("RGB").save(inputs / name, compress_level=0)
            regions = [Region(p, m) for p, m in zip(phrases, files[1:], strict=True)]
            return self._run(colorizing(files[0], text, regions, self.settings), label)
        finally:
            for name in files:
                (inputs / name).unlink(missing_ok=True)

    def _run(self, workflow: dict, label: str) -> Image.Image:
        results: dict[str, list[Path]] = {}  # previews of masks, too
        with tqdm(total=self.settings.steps, desc=label, leave=False, disable=None) as bar:
            for event in self.server.events(workflow):
                data = event["data"]
                if event["type"] == "progress" and data.get("node") == SAMPLE:
                    bar.update(data["value"] - bar.n)
                if event["type"] == "executed":
                    files = (data["output"] or {}).get("images", [])
                    results[data["node"]] = [self._made(file) for file in files]
        if not results.get(SAVE):
            raise WorkflowError("the server gave no picture")
        with Image.open(results[SAVE][0], formats=("PNG",)) as image:
            picture = image.convert("RGB")
        for file in chain.from_iterable(results.values()):
            file.unlink()
        return picture

    def _made(self, file: dict[str, str]) -> Path:
        """Where a file that the server names is. Another program may have answered in its place.

        Raises:
            WorkflowError: if it is none of the server's own.
        """
        temp = (self.server.base / "temp").resolve()
        path = (temp / file["subfolder"] / file["filename"]).resolve()
        if not path.is_relative_to(temp):
            raise WorkflowError(
                f"the server names {path} as its result, which is not in its folder {temp}: "
                f"another program may answer at {self.server.address}; try again"
            )
        return path


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
        options = [*_offer(checkpoint or WEIGHTS / settings.checkpoint, base), *ONLY_THIS_PACK]
        logger.info("Starting ComfyUI ...")
        start = time.monotonic()
        cpu, port = without_gpu(cpu=cpu), free_port()
        with (
            (base / "server.log").open("wb") as log,
            run_server(comfyui, base, port=port, cpu=cpu, options=options, log=log) as server,
        ):
            where = "the CPU" if cpu else "the GPU"
            logger.info("ComfyUI runs on %s, after %.0f s", where, time.monotonic() - start)
            yield Colorizer(server, settings)


def _offer(checkpoint: Path, base: Path) -> list[str | Path]:
    """Options with which the server in `base` finds a model file before any other of its name.

    It looks through all folders below those of its models: hence the file is linked into one of
    its own, and its folder is offered only where there are no links, as between Windows' drives.
    """
    place = base / "models/checkpoints" / checkpoint.name
    for link in (place.symlink_to, place.hardlink_to):
        with suppress(OSError):
            link(checkpoint.resolve())
            return offer_models(base, {"checkpoints": place.parent})
    return offer_models(base, {"checkpoints": checkpoint.parent.resolve()})


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
    digests = [digest(BytesIO(mask.tobytes())) for mask in masks]
    job = replace(job, masked=tuple(zip(phrases, digests, strict=True)))
    try:
        photos.require_place(job.out.parent)
        _require_writable(job, photo)
        with colorizer(comfyui, settings, checkpoint, cpu=cpu) as colorize:
            picture = colorize(photo, job.text, phrases, masks, job.photo.name)
        _write(picture, photo, job, settings)
    except ResultError as error:
        raise PhotoError(f"{error}: choose another name with -o.") from error
    logger.info("Colorized: %s", job.out)


def _require_writable(job: Job, photo: Photo) -> None:
    """Raises ResultError or PhotoError where a result could not be written."""
    job.require_replaceable(photo.digest)
    photos.require_fitting(photo.picture.size, job.out)


def _write(picture: Image.Image, photo: Photo, job: Job, settings: Settings) -> None:
    """Write a result, unless something else has come into its place while it was made."""
    job.require_replaceable(photo.digest)
    photos.write(picture, photo, job.out, job.made_from(photo.digest, settings))


def colorize_many(
    jobs: Sequence[Job], comfyui: Path, settings: Settings, checkpoint: Path | None, *, cpu: bool
) -> int:
    """Colorize what is not finished yet, one server for all.

    A server that stops, killed for want of memory for example, takes only the photo along that it
    was at: another one goes on with the rest.

    Returns:
        How many failed.

    Raises:
        PhotoError: if nothing can be written where results go, or the disk is full.
        ServerError: if the server does not start, or stops at `STOPS` photos in a row.
    """
    left: list[Job] = []
    kept: list[ResultError] = []
    for job in tqdm(jobs, desc="Looking for results", leave=False, disable=None):
        try:
            if not job.is_finished(settings):
                left.append(job)
        except ResultError as error:
            kept.append(error)
    for error in kept:
        logger.warning("%s: it stays as it is", error)
    for folder in {job.out.parent for job in left}:
        photos.require_place(folder)
    finished = len(jobs) - len(left) - len(kept)
    stay = f", {len(kept)} whose results stay as they are" * bool(kept)
    logger.info("%d photos, %d of them finished before%s", len(jobs), finished, stay)
    run = _Run(left)
    try:
        while run.number < len(left):
            with colorizer(comfyui, settings, checkpoint, cpu=cpu) as colorize:
                run.go_on(colorize)
    finally:
        run.sum_up()
    return len(run.failed)


class _Run:
    """Jobs done one after another, on one server after another.

    Attributes:
        number: how many are through.
        failed: those that failed, and why.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = [*jobs]
        self.number = 0
        self.failed: list[str] = []
        self._start = 0.0
        self._stopped_at: list[str] = []

    def go_on(self, colorize: Colorizer) -> None:
        """Do what is left, to the end or until the server stops.

        Raises:
            ServerError: if it stopped at the photos before, too.
            PhotoError: if the disk is full.
        """
        if self.number == 0:
            self._start = time.monotonic()  # the first server's start is no measure of the rest
        while self.number < len(self.jobs):
            job = self.jobs[self.number]
            label = f"[{self.number + 1}/{len(self.jobs)}] {job.photo.name}"
            try:
                problem = self._try(job, colorize, label)
            except ServerError as error:
                self._stopped_at.append(job.photo.name)
                if len(self._stopped_at) == STOPS:
                    names = ", ".join(self._stopped_at)
                    raise ServerError(
                        f"{error}\nIt stopped at {STOPS} photos in a row: {names}. If others are "
                        "to be done before them, move these to another folder."
                    ) from error
                logger.warning("%s", error)
                self._end(
                    job, label, "ComfyUI stopped at it; it may need more memory than there is"
                )
                return
            self._stopped_at.clear()
            self._end(job, label, problem)

    def _try(self, job: Job, colorize: Colorizer, label: str) -> str | None:
        """Do one job. Returns what kept it from being done, if anything.

        Raises:
            PhotoError: if the disk is full, which keeps others from being done, too.
        """
        try:
            if job.is_finished(colorize.settings):  # by another run, meanwhile
                return None
            photo = photos.read(job.photo)
            _require_writable(job, photo)
            picture = colorize(photo, job.text, label=label)
            if job.is_finished(colorize.settings):
                self._turn_round()
            else:
                _write(picture, photo, job, colorize.settings)
        except (WorkflowError, OSError, ValueError, MemoryError) as error:  # ValueError: PhotoError
            if _is_full(error):
                goes_on = "Make room; the same command goes on from there."
                raise PhotoError(f"{error}\n{goes_on}") from error
            return str(error) or type(error).__name__
        return None

    def _turn_round(self) -> None:
        """Go on from the other end, since another run is always at the next photo already."""
        logger.info("Another run colorizes these photos, too: this one goes on from the last")
        self.jobs[self.number + 1 :] = reversed(self.jobs[self.number + 1 :])

    def _end(self, job: Job, label: str, problem: str | None) -> None:
        self.number += 1
        per_photo = (time.monotonic() - self._start) / self.number
        left = len(self.jobs) - self.number
        rest = f" ({_as_time(per_photo * left)} left)" if left else ""
        said = f"-> {job.out.name}" if problem is None else f"failed: {problem}"
        logger.info("%s %s%s", label, said, rest)
        if problem is not None:
            self.failed.append(f"{job.photo}: {problem}")

    def sum_up(self) -> None:
        """Say how many are done and what failed, at the end or wherever it had to stop."""
        if not self.jobs:
            return
        done, left = self.number - len(self.failed), len(self.jobs) - self.number
        rest = f", {left} left" if left else ""
        logger.info("\n%d colorized, %d failed%s", done, len(self.failed), rest)
        for line in self.failed:
            logger.info("  %s", line)


def _is_full(error: BaseException) -> bool:
    """Whether a disk or what a user may have of it is full."""
    causes = (error, error.__cause__)
    return any(isinstance(one, OSError) and one.errno in FULL for one in causes)


def _as_time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def with_checkpoint(settings: Settings, checkpoint: Path | None) -> Settings:
    """The settings with a model file's name in them, and what tells it from others of that name.

    Without one it is the shipped file, of which there are other versions, too.
    """
    file = checkpoint or WEIGHTS / settings.checkpoint
    return replace(settings, checkpoint=file.name, digest=digest_of(file))
