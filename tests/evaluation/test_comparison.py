"""Figures of methods, and how they differ."""

import csv
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
import torch

from lcad_nodes.evaluation.bootstrap import Estimate, estimate, mean
from lcad_nodes.evaluation.comparison import (
    ACCURACY,
    FID,
    PSNR,
    Comparison,
    Score,
    summarize,
)
from lcad_nodes.evaluation.naming import Name
from lcad_nodes.evaluation.report import ReportError, tile


def scores(method: str, figure: str, samples: list[tuple[float, ...]], each: int) -> list[Score]:
    """Scores of photographs under so many descriptions each."""
    return [
        Score(Name(f"{n // each}", n % each), method, figure, sample)
        for n, sample in enumerate(samples)
    ]


def test_differences_are_paired_by_photograph() -> None:
    hard = np.random.default_rng(0).normal(20, 5, 40)  # how well a photograph can be colored at all
    first = scores("first", PSNR, [(x,) for x in hard], 1)
    other = scores("other", PSNR, [(x + 0.5 + 0.1 * (n % 2),) for n, x in enumerate(hard)], 1)
    figures, differences = summarize([*first, *other], ["first", "other"], {})
    found = differences["other - first"][PSNR]
    assert found.value == pytest.approx(0.55)
    assert 0.5 < found.low < found.high < 0.6
    # The intervals of the two, which do not know that, overlap.
    assert figures["other"][PSNR].low < figures["first"][PSNR].high


def test_shares_of_objects_differ_as_shares() -> None:
    first = scores("first", ACCURACY, [(0, 1), (3, 3)], 1)
    other = scores("other", ACCURACY, [(1, 1), (0, 3)], 1)
    _, differences = summarize([*first, *other], ["first", "other"], {})
    assert differences["other - first"][ACCURACY].value == pytest.approx(0.25 - 0.75)


def test_intervals_draw_all_pictures_of_a_photograph_together() -> None:
    values = np.random.default_rng(0).normal(20, 5, 30).repeat(4)
    own = scores("made", PSNR, [(value,) for value in values], 4)
    naught = scores("naught", PSNR, [(0.0,)] * 120, 4)
    figures, differences = summarize([*naught, *own], ["naught", "made"], {})
    apart = estimate(values[:, None].tolist(), mean)
    for found in (figures["made"][PSNR], differences["made - naught"][PSNR]):
        assert found.value == pytest.approx(apart.value)
        assert found.count == 120
        assert found.high - found.low > 1.7 * (apart.high - apart.low)


def test_fid_has_differences_without_an_interval() -> None:
    fid = {name: Estimate(value, nan, nan, 9) for name, value in (("one", 30.0), ("two", 20.0))}
    figures, differences = summarize([], ["one", "two"], fid)
    assert figures["two"][FID].value == 20
    assert differences["two - one"][FID].value == -10
    assert isnan(differences["two - one"][FID].low)


def test_one_file_that_cannot_be_written_costs_itself_only(tmp_path: Path) -> None:
    everything = scores("one", PSNR, [(20.0,), (22.0,)], 2)
    tiles = [[tile(torch.zeros(3, 8, 8), "a")]]
    found = summarize(everything, ["one"], {})
    (tmp_path / "comparison.csv").mkdir()  # as a file is that a spreadsheet keeps open
    with pytest.raises(ReportError, match=r"(?s)21\.00.*A note.*comparison\.csv cannot be written"):
        Comparison(*found, ("A note.",), everything, tiles).write(tmp_path)
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {
        "comparison.md",
        "comparison.png",
        "pictures.csv",
    }


def test_what_is_written(tmp_path: Path) -> None:
    everything = [
        *scores("one", PSNR, [(20.0,), (22.0,)], 2),
        *scores("two", PSNR, [(21.0,), (22.0,)], 2),
        *scores("one", ACCURACY, [(1.0, 4.0)], 2),
        *scores("two", ACCURACY, [(3.0, 4.0)], 2),
    ]
    tiles = [[tile(torch.zeros(3, 8, 8), "a")]]
    found = summarize(everything, ["one", "two"], {})
    text = Comparison(*found, ("A note.",), everything, tiles).write(tmp_path)
    assert "two - one" in text
    assert "+50.0%" in text
    assert text.endswith("- A note.\n")
    with (tmp_path / "pictures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["picture", "photograph", "method", "figure", "value", "hits", "count"]
    assert rows[1] == ["0_0", "0", "one", PSNR, "20.0", "", ""]
    assert rows[5] == ["0_0", "0", "one", ACCURACY, "0.25", "1.0", "4.0"]
    assert len(rows) == 7
    with (tmp_path / "comparison.csv").open(encoding="utf-8", newline="") as file:
        subjects = [row["subject"] for row in csv.DictReader(file)]
    assert subjects == ["one", "one", "two", "two", "two - one", "two - one"]
