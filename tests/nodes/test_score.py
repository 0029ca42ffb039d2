"""Pictures measured inside ComfyUI."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor

from lcad_nodes.host.instances import Instance, Instances, MaskError
from lcad_nodes.nodes.score import Score
from lcad_nodes.nodes.types import InputError

RED, BLUE = (0.78, 0.16, 0.14), (0.2, 0.37, 0.73)


def picture(left: tuple[float, ...], right: tuple[float, ...]) -> Tensor:
    """An IMAGE of two halves, 1x16x16x3."""
    image = torch.empty(1, 16, 16, 3)
    image[:, :, :8], image[:, :, 8:] = torch.tensor(left), torch.tensor(right)
    return image


def halves(left: str, right: str) -> Instances:
    masks = torch.zeros(2, 16, 16)
    masks[0, :, :8] = masks[1, :, 8:] = 1
    return Instances((Instance(left, (1,), masks[0]), Instance(right, (2,), masks[1])))


def score(*args: Any, **kwargs: Any) -> list[dict[str, float | None]]:
    return json.loads(Score.execute(*args, **kwargs).args[0])


def test_a_picture_against_its_truth() -> None:
    truth = picture(RED, BLUE)
    (same,) = score(truth, truth)
    assert same["ssim"] == pytest.approx(1.0, abs=1e-4)
    assert same["delta_e2000"] == 0
    assert same["psnr"] is None  # infinite
    (changed,) = score((truth + 0.1).clamp(0, 1), truth)
    assert changed["psnr"] == pytest.approx(20.0, abs=0.01)
    assert (changed["delta_e2000"] or 0) > 2


def test_what_cannot_be_measured_is_empty_and_the_reason_is_told() -> None:
    figures, table = Score.execute(picture(RED, BLUE)).args
    (found,) = json.loads(figures)
    assert [name for name, value in found.items() if value is not None] == ["colorfulness"]
    head, _, row, _, *reasons = table.splitlines()
    names = "psnr | ssim | lpips | fid | clip_score | delta_e2000"
    assert head == f"| picture | {names} | colorfulness | color_accuracy | binding |"
    assert row.startswith("| 1 |  |  |  |  |  |  | ")
    assert [line.partition(":")[0] for line in reasons] == [
        "- psnr, ssim, delta_e2000",
        "- lpips, fid, clip_score",
        "- color_accuracy",
        "- binding",
    ]
    assert "need trained networks" in reasons[1]


def test_what_is_measured_needs_no_reason() -> None:
    image = picture(RED, BLUE)
    objects = halves("the red cup", "the blue cup")
    _, table = Score.execute(image, image, objects).args
    (reason,) = table.splitlines()[4:]
    assert reason.startswith("- lpips, fid, clip_score: need trained networks")


@pytest.mark.parametrize(
    ("left", "right", "accuracy", "binding"),
    [
        ("the red cup", "the blue cup", 1.0, 1.0),
        ("the red cup", "the green cup", 0.5, 0.5),
        ("the blue cup", "the red cup", 0.0, 0.0),
        ("the red cup", "the other red cup", 0.5, None),
        ("the red cup", "the other cup", 1.0, None),
        ("a cup", "another cup", None, None),
    ],
)
def test_objects_that_got_the_color_named_are_counted(
    left: str, right: str, accuracy: float | None, binding: float | None
) -> None:
    (found,) = score(picture(RED, BLUE), instances=halves(left, right))
    assert (found["color_accuracy"], found["binding"]) == (accuracy, binding)


def test_masks_may_be_of_another_scale() -> None:
    large = picture(RED, BLUE).repeat_interleave(3, dim=1).repeat_interleave(3, dim=2)
    (found,) = score(large, instances=halves("the red cup", "the green cup"))
    assert found["color_accuracy"] == 0.5


def test_a_small_mask_of_a_larger_photo_still_counts() -> None:
    masks = torch.zeros(2, 160, 160)
    masks[0, 81:83, 21:23] = masks[1, 81:83, 121:123] = 1
    named = ("a red dot", "a red stain")
    dots = Instances(tuple(Instance(n, (1,), m) for n, m in zip(named, masks, strict=True)))
    (found,) = score(picture(RED, BLUE), instances=dots)
    assert found["color_accuracy"] == 0.5


def test_one_truth_serves_a_whole_batch() -> None:
    truth = picture(RED, BLUE)
    errors = [found["delta_e2000"] for found in score(torch.cat([truth, 1 - truth]), truth)]
    assert errors[0] == 0
    assert (errors[1] or 0) > 20


@pytest.mark.parametrize("truth", [torch.rand(1, 16, 15, 3), torch.rand(3, 16, 16, 3)])
def test_a_truth_that_does_not_fit(truth: Tensor) -> None:
    with pytest.raises(InputError, match=r"reference is \d of 16 x 1\d px, but image is 2 of"):
        score(torch.rand(2, 16, 16, 3), truth)


def test_masks_of_another_photo() -> None:
    with pytest.raises(MaskError, match="16 x 16 px, but the photo is 24 x 16 px"):
        score(torch.rand(1, 24, 16, 3), instances=halves("a red cup", "a blue cup"))
