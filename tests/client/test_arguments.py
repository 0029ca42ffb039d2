"""The command line, before anything is set up."""

from pathlib import Path

import pytest

from lcad_nodes.client.arguments import parse
from lcad_nodes.nodes import NODES


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "x"])
def test_a_port_that_cannot_be_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["serve", f"--port={port}"])
    assert "give a whole number from 1 to 65535" in capsys.readouterr().err


def test_the_highest_port_is_taken() -> None:
    assert parse(["serve", "--port", "65535"]).port == 65535


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--steps=0", "a whole number from 1 to 1000"),
        ("--steps=2.5", "a whole number from 1 to 1000"),
        ("--cfg=nan", "a number from 1.0 to 100.0"),
        ("--resolution=-7", "a whole number from -1 to 16384"),
        ("--seed=-1", "a whole number from 0 to"),
        ("--tile-size=5000", "0 or a whole number from 64 to 4096"),
        ("--tile-size=1", "0 or a whole number from 64 to 4096"),
        ("--tile-size=63", "0 or a whole number from 64 to 4096"),
    ],
)
def test_numbers_that_the_nodes_do_not_take_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, reason: str
) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(SystemExit):
        parse(["colorize", str(tmp_path / "a.jpg"), option])
    assert f"give {reason}" in capsys.readouterr().err


def test_numbers_that_the_nodes_take_are_taken(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    known = parse(["colorize", str(tmp_path / "a.jpg"), "--cfg", "4", "--resolution", "-1"])
    assert (known.cfg, known.resolution, known.tile_size) == (4.0, -1, 0)
    for size in (0, 64, 4096):
        assert parse(["colorize", str(tmp_path / "a.jpg"), f"--tile-size={size}"]).tile_size == size


@pytest.mark.parametrize(
    ("option", "node_id"),
    [
        *((name, "LCAD_Colorize") for name in ("seed", "steps", "cfg", "resolution")),
        ("tile_size", "LCAD_Decode"),
    ],
)
def test_options_have_the_nodes_own_defaults_and_ranges(
    tmp_path: Path, option: str, node_id: str
) -> None:
    (tmp_path / "a.jpg").touch()
    schemas = {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}
    (entry,) = (entry for entry in schemas[node_id].inputs if entry.id == option)
    said = entry.as_dict()

    def parsed(*options: str) -> object:
        return getattr(parse(["colorize", str(tmp_path / "a.jpg"), *options]), option)

    assert parsed() == said["default"]
    for bound, step in ((said["min"], -1), (said["max"], 1)):
        name = f"--{option.replace('_', '-')}"
        assert parsed(f"{name}={bound}") == bound
        with pytest.raises(SystemExit):
            parsed(f"{name}={bound + step}")


@pytest.mark.parametrize(
    ("photo", "out", "reason"),
    [
        ("a.jpg", "b.gif", "the result is one of .jpeg"),
        ("a.jpg", "results", "is a folder: for a single photo, name a file"),
        (".", "a.jpg", "is a file: for a folder of photos, name a folder"),
        (".", "new.jpg", "is a file: for a folder of photos, name a folder"),
    ],
)
def test_a_result_that_cannot_be_is_refused_before_anything_is_set_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], photo: str, out: str, reason: str
) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "results").mkdir()
    with pytest.raises(SystemExit):
        parse(["colorize", str(tmp_path / photo), "-o", str(tmp_path / out)])
    assert reason in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("photo", "words", "reason"),
    [
        ("a.jpg", "b.jpg", "b.jpg is a file: put words in quotes"),
        ("a.jpg", "table.csv", "table.csv is a file: put words in quotes"),
        (".", "results", "is a folder: name the one for results with -o"),
        ("a.jpg", "results", "is a folder: name the file for the result with -o"),
        (".", "none.csv", "there is no table"),
        (".", "table.xlsx", "table.xlsx is a file: put words in quotes, or save a table as .csv"),
        (".", "b.jpg", "b.jpg is a file: put words in quotes"),
        ("a.jpg", "table.xlsx", "table.xlsx is a file: put words in quotes"),
    ],
)
def test_a_file_or_a_folder_is_not_taken_for_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], photo: str, words: str, reason: str
) -> None:
    for name in ("a.jpg", "b.jpg", "table.csv", "table.xlsx"):
        (tmp_path / name).touch()
    (tmp_path / "results").mkdir()
    with pytest.raises(SystemExit):
        parse(["colorize", str(tmp_path / photo), str(tmp_path / words)])
    assert reason in " ".join(capsys.readouterr().err.split())


def test_words_may_be_long_or_the_name_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flowers").mkdir()
    monkeypatch.chdir(tmp_path)
    for words in ("flowers", "a red car, " * 40, "a red car / a green bus, " * 40):
        assert parse(["colorize", "flowers", words]).text == words


@pytest.mark.parametrize("comma", [",", "\uff0c", "\u3001", "\u060c"])
def test_phrases_are_those_between_commas_of_any_language(tmp_path: Path, comma: str) -> None:
    (tmp_path / "a.jpg").touch()
    photo = str(tmp_path / "a.jpg")
    known = parse(["colorize", photo, f"a red cup{comma} a hat", "--mask", photo, "--mask", photo])
    assert known.phrase == ["a red cup", "a hat"]


def test_the_help_says_what_an_option_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(["colorize", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "another number gives other colors (default: 0)" in said
    assert "words of the description that the next --mask belongs to; repeat for each" in said
    assert "editor saves it; repeat for each phrase" in said


def test_a_raw_file_is_no_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.dng").touch()
    with pytest.raises(SystemExit):
        parse(["colorize", str(tmp_path / "a.dng")])
    assert "convert it to one of them" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--checkpoint", "--mask", "-o", "--comfyui", ""])
def test_an_empty_path_is_not_taken_for_this_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (tmp_path / "a.jpg").touch()
    words = [str(tmp_path / "a.jpg"), "red", option, ""] if option else [""]
    with pytest.raises(SystemExit):
        parse(["colorize", *words])
    said = " ".join(capsys.readouterr().err.split())
    assert f"argument {option or 'PHOTO'}: it is empty: name a file or a folder" in said


def test_a_folder_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(SystemExit):
        parse(["colorize", str(tmp_path / "a.jpg"), "--checkpoint", str(tmp_path)])
    said = " ".join(capsys.readouterr().err.split())
    assert f"--checkpoint {tmp_path} is a folder: name the model file in it" in said


def test_words_may_stand_behind_options(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    known = parse(["colorize", str(tmp_path / "a.jpg"), "-o", "b.png", "a red car", "--seed", "1"])
    assert (known.text, known.out, known.seed) == ("a red car", Path("b.png"), 1)


@pytest.mark.parametrize("words", [["b.jpg", "c.jpg"], ["a", "red", "car"], ["red", "--stps", "5"]])
def test_words_too_many_come_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(SystemExit):
        parse(["colorize", str(tmp_path / "a.jpg"), *words])
    said = " ".join(capsys.readouterr().err.split())
    rest = " ".join(words[1:])
    assert f"unrecognized arguments: {rest}. Put words in quotes, and give a folder for" in said
