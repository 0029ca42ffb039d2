"""Painting in named colors."""

import numpy as np
import pytest
import torch
from color_terms import nearest_term
from numpy.typing import NDArray

from lcad_nodes.color.lab import rgb_to_lab
from lcad_nodes.color.names import TERMS, color_matches
from lcad_nodes.scenes.recolor import FURTHER, MODIFIED, PAINTS, Painter, draw_terms, to_rgb


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter()


def lab_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """N,3 Lab of N,3 sRGB."""
    image = torch.from_numpy(rgb.T.copy())[None, :, :, None].double() / 255
    return rgb_to_lab(image)[0, :, :, 0].T.numpy()


def shading(low: float, high: float, *, takes: int = 255) -> NDArray[np.uint8]:
    """A thing whose lightness goes from one value to another, and ends in a highlight."""
    light = np.append(np.linspace(low, high, 200), [100.0, 100.0]) * 2.55
    columns = [light, np.full(202, takes), np.zeros(202), np.full(202, 255)]
    return np.stack(columns, axis=1).round().astype(np.uint8)[None]


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("tones", [(5, 35), (20, 80), (60, 95)])
def test_the_mean_color_is_called_what_was_asked_for(
    painter: Painter, term: str, tones: tuple[float, float]
) -> None:
    for seed in range(5):
        painted = painter.paint(shading(*tones), term, np.random.default_rng(seed))
        assert color_matches(lab_of(painted[0, :, :3]).mean(axis=0).tolist(), term)


@pytest.mark.parametrize("term", MODIFIED)
def test_a_light_or_dark_color_is_still_called_the_basic_one(painter: Painter, term: str) -> None:
    modifier, basic = term.split()
    plain, modified = (
        [
            lab_of(painter.paint(shading(20, 80), t, np.random.default_rng(seed))[0, :, :3])
            for seed in range(12)
        ]
        for t in (basic, term)
    )
    assert all(color_matches(lab.mean(axis=0).tolist(), basic) for lab in modified)
    change = np.mean(modified, axis=(0, 1))[0] - np.mean(plain, axis=(0, 1))[0]
    assert change > 4 if modifier == "light" else change < -4


@pytest.mark.parametrize("term", FURTHER)
def test_a_further_color_lies_in_its_range(painter: Painter, term: str) -> None:
    paint = PAINTS[term]
    for seed in range(6):
        painted = painter.paint(shading(25, 75), term, np.random.default_rng(seed))
        light, a, b = lab_of(painted[0, :, :3]).mean(axis=0)
        assert paint.widest[0] - 2 < light < paint.widest[1] + 2
        assert 0.6 * paint.chroma[0] - 1 < np.hypot(a, b) < paint.chroma[1] + 2
        if paint.chroma[0] > 0:
            middle = np.mean(paint.hue)
            off = (np.degrees(np.arctan2(b, a)) - middle + 180) % 360 - 180
            assert abs(off) < paint.hue[1] - middle + 8


def test_there_are_many_terms_beyond_the_basic_ones() -> None:
    assert {"navy", "teal", "maroon", "olive"} <= set(FURTHER)
    assert len(set(FURTHER) - set(TERMS)) >= 20


def test_most_terms_drawn_are_basic() -> None:
    drawn = draw_terms(2000, np.random.default_rng(0), basic=False, apart=False)
    assert 0.75 < sum(term in TERMS for term in drawn) / 2000 < 0.85
    assert set(drawn) == set(PAINTS)
    assert set(draw_terms(500, np.random.default_rng(1), basic=True, apart=False)) == set(TERMS)


def test_terms_that_tell_things_apart_are_not_alike() -> None:
    for seed in range(300):
        drawn = draw_terms(3, np.random.default_rng(seed), basic=False, apart=True)
        assert len(set(drawn)) == 3
        assert not {"blue", "azure"} <= set(drawn)
        assert not {"silver", "light gray"} <= set(drawn)


@pytest.mark.parametrize("term", TERMS)
def test_what_was_darker_stays_darker(painter: Painter, term: str) -> None:
    painted = painter.paint(shading(10, 90), term, np.random.default_rng(1))
    assert np.diff(lab_of(painted[0, :200, :3])[:, 0]).min() > -0.6  # eight bits


@pytest.mark.parametrize("term", ["red", "green", "blue", "purple"])
def test_highlights_stay_whitish(painter: Painter, term: str) -> None:
    lab = lab_of(painter.paint(shading(10, 80), term, np.random.default_rng(2))[0, :, :3])
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    assert chroma[-1] < 0.3 * chroma[:200].max()


def test_brown_is_darker_than_orange_and_white_lighter_than_black(painter: Painter) -> None:
    def lightness(term: str) -> float:
        rng = np.random.default_rng(3)
        painted = [painter.paint(shading(20, 80), term, rng)[0, :, :3] for _ in range(8)]
        return float(lab_of(np.concatenate(painted))[:, 0].mean())

    assert lightness("brown") + 10 < lightness("orange")
    assert lightness("black") + 20 < lightness("gray") < lightness("white") - 10


def test_neutral_parts_stay_neutral_where_the_rest_has_color_enough(painter: Painter) -> None:
    thing = shading(30, 70)
    thing[0, 150:200, 1] = 0
    lab = lab_of(painter.paint(thing, "green", np.random.default_rng(4))[0, :, :3])
    assert np.hypot(lab[150:200, 1], lab[150:200, 2]).max() < 2


def test_a_drawn_color_has_its_name(painter: Painter) -> None:
    rng = np.random.default_rng(5)
    for term in TERMS:
        assert nearest_term(painter.draw(term, rng).tolist()) == term


def test_colors_are_limited_to_the_gamut_at_their_lightness_and_hue(painter: Painter) -> None:
    rng = np.random.default_rng(6)
    lab = rng.uniform([5, -120, -120], [95, 120, 120], (500, 3))
    limited = painter.limit(lab)
    assert np.abs(lab_of(to_rgb(limited)) - limited).max() < 4
    assert np.abs(limited[:, 1] * lab[:, 2] - limited[:, 2] * lab[:, 1]).max() < 1e-6
