"""CIE Lab of sRGB."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from lcad_nodes.color.edges import keep_to_edges
from lcad_nodes.color.lab import ImageError, gray, lab_to_rgb, lightness, rgb_to_lab
from lcad_nodes.color.lock import lock_lightness
from lcad_nodes.color.upsample import carry_colors


def color(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_primaries_have_their_published_lab(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    assert torch.allclose(rgb_to_lab(color(*rgb)), color(*lab), atol=0.02)


@settings(deadline=None)
@given(st.tuples(*[st.floats(0, 1, width=32)] * 3))
def test_colors_come_back(rgb: tuple[float, ...]) -> None:
    assert torch.allclose(lab_to_rgb(rgb_to_lab(color(*rgb))), color(*rgb), atol=1e-4)


@settings(deadline=None)
@given(st.floats(0, 100, width=32))
def test_gray_of_a_lightness_has_that_lightness_and_no_color(value: float) -> None:
    image = gray(torch.full((1, 1, 1, 1), value))
    assert lightness(image).item() == pytest.approx(value, abs=1e-2)
    assert torch.allclose(image, image[:, :1].expand_as(image), atol=1e-4)


def test_gray_takes_the_memory_of_one_channel() -> None:
    level = torch.full((2, 1, 5, 4), 50.0)
    assert gray(level).shape == (2, 3, 5, 4)
    assert gray(level).untyped_storage().nbytes() == level.nbytes


class _Rounded(TorchDispatchMode):
    """Counts operations that NVIDIA's GPUs may round to ten bits as they are set."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_convolution = "conv" in func.overloadpacket.__name__
        self.count += is_convolution and torch.backends.cudnn.allow_tf32
        return func(*args, **kwargs or {})


def test_no_convolution_of_colors_is_rounded_on_gpus() -> None:
    """White's L of 100 may become more, which is no lightness."""
    with _Rounded() as seen:
        torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3))
        assert seen.count == 1
        rgb = torch.rand(1, 3, 16, 16)
        level = lightness(rgb)
        lab_to_rgb(rgb_to_lab(rgb))
        gray(level)
        picture = carry_colors(rgb[:, :, ::2, ::2], level)
        lock_lightness(keep_to_edges(picture, level), level)
    assert seen.count == 1


@pytest.mark.parametrize("size", [(37, 53), (101, 203), (333, 517), (701, 901)])
def test_a_photo_out_of_a_batch_has_the_lightness_that_it_has_alone(size: tuple[int, int]) -> None:
    photos = torch.rand(3, *size, 3).movedim(-1, 1)
    alone = torch.cat([lightness(photo.clone()) for photo in photos.split(1)])
    assert torch.equal(lightness(photos), alone)


def test_mixed_precision_leaves_colors_exact() -> None:
    rgb = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lab = rgb_to_lab(rgb)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rgb_to_lab(rgb), lab)
        assert torch.equal(lightness(rgb), lab[:, :1])
        assert torch.allclose(lab_to_rgb(lab), rgb, atol=1e-4)
        assert torch.allclose(lightness(gray(lab[:, :1])), lab[:, :1], atol=1e-2)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 4, 4), "3x4x4"),
        (torch.zeros(1, 4, 4, 3), "1x4x4x3"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "floating point"),
        (torch.full((1, 3, 2, 2), torch.nan), "12 values"),
        (torch.full((1, 3, 1, 1), torch.inf), "infinite"),
    ],
)
def test_what_is_no_image_is_named(image: torch.Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        lightness(image)
