"""Old photographs with true colors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lcad_nodes.color.lab import rgb_to_lab
from lcad_nodes.scenes.aging import Ager


@pytest.fixture(scope="module")
def ager() -> Ager:
    return Ager()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Soft patches of muted colors: L about 45 to 70, well inside the gamut."""
    cells = np.random.default_rng(0).integers(105, 175, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((96, 80), Image.Resampling.BICUBIC)


def lab(rgb: Tensor) -> Tensor:
    return rgb_to_lab(rgb[None])[0]


def original(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).movedim(-1, 0) / 255


def test_lightness_changes_and_color_stays(ager: Ager, picture: Image.Image) -> None:
    true = lab(original(picture))
    changes = []
    for seed in range(40):
        aged = lab(torch.from_numpy(ager.age(picture, np.random.default_rng(seed))))
        changes.append((aged[0] - true[0]).abs().mean().item())
        assert (aged[1:] - true[1:]).norm(dim=0).mean() < 2.5  # what blur softens, and the gamut
    assert np.median(changes) > 3
    assert max(changes) > 10


def test_a_new_lightness_is_met_whatever_the_color(ager: Ager) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    roots = ager.roots(Image.fromarray(colors))
    wanted = np.random.default_rng(2).uniform(0.02, 0.98, (40, 40)).astype(np.float32)
    result = torch.from_numpy(ager.with_lightness(roots, wanted))
    assert result.min() >= 0
    assert result.max() <= 1
    assert (lab(result)[0] / 100 - torch.from_numpy(wanted)).abs().max() < 0.003


def test_the_same_lightness_gives_the_same_picture(ager: Ager) -> None:
    colors = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    roots = ager.roots(Image.fromarray(colors))
    result = ager.with_lightness(roots, roots[1] * 1.16 - 0.16)
    assert np.abs(result * 255 - np.moveaxis(colors, -1, 0)).max() < 2


def test_a_seed_gives_one_picture(ager: Ager, picture: Image.Image) -> None:
    one, again, other = (ager.age(picture, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == (3, 80, 96)
