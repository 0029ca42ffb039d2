"""What the commands do before anything else."""

from pathlib import Path

import pytest

from lcad_nodes.evaluation.__main__ import main


@pytest.mark.parametrize("command", ["mini", "ablations", "compare"])
def test_a_folder_that_cannot_be_filled_is_found_before_anything_is_measured(
    command: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.touch()
    folder = str(tmp_path / "none")
    given = [folder, "--truth", folder] if command == "compare" else ["--checkpoint", folder]
    with pytest.raises(SystemExit, match="Nothing can be written into the folder"):
        main([command, *given, "--out", str(out)])
