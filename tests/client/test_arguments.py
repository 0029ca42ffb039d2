"""The command line, before anything is set up."""

import pytest

from lcad_nodes.client.arguments import parse


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "x"])
def test_a_port_that_cannot_be_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["serve", f"--port={port}"])
    assert "give a number from 1 to 65535" in capsys.readouterr().err


def test_the_highest_port_is_taken() -> None:
    assert parse(["serve", "--port", "65535"]).port == 65535
