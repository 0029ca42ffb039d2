"""Several processes, or several passes a step, train as one with a larger batch does."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import COMFYUI
from golden_weights import Golden
from safetensors.torch import load_file, save_file

from lcad_nodes.training.config import DiffusionConfig, load_config
from lcad_nodes.training.diffusion import train

ROOT = Path(__file__).parents[2]
CONFIG = """
start = "{folder}/first.safetensors"
tokenizer = "{comfyui}/comfy/sd1_tokenizer"
[unet]
widths = [32, 64]
blocks = 1
attention = [false, true]
context = 64
gray_channels = 128
[text]
width = 64
layers = 1
[data]
stamps = "{stamps}"
size = 32
workers = 0
[fit]
directory = "{folder}/two"
steps = 4
batch = 2
learning_rate = 1e-3
warmup = 1
log_every = 1
sample_every = 4
"""


def _losses(directory: Path) -> list[float]:
    with (directory / "diffusion.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_or_two_passes_have_the_loss_curve_of_the_double_batch(
    golden: Golden, stamps: Path, tmp_path: Path
) -> None:
    first_stage = {k: v for k, v in load_file(golden.checkpoint).items() if "first_stage" in k}
    save_file(first_stage, tmp_path / "first.safetensors")
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(folder=tmp_path, comfyui=COMFYUI, stamps=stamps))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", "0"]
    subprocess.run(
        [*launch, "-m", "lcad_nodes.training", "diffusion", str(path)],
        cwd=ROOT,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=240,
    )
    config = load_config(DiffusionConfig, path)
    alone = replace(config.fit, sample_every=0)
    double = replace(alone, directory=str(tmp_path / "one"), batch=4)
    passes = replace(alone, directory=str(tmp_path / "passes"), accumulate=2)
    for fit in (double, passes):
        train(replace(config, fit=fit))
    expected = _losses(tmp_path / "one")
    assert len(set(expected)) == 4
    for name in ("two", "passes"):
        assert _losses(tmp_path / name) == pytest.approx(expected, rel=1e-4)
    assert (tmp_path / "two" / "diffusion-samples" / "0000004.png").exists()
