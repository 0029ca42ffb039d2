"""The luminance lock."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lcad_nodes.color import lab as lab_module
from lcad_nodes.color import lock
from lcad_nodes.color.lab import ImageError, gray, lab_to_rgb, lightness, rgb_to_lab
from lcad_nodes.color.lock import lock_lightness

images = st.builds(
    lambda seed, height, width: torch.rand(
        2, 3, height, width, generator=torch.Generator().manual_seed(seed)
    ),
    st.integers(0, 2**32),
    st.integers(1, 9),
    st.integers(1, 9),
)


def random_lightness(image: Tensor, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 100 * torch.rand(image[:, :1].shape, generator=generator)


@settings(deadline=None)
@given(images)
def test_the_result_has_the_lightness_asked_for_and_lies_in_the_gamut(image: Tensor) -> None:
    wanted = random_lightness(image)
    locked = lock_lightness(image, wanted)
    assert (lightness(locked) - wanted).abs().max() < 1e-2
    assert locked.min() >= 0
    assert locked.max() <= 1


@settings(deadline=None)
@given(images)
def test_hue_stays_and_chroma_never_grows(image: Tensor) -> None:
    before = rgb_to_lab(image)[:, 1:]
    after = rgb_to_lab(lock_lightness(image, random_lightness(image)))[:, 1:]
    across = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    assert (across.abs() / before.norm(dim=1).clamp(min=1)).max() < 0.1
    assert (after.norm(dim=1) - before.norm(dim=1)).max() < 0.1


@settings(deadline=None)
@given(images)
def test_chroma_is_reduced_no_further_than_to_the_edge_of_the_gamut(image: Tensor) -> None:
    wanted = random_lightness(image)
    lab = rgb_to_lab(image)
    lab[:, :1] = wanted
    kept = lock.into_gamut(lab)[:, 1:].norm(dim=1) / lab[:, 1:].norm(dim=1).clamp(min=1e-6)
    more = torch.cat([lab[:, :1], lab[:, 1:] * (kept + 0.005)[:, None]], dim=1)
    changed = (lock.into_gamut(more) - more).abs().amax(dim=1) > 0
    assert changed[(kept < 0.99) & (lab[:, 1:].norm(dim=1) > 1)].all()


@settings(deadline=None)
@given(images)
def test_what_is_shown_of_a_color_is_what_it_becomes_in_the_gamut(image: Tensor) -> None:
    lab = rgb_to_lab(image)
    lab[:, :1] = random_lightness(image)
    expected = lab_to_rgb(lock.into_gamut(lab))
    assert torch.allclose(lock.rgb_in_gamut(lab), expected, atol=1e-5)


@settings(deadline=None)
@given(images)
def test_an_image_with_its_own_lightness_is_left_as_it_is(image: Tensor) -> None:
    assert torch.allclose(lock_lightness(image, lightness(image)), image, atol=1e-3)


@pytest.mark.parametrize(("value", "channel"), [(0.0, 0.0), (100.0, 1.0)])
def test_black_and_white_have_no_color(value: float, channel: float) -> None:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    locked = lock_lightness(image, torch.full((1, 1, 16, 16), value))
    assert torch.allclose(locked, torch.full_like(locked, channel), atol=6e-5)


@pytest.mark.parametrize("made", [lock_lightness, lambda _image, level: gray(level)])
def test_grays_are_saved_as_they_were(made: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The host's savers cut off what is below a level."""
    levels = torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, -1, -1) / 255
    for image in (levels, torch.full_like(levels, 0.5)):
        saved = (made(image, lightness(levels)).numpy() * 255.0).astype(np.uint8)
        assert (saved == np.arange(256).reshape(16, 16)).all()


@settings(max_examples=20, deadline=None)
@given(images)
def test_eight_bits_keep_the_lightness_within_their_own_step(image: Tensor) -> None:
    wanted = random_lightness(image)
    rounded = (lock_lightness(image, wanted) * 255).round() / 255
    # Half a step of one channel is at the most 0.14 of L in the darkest tones, and less above.
    assert (lightness(rounded) - wanted).abs().max() < 0.5


def test_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(2, 3, 21, 10, generator=torch.Generator().manual_seed(2))
    wanted = random_lightness(image)
    whole = lock_lightness(image, wanted)
    monkeypatch.setattr(lab_module, "BAND_PIXELS", 80)
    assert torch.allclose(lock_lightness(image, wanted), whole, atol=1e-5)


def test_the_result_may_take_the_place_of_the_image() -> None:
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    wanted = random_lightness(image)
    expected = lock_lightness(image, wanted)
    assert lock_lightness(image, wanted, out=image) is image
    assert torch.equal(image, expected)


def test_half_precision_stays_half_precision() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    locked = lock_lightness(image.half(), random_lightness(image).half())
    assert locked.dtype == torch.float16
    assert torch.allclose(locked.float(), lock_lightness(image, random_lightness(image)), atol=5e-3)


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (torch.zeros(1, 1, 4, 5), "one batch size, height and width"),
        (torch.full((1, 1, 4, 4), 101.0), "from 101 to 101"),
        (torch.full((1, 1, 4, 4), -1.0), "from -1 to -1"),
        (torch.full((1, 1, 4, 4), torch.nan), "16 values"),
    ],
)
def test_a_lightness_that_does_not_fit_is_an_error(level: Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        lock_lightness(torch.rand(1, 3, 4, 4), level)
