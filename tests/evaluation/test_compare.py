"""Folders of results, side by side."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image

from lcad_nodes.evaluation.__main__ import main
from lcad_nodes.evaluation.compare import compare
from lcad_nodes.evaluation.comparison import Comparison
from lcad_nodes.evaluation.matching import Files
from lcad_nodes.evaluation.metrics import Backbones
from lcad_nodes.evaluation.naming import CompareError

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
    comparison = compare(Files(folders, truth), NOTHING)
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
    comparison = compare(Files([made], truth), NOTHING)
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
    comparison = compare(Files([beside], beside), NOTHING)
    assert [note for note in comparison.notes if note.startswith("Not scored")] == [
        "Not scored, since beside lacks them: failed."
    ]
    figures = comparison.figures
    assert figures["truth"]["colorfulness"] != figures["beside"]["colorfulness"]
    assert figures["beside"]["ΔE2000 ↓"].value > 10


def test_only_photographs_that_all_have_are_scored_and_the_others_are_named(
    truth: Path, folders: tuple[Path, Path]
) -> None:
    comparison = compare(Files(folders, truth), NOTHING)
    assert comparison.figures["right"]["SSIM ↑"].count == 2
    assert comparison.notes[2:5] == (
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
        (torch.full((4, 16, 16), 0.5), r"b is not scored: .*b\.0\.png is transparent"),
    ]:
        to_pil_image(broken).save(masks / "b.0.png")
        comparison = compare(Files(folders, truth, captions, masks=masks), NOTHING)
        assert comparison.figures["right"]["SSIM ↑"].count == 1
        assert re.search(said, "\n".join(comparison.notes))
    (folders[0] / "a.png").write_bytes(b"not a picture")
    with pytest.raises(CompareError, match=r"No photograph can .*\s.*right.a\.png cannot be read"):
        compare(Files(folders, truth, captions, masks=masks), NOTHING)


def test_what_was_made_to_fit_or_left_out_is_named(tmp_path: Path, truth: Path) -> None:
    square, wide = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    made = {"a.png": square[:, ::2, ::4], "b.png": wide, "c.png": halves(RED, RED)}
    comparison = compare(Files([write(tmp_path / "made", made)], truth), NOTHING)
    assert {
        "Of made, 1 are scaled to the size of the truth: a.",
        "Of made, 1 are stretched to the truth's proportions, right only if they had been "
        "squeezed: b.",
        "Of made, 1 are equal to the truth, so that PSNR, which is infinite, leaves them out for "
        "every method: c.",
        "Scored: 3 pictures of 3 photographs, at the truth's own size.",
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
    comparison = compare(Files(folders, truth, captions, masks=masks), NOTHING)
    right_one, wrong = (comparison.figures[name] for name in ("right", "wrong"))
    assert (right_one["color accuracy ↑"].value, right_one["binding ↑"].value) == (1, 1)
    assert (wrong["color accuracy ↑"].value, wrong["binding ↑"].value) == (0, 0)
    assert (wrong["color accuracy ↑"].count, wrong["binding ↑"].count) == (2, 1)
    (masks / "a.1.png").unlink()
    comparison = compare(Files(folders, truth, captions, masks=masks), NOTHING)
    assert re.search(r"a is not scored: it has 1 masks, .* are 2", "\n".join(comparison.notes))
    assert comparison.figures["right"]["SSIM ↑"].count == 1
    phrases = tmp_path / "phrases.json"
    phrases.write_text(json.dumps({"a.png": ["the red cup"]}))
    comparison = compare(Files(folders, truth, captions, phrases, masks), NOTHING)
    assert comparison.figures["right"]["color accuracy ↑"].count == 2


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
    comparison = compare(Files(folders, truth, captions), backbones)
    right, wrong = values(comparison, "right"), values(comparison, "wrong")
    assert right["LPIPS ↓"] == 0
    assert wrong["LPIPS ↓"] > 0.2
    # Both methods have the same two pictures: as sets they do not differ from the truth.
    assert right["FID ↓"] == pytest.approx(0, abs=1e-2)
    assert wrong["FID ↓"] == pytest.approx(0, abs=1e-2)
    assert right["CLIP score ↑"] == values(comparison, "truth")["CLIP score ↑"] == 9.5
    assert {
        "Something is not there.",
        "FID of 2 pictures: compare it only with FIDs of as many pictures and the same resizing.",
    } <= set(comparison.notes)
    assert comparison.differences["wrong - right"]["LPIPS ↓"].value == wrong["LPIPS ↓"]


def test_fid_needs_two_photographs_not_two_pictures_of_one(truth: Path, tmp_path: Path) -> None:
    made = {"a_0.png": halves(RED, BLUE), "a_1.png": halves(BLUE, RED)}
    files = Files([write(tmp_path / "made", made)], truth)
    comparison = compare(files, replace(NOTHING, inception=Thumbnail()))
    assert comparison.figures["made"]["SSIM ↑"].count == 2
    assert "FID ↓" not in comparison.figures["made"]
    assert "FID is empty: it needs two photographs or more." in comparison.notes


def test_the_true_pictures_of_fid_are_the_photographs_once_each(
    truth: Path, tmp_path: Path
) -> None:
    class Counting(Thumbnail):
        seen = 0

        def forward(self, pictures: Tensor) -> Tensor:
            Counting.seen += 1
            return super().forward(pictures)

    names = ("a_0.png", "a_1.png", "b_0.png", "b_1.png")
    made = write(tmp_path / "made", dict.fromkeys(names, halves(RED, BLUE)))
    compare(Files([made], truth), replace(NOTHING, inception=Counting()))
    assert Counting.seen == 4 + 2


def test_a_picture_that_is_its_own_truth_leaves_psnr_for_every_method(
    truth: Path, tmp_path: Path
) -> None:
    exact = {"a.png": halves(RED, BLUE), "b.png": halves(RED, RED)}
    close = {"a.png": halves(RED, RED), "b.png": halves(RED, RED)}
    folders = [write(tmp_path / "exact", exact), write(tmp_path / "close", close)]
    comparison = compare(Files(folders, truth), NOTHING)
    psnr = [comparison.figures[folder.name]["PSNR, dB ↑"] for folder in folders]
    assert [found.count for found in psnr] == [1, 1]
    assert psnr[0] == psnr[1]
    assert comparison.differences["close - exact"]["PSNR, dB ↑"].value == 0


def test_the_size_that_is_asked_for_is_used_and_said(
    truth: Path, folders: tuple[Path, Path]
) -> None:
    comparison = compare(Files(folders, truth), NOTHING, 8)
    assert comparison.notes[0] == "Scored: 2 pictures of 2 photographs, scaled to 8 x 8 px."
    own = compare(Files(folders, truth), NOTHING)
    assert values(comparison, "wrong")["SSIM ↑"] != values(own, "wrong")["SSIM ↑"]
    with pytest.raises(CompareError, match=r"--size is 4 px; the figures need 6 px or more"):
        compare(Files(folders, truth), NOTHING, 4)


def test_photographs_that_are_gray_themselves_are_named(truth: Path, tmp_path: Path) -> None:
    gray = halves((0.2, 0.2, 0.2), (0.7, 0.7, 0.7))
    to_pil_image(gray).save(truth / "b.png")
    made = write(tmp_path / "made", {f"{name}.png": gray for name in ("a_0", "b_0", "b_1")})
    comparison = compare(Files([made], truth), NOTHING)
    assert (
        "Of truth, 1 are gray, so that any color counts as an error there: b." in comparison.notes
    )


def test_results_of_one_photograph_are_drawn_together(truth: Path, tmp_path: Path) -> None:
    made = {f"{n}_{i}.png": halves(BLUE, c) for n in "ab" for i, c in enumerate((RED, BLUE))}
    comparison = compare(Files([write(tmp_path / "made", made)], truth), NOTHING)
    figure = comparison.figures["made"]["ΔE2000 ↓"]
    means = [
        np.mean(
            [
                s.sample
                for s in comparison.scores
                if s.name.photograph == name and s.figure == "ΔE2000 ↓"
            ]
        )
        for name in "ab"
    ]
    assert (figure.low, figure.high) == pytest.approx((min(means), max(means)))


def test_a_photograph_that_is_too_small_for_a_network_costs_itself_only(
    truth: Path, folders: tuple[Path, Path]
) -> None:
    to_pil_image(torch.rand(3, 24, 24)).save(truth / "a.png")
    comparison = compare(Files(folders, truth), replace(NOTHING, least=20))
    assert comparison.figures["right"]["SSIM ↑"].count == 1
    assert "b is not scored" in "\n".join(comparison.notes)
    assert "is 16 x 16 px, below 20 px a side" in "\n".join(comparison.notes)


class Thumbnail(nn.Module):
    """Features of a picture: its mean color and that of its left half."""

    num_features = 6

    def forward(self, pictures: Tensor) -> Tensor:
        pixels = pictures.double()
        return torch.cat([pixels.mean(dim=(2, 3)), pixels[..., :8].mean(dim=(2, 3))], dim=1)


def test_folders_that_do_not_go_together(
    tmp_path: Path, truth: Path, folders: tuple[Path, Path]
) -> None:
    with pytest.raises(CompareError, match="not a folder"):
        compare(Files([tmp_path / "nowhere"], truth), NOTHING)
    with pytest.raises(CompareError, match="right is taken"):
        compare(Files([folders[0], folders[0]], truth), NOTHING)
    other = write(tmp_path / "other", {})
    with pytest.raises(CompareError, match="other holds no pictures"):
        compare(Files([other], truth), NOTHING)
    with pytest.raises(CompareError, match="other holds no pictures"):
        compare(Files([folders[0]], other), NOTHING)
    to_pil_image(halves(RED, RED)).save(other / "z.png")
    with pytest.raises(CompareError, match="No photograph"):
        compare(Files([other], truth), NOTHING)
    captions = tmp_path / "captions.json"
    captions.write_text("{}")
    for masks, said in ((tmp_path / "nowhere", "not a folder"), (other, "z.png is not named")):
        with pytest.raises(CompareError, match=said):
            compare(Files([folders[0]], truth, captions, masks=masks), NOTHING)
    to_pil_image(halves(RED, RED)).save(other / "z.bmp")
    with pytest.raises(CompareError, match="more than one picture named z"):
        compare(Files([other], truth), NOTHING)
    given = {"--truth": truth, "--out": tmp_path / "out"}
    with pytest.raises(SystemExit, match="nowhere is not a folder"):
        main(["compare", str(tmp_path / "nowhere"), *(f"{k}={v}" for k, v in given.items())])


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
    main(
        [
            "compare",
            *names,
            "--truth",
            str(truth),
            "--clip",
            "no/such",
            "--out",
            str(out),
            "--size",
            "12",
        ]
    )
    printed = capsys.readouterr().out
    assert (out / "comparison.md").read_text(encoding="utf-8") in printed
    assert "scaled to 12 x 12 px" in printed
    for missing in ("LPIPS is empty: ", "FID is empty: ", "CLIP score is empty: no/such"):
        assert missing in printed
    assert "wrong - right,ΔE2000" in (out / "comparison.csv").read_text(encoding="utf-8")
    assert "a,a,wrong,ΔE2000" in (out / "pictures.csv").read_text(encoding="utf-8")
    with Image.open(out / "comparison.png") as picture:
        assert picture.width > 4 * 160
