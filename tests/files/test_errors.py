"""What commands say."""

import pytest

from lcad_nodes.files.errors import told_plainly
from lcad_nodes.files.pictures import PictureError


def test_an_own_error_ends_the_program_with_its_words_alone() -> None:
    with pytest.raises(SystemExit, match=r"^a sentence$"), told_plainly():
        raise PictureError("a sentence")


@pytest.mark.parametrize("error", [ValueError, OSError, KeyError])
def test_other_errors_keep_their_traceback(error: type[Exception]) -> None:
    with pytest.raises(error, match="a fault"), told_plainly():
        raise error("a fault")
