"""Several processes, or several passes a step, train as one with a larger batch does."""

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import COMFYUI
from golden_weights import Golden
from safetensors.torch import load_file, save_file

from lcad_nodes.training import compression, diffusion
from lcad_nodes.training.config import CompressionConfig, DiffusionConfig, load_config

ROOT = Path(__file__).parents[2]
FIT = """
[data]
stamps = ["{stamps}"]
size = 32
workers = 0
[fit]
directory = "{directory}"
steps = 4
batch = 2
learning_rate = 3e-4
warmup = 1
log_every = 1
sample_every = 4
"""
COMPRESSION = """
adversarial_start = 1
plain_weight = 1.0
[vae]
widths = [32, 32, 32, 32]
blocks = 1
"""
DIFFUSION = """
start = "{start}"
tokenizer = "{comfyui}/comfy/sd1_tokenizer"
[unet]
widths = [32, 64]
blocks = 1
attention = [0, 1]
[text]
width = 64
layers = 1
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the processes have: other threads add up in another order, which training magnifies."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _two(cwd: Path, stage: str, config: Path, *options: str) -> subprocess.Popen[str]:
    """Start two CPU processes, or what of them `options` say, as `accelerate launch` does."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return subprocess.Popen(
        [*launch, *options, "-m", "lcad_nodes.training", stage, str(config)],
        cwd=cwd,
        env={
            **os.environ,
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def _logged(directory: Path, stage: str) -> list[list[float]]:
    """What the log says of each step, but for the time that it took."""
    with (directory / f"{stage}.csv").open(encoding="utf-8") as file:
        return [
            [float(v) for name, v in row.items() if name != "seconds"]
            for row in csv.DictReader(file)
        ]


def _same(one: list[list[float]], other: list[list[float]]) -> bool:
    return len(one) == len(other) and all(
        a == pytest.approx(b, rel=1e-4, abs=2e-6) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.slow
def test_two_processes_that_stop_and_go_on_or_two_passes_have_the_loss_curve_of_the_double_batch(
    golden: Golden, stamps: Path, tmp_path: Path
) -> None:
    start = tmp_path / "first.safetensors"
    first_stage = {k: v for k, v in load_file(golden.checkpoint).items() if "first_stage" in k}
    save_file(first_stage, start)
    path = tmp_path / "config.toml"
    text = (DIFFUSION + FIT).format(
        start=start, comfyui=COMFYUI, stamps=stamps, directory=tmp_path / "two"
    )
    for steps in (2, 4):  # stopped half way, and gone on with
        path.write_text(text.replace("steps = 4", f"steps = {steps}"), encoding="utf-8")
        run = _two(ROOT, "diffusion", path, "--num_machines", "1", "--main_process_port", "0")
        assert run.wait(timeout=240) == 0
    config = load_config(DiffusionConfig, path)
    alone = replace(config.fit, sample_every=0)
    double = replace(alone, directory=str(tmp_path / "one"), batch=4)
    passes = replace(alone, directory=str(tmp_path / "passes"), accumulate=2)
    for fit in (double, passes):
        diffusion.train(replace(config, fit=fit))
    expected = _logged(tmp_path / "one", "diffusion")
    assert len({row[1] for row in expected}) == 4
    for name in ("two", "passes"):
        assert _same(_logged(tmp_path / name, "diffusion"), expected)
    assert (tmp_path / "two" / "diffusion-samples" / "0000004.png").exists()
    more = replace(alone, directory=str(tmp_path / "two"), batch=4, steps=5)
    diffusion.train(replace(config, fit=more))  # of two processes' state, in one
    assert len(_logged(tmp_path / "two", "diffusion")) == 5


def _machines(folders: list[Path], config: Path) -> list[tuple[int, str]]:
    """Train stage 1 on two machines, a process and a working folder each: how each ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = ("--main_process_ip", "127.0.0.1", "--main_process_port", port)
    runs = [
        _two(cwd, "compression", config, "--num_machines", "2", "--machine_rank", str(n), *address)
        for n, cwd in enumerate(folders)
    ]
    said = [run.communicate(timeout=240)[1] for run in runs]
    return [(run.returncode, text) for run, text in zip(runs, said, strict=True)]


@pytest.fixture
def adversarial(stamps: Path, tmp_path: Path) -> Path:
    """Stage 1 with its discriminator, in a folder beside whoever trains."""
    path = tmp_path / "config.toml"
    text = (COMPRESSION + FIT).format(stamps=stamps, directory="run")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
def test_two_machines_with_a_discriminator_train_as_one_with_the_double_batch(
    adversarial: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    assert [code for code, _ in _machines([shared, shared], adversarial)] == [0, 0]
    config = load_config(CompressionConfig, adversarial)
    one = replace(config.fit, directory=str(tmp_path / "one"), batch=4, sample_every=0)
    compression.train(replace(config, fit=one))
    expected = _logged(tmp_path / "one", "compression")
    assert len(expected) == 4
    assert _same(_logged(shared / "run", "compression"), expected)
    assert (shared / "run" / "compression.state").is_dir()


@pytest.mark.slow
def test_machines_that_do_not_share_a_folder_are_told_before_they_start(
    adversarial: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    for code, said in _machines(folders, adversarial):
        assert code != 0
        assert "run: 1 of 2 processes do not see" in said
    assert not list(tmp_path.glob("?/run/compression.csv"))
