"""CIE Lab of sRGB."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcad_nodes.color.lab import ImageError, gray, lab_to_rgb, lightness, rgb_to_lab


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
