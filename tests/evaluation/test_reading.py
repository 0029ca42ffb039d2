"""Pictures of a photograph at one size."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from lcad_nodes.evaluation.matching import Request
from lcad_nodes.evaluation.naming import CompareError, Name
from lcad_nodes.evaluation.reading import STRETCHED, read


def saved(file: Path, picture: Tensor) -> Path:
    to_pil_image(picture).save(file)
    return file


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """A photograph of 40 x 20 px, results of this and two other sizes, and a mask."""
    mask = torch.zeros(1, 20, 40)
    mask[..., :13] = 1
    sizes = {"right": (20, 40), "half": (10, 20), "square": (16, 16)}
    results = {
        name: saved(tmp_path / f"{name}.png", torch.rand(3, *s)) for name, s in sizes.items()
    }
    truth = saved(tmp_path / "truth.png", torch.rand(3, 20, 40))
    mark = saved(tmp_path / "mask.png", mask)
    return Request(Name("a"), truth, results, "a cup", ["a cup"], [mark])


def test_everything_is_scaled_to_the_size_that_is_asked_for(request_: Request) -> None:
    pictures = read(request_, 16, 6)
    everything = [pictures.truth, *pictures.results.values(), *pictures.masks]
    assert {tuple(picture.shape[-2:]) for picture in everything} == {(16, 16)}
    assert pictures.masks[0].unique().tolist() == [0, 1]
    assert pictures.masks[0][0].sum() == 5
    assert pictures.fitted == {"square": STRETCHED}
    saved(Path(request_.masks[0]), torch.ones(1, 16, 16))  # as large as what is asked for
    assert read(request_, 16, 6).masks[0].all()


def test_the_size_is_the_truths_own_where_none_is_asked_for(request_: Request) -> None:
    pictures = read(request_, None, 6)
    assert {tuple(picture.shape[-2:]) for picture in pictures.results.values()} == {(20, 40)}
    assert list(pictures.fitted) == ["half", "square"]
    with pytest.raises(CompareError, match=r"truth\.png is 40 x 20 px, below 32 px a side"):
        read(request_, None, 32)
