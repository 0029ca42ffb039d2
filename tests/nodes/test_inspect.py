"""What the nodes show that are there to look at."""

from pathlib import Path

import comfyui_frontend_package
import pytest
import torch
from torch import Tensor

from lcad_nodes.host.instances import Instance, Instances
from lcad_nodes.nodes import text
from lcad_nodes.nodes.inspect import ArtifactMap
from lcad_nodes.nodes.preview import draw_attention, draw_instances
from lcad_nodes.nodes.text import INK, PAPER, Fonts, Piece, set_text
from lcad_nodes.nodes.types import InputError, fit_reference

COLD = 0.05
"""More than any of R, G and B where a heatmap shows nothing."""
GRAY = torch.full((2, 40, 50, 3), 0.5)
LONG = "the old wooden table with its scratched legs and a worn top of warm brown oak"


def instances(*phrases: str, size: tuple[int, int] = (30, 60)) -> Instances:
    """Phrases whose masks are stripes from left to right."""
    masks = torch.zeros(len(phrases), *size)
    for mask, columns in zip(masks, torch.arange(size[1]).chunk(len(phrases)), strict=True):
        mask[:, columns] = 1
    return Instances(tuple(Instance(p, (1,), m) for p, m in zip(phrases, masks, strict=True)))


def colors(picture: Tensor) -> set[tuple[int, ...]]:
    return {tuple(color) for color in (picture * 255).round().int().flatten(0, -2).tolist()}


def test_the_artifact_map_is_brightest_where_the_picture_is_broken() -> None:
    broken = GRAY.clone()
    broken[1, 10:14, 20:24] += 0.3
    heatmap, found = ArtifactMap.execute(broken, GRAY[:1]).args
    assert heatmap.shape == GRAY.shape
    assert found.shape == (2, 40, 50)
    assert found[1].max() == 1
    assert found[1, 10:14, 20:24].mean() > 10 * found[1].mean()
    assert not found[0].any()
    assert heatmap[0].max() < COLD
    brightness = heatmap[1].mean(dim=-1)
    assert brightness.flatten()[found[1].argmax()] == brightness.max() == 1


@pytest.mark.parametrize("reference", [GRAY[:, :20], GRAY[:1].repeat(3, 1, 1, 1)])
def test_a_reference_that_does_not_fit_is_refused(reference: Tensor) -> None:
    with pytest.raises(InputError, match=r"reference is . of .* but image is 2 of 40 x 50 px"):
        ArtifactMap.execute(GRAY, reference)


def test_a_reference_on_another_device_is_brought_to_the_pictures() -> None:
    pictures = torch.empty(2, 3, 40, 50, device="meta")
    found = fit_reference(torch.rand(1, 3, 40, 50), pictures)
    assert (found.device, found.shape) == (pictures.device, pictures.shape)


def test_every_mask_and_its_words_have_a_color_of_their_own() -> None:
    cups = "the left cup is blue", "the right cup is red"
    (shown,) = draw_instances(instances(*cups), " while only ".join(cups))
    masks, words = shown[:256], shown[256:]
    left, right = masks[20, 20], masks[20, -20]
    assert (left - right).abs().sum() > 0.3
    for color in (left, right):
        assert tuple((color * 255).round().int().tolist()) in colors(words)
    assert INK in colors(words)  # what belongs to no phrase


def test_words_between_phrases_are_shown_too() -> None:
    few = draw_instances(instances("a red cup"), "a red cup")
    more = draw_instances(instances("a red cup"), f"a red cup beside {LONG} and {LONG}")
    assert more.shape[1] > few.shape[1]
    assert more.shape[2] == few.shape[2] == 512


def test_a_phrase_that_is_spelled_differently_is_listed_below() -> None:
    (shown,) = draw_instances(instances("ﬁne cup"), "a fine cup")
    fill = tuple((shown[20, 20] * 255).round().int().tolist())
    assert fill in colors(shown[256:])


@pytest.mark.parametrize(
    ("size", "width"), [((300, 20), 256), ((20, 300), 512), ((1, 1), 512), ((2000, 3000), 512)]
)
def test_masks_of_any_size_are_shown_large_enough_to_read(
    size: tuple[int, int], width: int
) -> None:
    (shown,) = draw_instances(instances("a red cup", size=size), "a red cup")
    assert shown.shape[1] == width
    assert 40 <= shown.shape[0] <= 600


def test_long_words_are_broken_and_nothing_is_cut_off() -> None:
    page = set_text([Piece(f"{LONG} {'w' * 200}\nend", INK)], 200, 16)
    assert page.width == 200
    right = page.crop((193, 0, 200, page.height))
    assert right.getcolors() == [(7 * page.height, PAPER)]


def test_a_font_is_found_for_letters_that_the_first_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assets = Path(comfyui_frontend_package.__file__).parent / "static" / "assets"
    (icons,) = assets.glob("primeicons-*.ttf")
    monkeypatch.setattr(text, "SYSTEM_FONTS", ("not-on-this-machine.ttf", str(icons)))
    fonts = Fonts(16)
    assert fonts.of("cup").getname()[0] == "Aileron"
    assert fonts.of("\ue902\ue903").getname()[0] == "primeicons"
    assert fonts.of("cup\ue902").getname()[0] == "Aileron"  # no font has both


def test_every_phrase_has_its_heatmap_in_order() -> None:
    photos = torch.full((2, 3, 60, 80), 0.4)
    maps = torch.zeros(2, 2, 60, 80)
    maps[:, 0, :, :40] = 0.001  # each is stretched: how strong a phrase is as a whole is not shown
    maps[:, 1, :, 40:] = 0.5
    shown = draw_attention(photos, maps, ["a cup", LONG])
    assert len(shown) == 4
    assert shown.shape[1] > 60
    brightness = shown[:, :60].mean(dim=-1)
    for number in (0, 2):
        assert brightness[number, :, :40].mean() > brightness[number, :, 40:].mean() + 0.2
        assert brightness[number + 1, :, 40:].mean() > brightness[number + 1, :, :40].mean() + 0.2


def test_maps_that_are_even_everywhere_are_shown_cold() -> None:
    (shown,) = draw_attention(torch.zeros(1, 3, 64, 64), torch.full((1, 1, 64, 64), 0.2), ["a cup"])
    assert shown[:64].max() < COLD
