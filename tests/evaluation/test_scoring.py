"""What is measured of pictures whose scenes are known."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lcad_nodes.evaluation.scoring import (
    error,
    hits,
    named,
    outside,
    recolored,
    stack,
    told_apart,
    told_in_order,
)
from lcad_nodes.scenes.builder import Scene, SceneObject

RED, GREEN, GRAY = (0.78, 0.16, 0.14), (0.27, 0.55, 0.2), (0.5, 0.5, 0.5)


def picture(left: tuple[float, ...], right: tuple[float, ...], rest: tuple[float, ...]) -> Tensor:
    """Two squares on a ground, 3x12x16."""
    image = torch.tensor(rest)[:, None, None].repeat(1, 12, 16)
    image[:, 3:9, 1:7] = torch.tensor(left)[:, None, None]
    image[:, 3:9, 9:15] = torch.tensor(right)[:, None, None]
    return image


@pytest.fixture
def scene() -> Scene:
    masks = torch.zeros(2, 12, 16)
    masks[0, 3:9, 1:7] = masks[1, 3:9, 9:15] = 1
    objects = (
        SceneObject("cup", "red", "the red cup", masks[0]),
        SceneObject("hat", "green", None, masks[1]),
    )
    return Scene(picture(RED, GREEN, GRAY), "the red cup", objects)


def test_objects_that_got_their_color(scene: Scene) -> None:
    pictures = torch.stack(
        [picture(RED, GREEN, GRAY), picture(RED, RED, GREEN), picture(GREEN, RED, GRAY)]
    )
    assert hits([scene] * 3, pictures) == [(2, 2), (1, 2), (0, 2)]


def test_the_rest_counts_without_the_objects(scene: Scene) -> None:
    pictures = torch.stack([picture(GREEN, RED, GRAY), picture(RED, GREEN, RED)])
    (same,), (other,) = outside([scene] * 2, pictures)
    assert same == pytest.approx(0, abs=1e-3)
    assert other > 20
    (inside,), (without,) = error([scene] * 2, pictures)
    assert min(inside, without) > 10


def test_only_a_difference_on_the_object_tells_pictures_apart(scene: Scene) -> None:
    truth, _ = stack([scene] * 2)
    others = torch.stack([picture(GREEN, GREEN, GRAY), picture(RED, RED, GREEN)])
    assert told_apart([scene] * 2, truth, others) == [(1, 1), (0, 1)]


def test_another_color_for_the_same_object(scene: Scene) -> None:
    assert recolored(scene) == "the green cup"
    loud = Scene(scene.image, "A RED CUP AND A RED HAT", scene.objects)
    assert recolored(loud) == "A green CUP AND A RED HAT"


def test_only_what_is_described_is_guided(scene: Scene) -> None:
    assert [phrase for phrase, _ in named(scene)] == ["the red cup"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a red cup, a green one", True), ("a green one and a red cup", False)],
)
def test_the_order_of_words_is_that_of_things_or_not(
    scene: Scene, text: str, expected: bool
) -> None:
    cup, hat = scene.objects
    objects = (replace(cup, phrase="a red cup"), replace(hat, phrase="a green one"))
    assert told_in_order(Scene(scene.image, text, objects)) is expected
