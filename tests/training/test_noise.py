"""What chance is drawn from a sample's number."""

import torch

from lcad_nodes.training.noise import draws

SHAPE = torch.Size((64, 4, 24, 24))
NUMBERS = torch.arange(64)


def test_a_draw_is_its_number_s_alone() -> None:
    uniform, noise = draws(NUMBERS, SHAPE, seed=3, offset=0.2)
    later, other = draws(NUMBERS[40:], torch.Size((24, *SHAPE[1:])), seed=3, offset=0.2)
    assert torch.equal(uniform[40:], later)
    assert torch.equal(noise[40:], other)
    assert not torch.equal(noise, draws(NUMBERS, SHAPE, seed=4, offset=0.2)[1])


def test_without_an_offset_noise_is_white_and_uniform_draws_are_the_same_with_one() -> None:
    uniform, noise = draws(NUMBERS, SHAPE, seed=3)
    assert abs(float(noise.std()) - 1) < 0.01
    assert float(noise.mean(dim=(2, 3)).std()) < 1.2 / 24  # of 24 x 24 draws
    assert torch.equal(uniform, draws(NUMBERS, SHAPE, seed=3, offset=0.2)[0])


def test_an_offset_hides_the_means_of_large_areas_and_adds_little_to_single_places() -> None:
    _, white = draws(NUMBERS, SHAPE, seed=3)
    _, noise = draws(NUMBERS, SHAPE, seed=3, offset=0.2)
    for side in (24, 12):  # the whole picture, its quarters
        means = noise.unfold(2, side, side).unfold(3, side, side).mean(dim=(4, 5))
        assert 0.2 < float(means.std()) < 0.4
    assert float((noise - white).diff(dim=3).std()) < 0.1
    assert float(noise.std()) < 1.1
