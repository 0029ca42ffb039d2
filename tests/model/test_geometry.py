from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lcad_nodes.model.geometry import LONGEST, Geometry, GeometryError, in_proportion

sides = st.integers(1, 300)


@given(sides, sides, st.sampled_from([0, 64, 100]))
@settings(deadline=None)
def test_a_photo_of_any_size_comes_back_with_its_size(
    height: int, width: int, resolution: int
) -> None:
    assume(resolution * max(height, width) <= LONGEST * min(height, width))
    geometry = Geometry.fit((height, width), resolution)
    placed = geometry.place(torch.rand(1, 1, height, width), "bilinear")
    assert tuple(placed.shape[2:]) == geometry.padded
    assert geometry.padded[0] % 8 == geometry.padded[1] % 8 == 0
    assert min(geometry.padded) >= 64
    assert geometry.restore(placed).shape == (1, 1, height, width)


@given(sides, sides)
@settings(deadline=None)
def test_padding_alone_changes_no_pixel(height: int, width: int) -> None:
    photo = torch.rand(2, 3, height, width)
    geometry = Geometry.fit((height, width), 0)
    assert torch.equal(geometry.restore(geometry.place(photo, "bilinear")), photo)


@given(st.integers(10, 300), st.integers(10, 300), st.integers(1, 512))
def test_a_photo_is_not_stretched(height: int, width: int, resolution: int) -> None:
    working = Geometry.fit((height, width), resolution).working
    scale = Fraction(resolution, min(height, width))
    assert min(working) == resolution
    assert abs(working[0] - height * scale) <= 0.5
    assert abs(working[1] - width * scale) <= 0.5


@given(st.integers(10, 300), st.integers(10, 300), st.integers(64, 512))
def test_a_squeezed_photo_is_a_square_or_half_as_long(
    height: int, width: int, resolution: int
) -> None:
    working = Geometry.fit((height, width), resolution, squeeze=2.0).working
    aspect = Fraction(max(height, width), min(height, width))
    assert min(working) == resolution
    assert abs(max(working) - resolution * max(1, aspect / 2)) <= 0.5
    assert (working[0] - working[1]) * (height - width) >= 0


@given(st.integers(64, 300), st.integers(64, 300))
def test_what_the_host_stretches_over_the_padding_lies_right_by_a_latent_pixel(
    height: int, width: int
) -> None:
    geometry = Geometry.fit((height, width), 0)
    for working, padded in zip(geometry.working, geometry.padded, strict=True):
        assert 0 <= padded - working < 8


def test_padding_continues_the_edge() -> None:
    photo = torch.arange(12.0).view(1, 1, 3, 4)
    placed = Geometry.fit((3, 4), 0).place(photo, "bilinear")
    assert torch.equal(placed[0, 0, 2:, 3:], torch.full((62, 61), 11.0))


def test_maps_on_the_latent_lie_on_the_photo_without_the_padding() -> None:
    geometry = Geometry.fit((33, 100), 0)
    maps = torch.zeros(1, 1, *geometry.latent)
    maps[:, :, :4] = 1  # of 8 rows, the rest of which but one pixel is padding
    shown = geometry.from_latent(maps, 100)
    assert shown.shape == (1, 1, 33, 100)
    assert shown.mean() > 0.9


def test_proportions_may_be_off_by_a_pixel_and_no_more() -> None:
    assert in_proportion((45, 67), (91, 135))
    assert not in_proportion((45, 70), (91, 135))


def test_a_mask_keeps_its_values_when_scaled() -> None:
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :5] = 1
    placed = Geometry.fit((10, 10), 64).place(mask, "nearest-exact")
    assert set(placed.unique().tolist()) == {0.0, 1.0}
    assert placed[..., :32].min() == 1
    assert placed[..., 32:].max() == 0


def test_large_photos_shrink_to_the_resolution() -> None:
    geometry = Geometry.fit((10_000, 200), 256)
    assert geometry.working == (12_800, 256)
    assert geometry.latent == (1600, 32)


def test_a_strip_of_a_few_pixels_does_not_become_a_gigantic_picture() -> None:
    with pytest.raises(GeometryError, match=r"2 x 6000 px .* a resolution of 256 px .* 256 x 38"):
        Geometry.fit((2, 6000), 256, squeeze=2.0)
    assert Geometry.fit((2, 6000), 0).working == (2, 6000)
    assert Geometry.fit((40, 20_000), 0).working == (40, 20_000)


@pytest.mark.parametrize(("method", "arguments"), [("place", ["bilinear"]), ("restore", [])])
def test_another_size_is_an_error_that_names_both(method: str, arguments: list[Any]) -> None:
    geometry = Geometry.fit((20, 30), 0)
    with pytest.raises(GeometryError, match=r"20 x 31 .*(20 x 30|64 x 64)"):
        getattr(geometry, method)(torch.zeros(1, 1, 20, 31), *arguments)
