"""Figures against published values, hand-computed cases and an independent implementation."""

import math

import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from lcad_nodes.color import lab
from lcad_nodes.color.lab import ImageError, gray, rgb_to_lab
from lcad_nodes.color.measures import (
    color_difference,
    colorfulness,
    delta_e2000,
    mean_lab,
    psnr,
    ssim,
)

# Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005), table 1.
SHARMA = [
    (50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425),
    (50, 3.1571, -77.2803, 50, 0, -82.7485, 2.8615),
    (50, 2.8361, -74.0200, 50, 0, -82.7485, 3.4412),
    (50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0000),
    (50, -1.1848, -84.8006, 50, 0, -82.7485, 1.0000),
    (50, -0.9009, -85.5211, 50, 0, -82.7485, 1.0000),
    (50, 0, 0, 50, -1, 2, 2.3669),
    (50, -1, 2, 50, 0, 0, 2.3669),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0009, 7.1792),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0010, 7.1792),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0011, 7.2195),
    (50, 2.4900, -0.0010, 50, -2.4900, 0.0012, 7.2195),
    (50, -0.0010, 2.4900, 50, 0.0009, -2.4900, 4.8045),
    (50, -0.0010, 2.4900, 50, 0.0010, -2.4900, 4.8045),
    (50, -0.0010, 2.4900, 50, 0.0011, -2.4900, 4.7461),
    (50, 2.5, 0, 50, 0, -2.5, 4.3065),
    (50, 2.5, 0, 73, 25, -18, 27.1492),
    (50, 2.5, 0, 61, -5, 29, 22.8977),
    (50, 2.5, 0, 56, -27, -3, 31.9030),
    (50, 2.5, 0, 58, 24, 15, 19.4535),
    (50, 2.5, 0, 50, 3.1736, 0.5854, 1.0000),
    (50, 2.5, 0, 50, 3.2972, 0, 1.0000),
    (50, 2.5, 0, 50, 1.8634, 0.5757, 1.0000),
    (50, 2.5, 0, 50, 3.2592, 0.3350, 1.0000),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630),
    (61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731),
    (35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645),
    (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
    (36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146),
    (90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441),
    (90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381),
    (6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
]


def test_ciede2000_gives_the_published_values() -> None:
    table = torch.tensor(SHARMA, dtype=torch.float64)
    one, other = (table[:, columns].T[None, :, :, None] for columns in (slice(3), slice(3, 6)))
    assert (delta_e2000(one, other).flatten() - table[:, 6]).abs().max() < 5.1e-5
    assert (delta_e2000(other, one) - delta_e2000(one, other)).abs().max() < 1e-9


def test_ciede2000_of_equal_pictures_is_zero_in_single_precision_too() -> None:
    lab = rgb_to_lab(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert delta_e2000(lab, lab.clone()).abs().max() == 0


def test_gray_has_no_colorfulness_and_two_halves_have_what_the_formula_says() -> None:
    assert colorfulness(gray(torch.full((1, 1, 4, 4), 60.0))) < 0.5
    halves = torch.zeros(1, 3, 2, 2)
    halves[0, 0, 0] = 1.0  # red above black: rg is 255 and 0, yb is 127.5 and 0
    spread, mean = math.hypot(127.5, 63.75), math.hypot(127.5, 63.75)
    assert colorfulness(halves).item() == pytest.approx(spread + 0.3 * mean, rel=1e-5)


def test_psnr_of_a_known_error() -> None:
    image = torch.full((2, 3, 4, 4), 0.5)
    assert psnr(image + 0.1, image).tolist() == pytest.approx([20.0, 20.0], abs=1e-3)


def test_psnr_and_ssim_agree_with_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(3, 3, 40, 52, generator=generator)
    other = (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    for index in range(3):
        one, two = image[index : index + 1], other[index : index + 1]
        expected = structural_similarity_index_measure(one, two, data_range=1.0)
        assert isinstance(expected, torch.Tensor)
        assert ssim(one, two, 1.0).item() == pytest.approx(expected.item(), abs=1e-4)
        assert psnr(one, two).item() == pytest.approx(
            peak_signal_noise_ratio(one, two, data_range=1.0).item(), abs=1e-3
        )


def test_ssim_knows_the_range_of_lightness() -> None:
    generator = torch.Generator().manual_seed(2)
    one, two = torch.rand(2, 1, 1, 20, 20, generator=generator)
    assert ssim(100 * one, 100 * two, 100.0).item() == pytest.approx(
        ssim(one, two, 1.0).item(), abs=1e-5
    )


def test_a_picture_measured_in_bands_has_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    one, two = torch.rand(2, 2, 3, 31, 16, generator=generator)
    whole = ssim(one, two, 1.0), color_difference(one, two)
    pixels = delta_e2000(rgb_to_lab(one), rgb_to_lab(two))
    assert whole[1].tolist() == pytest.approx(pixels.mean(dim=(1, 2, 3)).tolist(), rel=1e-5)
    for rows in (1, 2, 10):
        monkeypatch.setattr(lab, "BAND_PIXELS", 2 * 16 * rows)
        banded = ssim(one, two, 1.0), color_difference(one, two)
        for expected, found in zip(whole, banded, strict=True):
            assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_an_objects_mean_color_leaves_out_what_is_around_it() -> None:
    image = torch.zeros(3, 4, 4)
    image[0, :2] = 1.0
    mask = torch.zeros(4, 4)
    mask[:2] = 1.0
    assert mean_lab(image, mask).tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


def test_what_does_not_fit_is_refused() -> None:
    image = torch.rand(1, 3, 16, 16)
    with pytest.raises(ImageError, match="shapes must be equal"):
        psnr(image, image[:, :, :8])
    with pytest.raises(ImageError, match="6 px a side"):
        ssim(image[:, :, :5], image[:, :, :5], 1.0)
    with pytest.raises(ImageError, match="marks 0 px"):
        mean_lab(image[0], torch.zeros(16, 16))
