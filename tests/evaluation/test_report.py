"""Tables and sheets."""

import csv
from math import nan
from pathlib import Path

import torch

from lcad_nodes.evaluation.bootstrap import Estimate
from lcad_nodes.evaluation.report import (
    GAP,
    LINE,
    LINES,
    SIDE,
    cell,
    figures_csv,
    markdown,
    sheet,
    tile,
    write_report,
)


def test_a_table_in_markdown() -> None:
    assert markdown(("figure", "value"), (("a|b", "1"), ("c", ""))).splitlines() == [
        "| figure | value |",
        "|--------|-------|",
        "| a\\|b   | 1     |",
        "| c      |       |",
    ]


def test_names_of_files_stay_text_wherever_they_are_shown(tmp_path: Path) -> None:
    table = markdown(("method", "PSNR"), [("<img src=x>\\|\n[a](b)", "1")])
    row = table.splitlines()[2]
    assert row.startswith("| \\<img src=x>\\\\\\| \\[a](b) |")
    write_report("", tmp_path, {"a.md": "caf\udce9.png"})
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "caf\\udce9.png"


def test_a_cell() -> None:
    assert cell(Estimate(0.5, 0.4, 0.6, 9), "{:.0%}") == "50% (40% to 60%)"
    assert cell(Estimate(12.345, nan, nan, 9), "{:.1f}") == "12.3"
    assert cell(None, "{:.1f}") == ""


def test_figures_for_other_programs(tmp_path: Path) -> None:
    figures = {
        "L-CAD, ours": {"PSNR": Estimate(1 / 3, 0.25, 0.5, 7)},
        "DISCO": {"FID": Estimate(9.0, nan, nan, 7)},
    }
    write_report("", tmp_path, {"a.csv": figures_csv(figures)})
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["subject"], float(first["value"]), first["count"]) == ("L-CAD, ours", 1 / 3, "7")
    assert (second["value"], second["low"], second["high"]) == ("9.0", "", "")


def test_spreadsheets_find_no_formulas() -> None:
    text = figures_csv({"=1+1": {"FID": Estimate(-9.0, nan, nan, 7)}})
    assert text.splitlines()[1] == "'=1+1,FID,-9.0,,,7"


def test_a_sheet_has_every_picture_in_its_place() -> None:
    red, blue = torch.zeros(2, 3, SIDE, 2 * SIDE)
    red[0], blue[2] = 1, 1
    canvas = sheet([[tile(red, "a")], [tile(red, "a long text " * 9), tile(blue, "b")]])
    top = SIDE // 2 + GAP + LINE * LINES  # text stands right beneath the pictures
    assert canvas.size == (2 * (SIDE + GAP), 2 * top)
    assert canvas.getpixel((10, 10)) == (255, 0, 0)
    assert canvas.getpixel((SIDE + GAP + 10, 10)) == (255, 255, 255)
    assert canvas.getpixel((SIDE + GAP + 10, top + 10)) == (0, 0, 255)
