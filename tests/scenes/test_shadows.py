"""Shadows of things."""

import numpy as np
import torch
from PIL import Image

from lcad_nodes.scenes.shadows import darken, floor_shadow


def test_a_floor_shadow_starts_at_the_foot_and_falls_to_either_side() -> None:
    thing = Image.new("L", (96, 96))
    thing.paste(255, (40, 16, 56, 64))
    middles = []
    for seed in range(20):
        shadow = torch.from_numpy(np.array(floor_shadow(thing, np.random.default_rng(seed))))
        assert 0 < shadow.max() <= 0.6 * 255
        rows, columns = (shadow > shadow.max() / 2).nonzero().unbind(1)
        assert 64 - 24 - 5 <= rows.min() <= rows.max() <= 64 + 24 + 5
        assert min(abs(rows.min() - 64), abs(rows.max() - 64)) <= 5
        middles.append(columns.float().mean().item())
    assert min(middles) < 40
    assert max(middles) > 56


def test_nothing_throws_no_shadow() -> None:
    empty = Image.new("L", (32, 48))
    assert floor_shadow(empty, np.random.default_rng(0)).getextrema() == (0, 0)


def test_a_picture_is_darkened_where_the_shadow_is() -> None:
    shadow = Image.new("L", (4, 4))
    shadow.paste(102, (0, 0, 2, 4))
    dark = np.asarray(darken(Image.new("RGB", (4, 4), (200, 100, 50)), shadow))
    assert dark[:, :2].reshape(-1, 3).tolist() == [[120, 60, 30]] * 8
    assert dark[:, 2:].reshape(-1, 3).tolist() == [[200, 100, 50]] * 8
