"""The artifact map."""

import pytest
import torch
from torch.nn.functional import pad

from lcad_nodes.color.artifact import artifact_map
from lcad_nodes.color.lab import ImageError


def pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, height, width)
    return (
        torch.rand(shape, generator=generator, dtype=torch.float64),
        torch.rand(shape, generator=generator, dtype=torch.float64),
    )


def test_it_is_the_variance_in_each_window_scaled_by_that_of_the_whole() -> None:
    image, reference = pair(9, 12)
    residual = (image - reference).abs().sum(dim=1)
    windows = pad(residual, (3, 3, 3, 3), mode="reflect").unfold(1, 7, 1).unfold(2, 7, 1)
    expected = windows.flatten(3).var(dim=3) * residual.flatten(1).var(dim=1)[:, None, None] ** 0.2
    result = artifact_map(image, reference)
    assert result.shape == (2, 1, 9, 12)
    assert torch.allclose(result[:, 0], expected)


def test_float32_keeps_its_digits_on_a_large_even_error() -> None:
    image, reference = pair(16, 16)
    small = artifact_map(1000 + image * 0.01, reference * 0.0)
    single = artifact_map(1000 + image.float() * 0.01, reference.float() * 0.0)
    # What float32 can hold of 1000.00x is known to about 3e-5.
    assert torch.allclose(single.double(), small, rtol=0.05)


def test_an_even_error_is_no_artifact() -> None:
    image, _ = pair(8, 8)
    assert artifact_map(image, image + 0.25).max() < 1e-12


def test_gradients_pass_through_all_of_it() -> None:
    image, reference = pair(4, 5)
    assert torch.autograd.gradcheck(artifact_map, (image.requires_grad_(), reference))


def test_equal_images_give_zero_and_finite_gradients() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    result = artifact_map(image, image.detach().clone())
    result.sum().backward()
    assert result.max() == 0
    assert image.grad is not None
    assert image.grad.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "other"),
    [((1, 3, 8, 8), (1, 3, 8, 9)), ((1, 3, 3, 8), (1, 3, 3, 8)), ((1, 1, 8, 8), (1, 1, 8, 8))],
)
def test_shapes_that_do_not_fit_are_named(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="must be"):
        artifact_map(torch.zeros(shape), torch.zeros(other))
