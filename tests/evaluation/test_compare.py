"""Folders of results, side by side."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from lcad_nodes.evaluation.__main__ import main
from lcad_nodes.evaluation.compare import CompareError, Comparison, compare, descriptions
from lcad_nodes.evaluation.metrics import Backbones

NOTHING = Backbones(None, None, None, ())
RED, BLUE = (0.78, 0.16, 0.14), (0.2, 0.37, 0.73)


def halves(left: tuple[float, ...], right: tuple[float, ...]) -> Tensor:
    """A picture of two halves, 3x16x16."""
    image = torch.empty(3, 16, 16)
    image[:, :, :8] = torch.tensor(left)[:, None, None]
    image[:, :, 8:] = torch.tensor(right)[:, None, None]
    return image


def write(folder: Path, pictures: dict[str, Tensor]) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        to_pil_image(picture).save(folder / name)
    return folder


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    pictures = {"a.png": halves(RED, BLUE), "b.png": halves(BLUE, RED), "c.png": halves(RED, RED)}
    return write(tmp_path / "photos", pictures)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A method that is right, and one that swaps the colors and has no picture of c."""
    right = {"a.png": halves(RED, BLUE), "b.bmp": halves(BLUE, RED), "c.png": halves(RED, RED)}
    wrong = {"a.png": halves(BLUE, RED), "b.png": halves(RED, BLUE), "d.png": halves(RED, RED)}
    return write(tmp_path / "right", right), write(tmp_path / "wrong", wrong)


def values(comparison: Comparison, method: str) -> dict[str, float]:
    return {name: found.value for name, found in comparison.figures[method].items()}


def test_the_method_that_is_right_has_the_better_figures(
    truth: Path, folders: tuple[Path, Path]
) -> None:
    comparison = compare(folders, truth, None, None, NOTHING)
    right, wrong = values(comparison, "right"), values(comparison, "wrong")
    assert (right["ΔE2000 ↓"], right["SSIM ↑"]) == (0, pytest.approx(1, abs=1e-4))
    assert wrong["ΔE2000 ↓"] > 20
    assert wrong["SSIM ↑"] < 0.5
    assert right["colorfulness"] == values(comparison, "truth")["colorfulness"] > 50
    assert {"LPIPS ↓", "FID ↓", "CLIP score ↑", "binding ↑"}.isdisjoint(right)


def test_results_named_as_quickstart_names_them_are_of_their_photographs(
    truth: Path, tmp_path: Path
) -> None:
    made = write(tmp_path / "made", {f"{name}.color.png": halves(RED, BLUE) for name in "abc"})
    comparison = compare([made], truth, None, None, NOTHING)
    assert comparison.figures["made"]["SSIM ↑"].count == 3
    assert not [note for note in comparison.notes if "lacks" in note]


def test_results_beside_their_photographs_are_told_from_them(tmp_path: Path) -> None:
    beside = write(
        tmp_path / "beside",
        {
            "a.jpg": halves(RED, RED),
            "a.color.jpg": halves(RED, BLUE),
            "failed.jpg": halves(RED, RED),
        },
    )
    (beside / "._a.jpg").write_bytes(b"what another system keeps of a file")
    comparison = compare([beside], beside, None, None, NOTHING)
    assert comparison.notes[:-1] == ("Not scored, since beside lacks them: failed.",)
    figures = comparison.figures
    assert figures["truth"]["colorfulness"] != figures["beside"]["colorfulness"]
    assert figures["beside"]["ΔE2000 ↓"].value > 10


def test_only_photographs_that_all_have_are_scored_and_the_others_are_named(
    truth: Path, folders: tuple[Path, Path]
) -> None:
    comparison = compare(folders, truth, None, None, NOTHING)
    assert comparison.figures["right"]["SSIM ↑"].count == 2
    assert comparison.notes[:3] == (
        "Not scored, since truth lacks them: d.",
        "Not scored, since right lacks them: d.",
        "Not scored, since wrong lacks them: c.",
    )


def test_a_bad_file_costs_its_own_photograph_only(
    tmp_path: Path, truth: Path, folders: tuple[Path, Path]
) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({name: "a red cup" for name in "abc"}))
    marks = {f"{name}.0.png": torch.ones(1, 16, 16) for name in "abc"}
    masks = write(tmp_path / "masks", marks)
    for broken, said in [
        (torch.zeros(1, 16, 16), r"b is not scored: .*b\.0\.png marks nothing"),
        (torch.ones(1, 16, 8), r"b is not scored: .*b\.0\.png is 8 x 16 px, its .* 16 x 16 px"),
        (torch.full((4, 16, 16), 0.5), r"b is not scored: .*b\.0\.png is see-through"),
    ]:
        to_pil_image(broken).save(masks / "b.0.png")
        comparison = compare(folders, truth, captions, masks, NOTHING)
        assert comparison.figures["right"]["SSIM ↑"].count == 1
        assert re.search(said, "\n".join(comparison.notes))
    (folders[0] / "a.png").write_bytes(b"not a picture")
    with pytest.raises(CompareError, match=r"No photograph can .*\s.*right.a\.png cannot be read"):
        compare(folders, truth, captions, masks, NOTHING)


def test_what_was_made_to_fit_or_left_out_is_named(tmp_path: Path, truth: Path) -> None:
    square, wide = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    made = {"a.png": square[:, ::2, ::4], "b.png": wide, "c.png": halves(RED, RED)}
    comparison = compare([write(tmp_path / "made", made)], truth, None, None, NOTHING)
    assert {
        "Of made, 1 are scaled to the size of the truth: a.",
        "Of made, 1 are stretched to the truth's proportions, right only if they had been "
        "squeezed: b.",
        "Of made, 1 are equal to the truth and left out of PSNR, which is infinite: c.",
        "CLIP score, color accuracy and binding are empty: no captions were given.",
    } <= set(comparison.notes)
    counts = {name: found.count for name, found in comparison.figures["made"].items()}
    assert (counts["PSNR, dB ↑"], counts["SSIM ↑"]) == (2, 3)


def test_objects_are_scored_where_descriptions_and_masks_are(
    tmp_path: Path, truth: Path, folders: tuple[Path, Path]
) -> None:
    captions = tmp_path / "captions.json"
    texts = {"a.png": ["a red cup、 a blue cup,"], "b.png": ["a blue cup, a red and blue cup"]}
    captions.write_text(json.dumps(texts))
    left, right = torch.zeros(2, 1, 16, 16)
    left[..., :8], right[..., 8:] = 1, 1
    masks = write(
        tmp_path / "masks", {f"{n}.{i}.png": m for n in "ab" for i, m in enumerate((left, right))}
    )
    comparison = compare(folders, truth, captions, masks, NOTHING)
    right_one, wrong = (comparison.figures[name] for name in ("right", "wrong"))
    assert (right_one["color accuracy ↑"].value, right_one["binding ↑"].value) == (1, 1)
    assert (wrong["color accuracy ↑"].value, wrong["binding ↑"].value) == (0, 0)
    assert (wrong["color accuracy ↑"].count, wrong["binding ↑"].count) == (2, 1)
    (masks / "a.1.png").unlink()
    with pytest.raises(CompareError, match=r"a has 1 masks, but its description .* has 2"):
        compare(folders, truth, captions, masks, NOTHING)


def test_trained_networks_are_used_where_they_are(
    tmp_path: Path, truth: Path, folders: tuple[Path, Path]
) -> None:
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"a.png": "a red cup", "b.png": "a blue cup"}))
    backbones = Backbones(
        lpips=lambda one, other: (one - other).abs().mean(),
        inception=Thumbnail(),
        clip=lambda picture, text: float(len(text)),
        missing=("Something is not there.",),
    )
    comparison = compare(folders, truth, captions, None, backbones)
    right, wrong = values(comparison, "right"), values(comparison, "wrong")
    assert right["LPIPS ↓"] == 0
    assert wrong["LPIPS ↓"] > 0.2
    # Both methods have the same two pictures: as sets they do not differ from the truth.
    assert right["FID ↓"] == pytest.approx(0, abs=1e-2)
    assert wrong["FID ↓"] == pytest.approx(0, abs=1e-2)
    assert right["CLIP score ↑"] == values(comparison, "truth")["CLIP score ↑"] == 9.5
    assert "Something is not there." in comparison.notes


def test_a_photograph_that_is_too_small_for_a_network_costs_itself_only(
    truth: Path, folders: tuple[Path, Path]
) -> None:
    to_pil_image(torch.rand(3, 24, 24)).save(truth / "a.png")
    comparison = compare(folders, truth, None, None, replace(NOTHING, least=20))
    assert comparison.figures["right"]["SSIM ↑"].count == 1
    assert "b is not scored" in "\n".join(comparison.notes)
    assert "is 16 x 16 px, below 20 px a side" in "\n".join(comparison.notes)


class Thumbnail(nn.Module):
    """Features of a picture: its mean color and that of its left half."""

    num_features = 6

    def forward(self, pictures: Tensor) -> Tensor:
        pixels = pictures.double()
        return torch.cat([pixels.mean(dim=(2, 3)), pixels[..., :8].mean(dim=(2, 3))], dim=1)


@pytest.mark.parametrize(
    ("entries", "texts"),
    [
        (
            {"a.jpg": ["one", "two"], "b.jpg": ["three"]},
            {"a": "one", "a_0": "one", "a_1": "two", "b": "three", "b_0": "three"},
        ),
        (
            {"a.jpg": ["one", "two"], "a_1.jpg": "of another"},
            {"a": "one", "a_0": "one", "a_1": "of another", "a_1_0": "of another"},
        ),
        ({"vg/a.jpg_1": "one", "vg/a.jpg_3": "two"}, {"a": "one", "a_1": "one", "a_3": "two"}),
        (
            {
                "images": [{"id": 5, "file_name": "a.jpg"}],
                "annotations": [{"image_id": 5, "caption": text} for text in ("one", "two")],
            },
            {"a": "one", "a_0": "one", "a_1": "two"},
        ),
    ],
)
def test_captions_as_the_data_sets_have_them(
    tmp_path: Path, entries: dict[str, Any], texts: dict[str, str]
) -> None:
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(entries))
    assert descriptions(file) == texts


def test_folders_that_do_not_go_together(
    tmp_path: Path, truth: Path, folders: tuple[Path, Path]
) -> None:
    with pytest.raises(CompareError, match="not a folder"):
        compare([tmp_path / "nowhere"], truth, None, None, NOTHING)
    with pytest.raises(CompareError, match="right is taken"):
        compare([folders[0], folders[0]], truth, None, None, NOTHING)
    other = write(tmp_path / "other", {})
    with pytest.raises(CompareError, match="other holds no pictures"):
        compare([other], truth, None, None, NOTHING)
    with pytest.raises(CompareError, match="other holds no pictures"):
        compare([folders[0]], other, None, None, NOTHING)
    to_pil_image(halves(RED, RED)).save(other / "z.png")
    with pytest.raises(CompareError, match="No photograph"):
        compare([other], truth, None, None, NOTHING)
    for masks, said in ((tmp_path / "nowhere", "not a folder"), (other, "z.png is not named")):
        with pytest.raises(CompareError, match=said):
            compare([folders[0]], truth, None, masks, NOTHING)
    to_pil_image(halves(RED, RED)).save(other / "z.bmp")
    with pytest.raises(CompareError, match="more than one picture named z"):
        compare([other], truth, None, None, NOTHING)
    with pytest.raises(SystemExit, match="nowhere is not a folder"):
        main(["compare", str(tmp_path / "nowhere"), "--truth", str(truth)])


def test_the_command_writes_what_it_prints(
    tmp_path: Path,
    truth: Path,
    folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    out = tmp_path / "out"
    names = [str(folder) for folder in folders]
    main(["compare", *names, "--truth", str(truth), "--clip", "no/such", "--out", str(out)])
    printed = capsys.readouterr().out
    assert (out / "comparison.md").read_text(encoding="utf-8") in printed
    for missing in ("LPIPS is empty: ", "FID is empty: ", "CLIP score is empty: no/such"):
        assert missing in printed
    assert 'wrong,"PSNR, dB' in (out / "comparison.csv").read_text(encoding="utf-8")
    with Image.open(out / "comparison.png") as picture:
        assert picture.width > 4 * 160
