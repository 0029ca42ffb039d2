"""The basic color terms, as the color accuracy judges them."""

import pytest
import torch
from color_terms import nearest_term

from lcad_nodes.color.lab import ImageError, rgb_to_lab
from lcad_nodes.color.names import (
    PROTOTYPES,
    TERMS,
    ColorNameError,
    color_matches,
    judge_objects,
    named_in,
    terms_at,
)


def lab(*rgb: int) -> torch.Tensor:
    return rgb_to_lab(torch.tensor(rgb, dtype=torch.float32).view(1, 3, 1, 1) / 255)


@pytest.mark.parametrize(
    ("rgb", "term"),
    [
        ((200, 40, 35), "red"),
        ((240, 130, 25), "orange"),
        ((240, 210, 60), "yellow"),
        ((70, 140, 50), "green"),
        ((50, 95, 185), "blue"),
        ((115, 50, 145), "purple"),
        ((245, 150, 185), "pink"),
        ((115, 70, 40), "brown"),
        ((25, 25, 27), "black"),
        ((245, 244, 240), "white"),
        ((128, 128, 128), "gray"),
    ],
)
def test_everyday_colors_have_their_names(rgb: tuple[int, int, int], term: str) -> None:
    assert nearest_term(lab(*rgb)) == term
    assert color_matches(lab(*rgb), term)


@pytest.mark.parametrize(
    ("rgb", "term"),
    [
        ((255, 0, 0), "red"),
        ((255, 140, 0), "orange"),
        ((255, 255, 0), "yellow"),
        ((255, 255, 153), "yellow"),
        ((0, 255, 0), "green"),
        ((0, 100, 0), "green"),
        ((0, 0, 255), "blue"),
        ((0, 0, 128), "blue"),
        ((65, 105, 225), "blue"),
        ((128, 0, 128), "purple"),
        ((138, 43, 226), "purple"),
        ((75, 0, 130), "purple"),
        ((255, 105, 180), "pink"),
    ],
)
def test_the_strongest_colors_of_a_screen_have_one_name_alone(
    rgb: tuple[int, int, int], term: str
) -> None:
    assert [known for known in TERMS if color_matches(lab(*rgb), known)] == [term]


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("lightness", [20.0, 40.0, 60.0, 80.0])
def test_every_term_matches_itself_at_every_lightness(term: str, lightness: float) -> None:
    ab = terms_at(torch.tensor([lightness]))[0, TERMS.index(term)]
    assert color_matches([lightness, *ab.tolist()], term)


@pytest.mark.parametrize("term", ["orange", "yellow", "green", "blue", "purple", "pink", "gray"])
def test_a_red_thing_is_no_other_color(term: str) -> None:
    assert not color_matches(lab(200, 40, 35), term)


def test_black_gray_and_white_count_as_one() -> None:
    assert all(color_matches([50, 1, -2], term) for term in ("black", "gray", "white"))
    assert not color_matches([50, 1, -2], "blue")


def test_names_that_coincide_at_a_lightness_count_as_one() -> None:
    dark_brown = [15, 13, 22]
    assert color_matches(dark_brown, "brown")
    assert color_matches(dark_brown, "orange")
    assert not color_matches([60, *PROTOTYPES["brown"]], "orange")


def test_terms_lie_inside_the_gamut() -> None:
    assert terms_at(torch.tensor([0.0, 100.0])).abs().max() < 0.1
    assert terms_at(torch.tensor([50.0]))[0, TERMS.index("brown")].tolist() == pytest.approx(
        PROTOTYPES["brown"]
    )


def test_an_unknown_term_is_named() -> None:
    with pytest.raises(ColorNameError, match=r"'mauve'.*red, orange"):
        color_matches([50, 0, 0], "mauve")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("the red cup", "red"),
        ("A PURPLE COW on the left", "purple"),
        ("a grey Grey parrot", "gray"),
        ("red, as red as can be", "red"),
        ("a blue and white bus", None),
        ("an infrared camera", None),
        ("", None),
    ],
)
def test_the_only_color_word_of_a_text(text: str, term: str | None) -> None:
    assert named_in(text) == term


def test_only_things_of_one_color_are_judged() -> None:
    image = torch.tensor([0.78, 0.16, 0.14])[:, None, None].repeat(1, 4, 4)
    mask = torch.ones(4, 4)
    things = [("a red cup", mask), ("the cup", mask), ("a red or blue cup", 0 * mask)]
    assert judge_objects(image, [*things, ("a blue one", mask)]) == [("red", True), ("blue", False)]
    with pytest.raises(ImageError, match="marks 0 px"):
        judge_objects(image, [("a red cup", 0 * mask)])
