"""Where the tests find the real host, and what they share."""

import atexit
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comfyui_server import Server, start
from golden_weights import GOLDEN, Golden, golden_state_dict, text_encoder_state_dict
from made_up_pictures import write_people, write_photos, write_stamps
from safetensors.torch import load_file, save_file
from small_wordnet import write_wordnet
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

PICTURES = Path(__file__).parent / "pictures"
EXAMPLES = Path(__file__).parent.parent / "photos"
COMFYUI = Path(os.environ.get("COMFYUI_DIR", Path(__file__).parent.parent / ".comfyui"))


def pytest_configure() -> None:
    """Put the host on the path, on the CPU, with its files in a folder of their own."""
    sys.path.append(str(COMFYUI))
    from comfy.cli_args import args

    args.cpu = True
    args.base_directory = tempfile.mkdtemp(prefix="lcad-tests-")
    atexit.register(shutil.rmtree, args.base_directory, ignore_errors=True)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Networks that a test draws are the same in every run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The host's folder."""
    return COMFYUI


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """The golden tensors, and the checkpoint that they belong to as a file."""
    settings = json.loads((GOLDEN / "tiny.json").read_text())
    checkpoint = tmp_path_factory.mktemp("golden") / "tiny.safetensors"
    save_file(golden_state_dict(settings["seed"]), checkpoint)
    return Golden(load_file(GOLDEN / "tiny.safetensors"), settings, checkpoint)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint as a file: the golden one with a text encoder of its width."""
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save_file(golden_state_dict(0) | text_encoder_state_dict(0, width=64, layers=2), path)
    return path


@pytest.fixture(scope="session")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of cut-outs with captions: shaded balls under ten names."""
    folder = tmp_path_factory.mktemp("stamps")
    write_stamps(folder)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twenty pictures of noise in place of photographs."""
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder)
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve men, in clothes that can be painted."""
    folder = tmp_path_factory.mktemp("people")
    write_people(folder)
    return folder


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    """A folder with WordNet's files of a few nouns."""
    folder = tmp_path / "wordnet"
    folder.mkdir()
    write_wordnet(folder)
    return folder


@pytest.fixture(scope="session")
def photo() -> Tensor:
    """A gray photo of an odd size, 1x3x91x135 in [0, 1]: a disc on a slope of light."""
    axes = torch.linspace(-1, 1, 91), torch.linspace(-1, 1, 135)
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    gray = 0.5 + 0.3 * columns + 0.2 * (rows**2 + columns**2 < 0.3)
    return (gray.clamp(0, 1) * 255).round().expand(1, 3, -1, -1) / 255


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, comfyui: Path, small_checkpoint: Path, photo: Tensor
) -> Iterator[Server]:
    """A running ComfyUI with the pack, `small_checkpoint`, `photo.png`, pictures, examples."""
    base = tmp_path_factory.mktemp("comfyui")
    to_pil_image(photo[0]).save(base / "photo.png")
    inputs = [base / "photo.png", *PICTURES.iterdir(), *EXAMPLES.iterdir()]
    with start(comfyui, base, small_checkpoint, inputs) as server:
        yield server


@pytest.fixture
def free_precision() -> Iterator[None]:
    """Let a test of training choose the precision, which accelerate keeps for a process."""
    from accelerate.state import AcceleratorState  # not where only the host's packages are

    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()
