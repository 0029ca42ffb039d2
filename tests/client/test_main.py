"""What the command line's process does with signals."""

import signal
import sys
from pathlib import Path

import pytest

from lcad_nodes.client import __main__ as client


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no hangups")
@pytest.mark.parametrize(
    ("before", "within"),
    [
        (signal.SIG_IGN, signal.SIG_IGN),  # as nohup sets it
        (signal.SIG_DFL, signal.default_int_handler),
    ],
)
def test_a_run_goes_on_after_a_hangup_where_it_was_told_to(
    before: signal.Handlers,
    within: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []

    def remember(*_arguments: object, **_options: object) -> None:
        seen.append(signal.getsignal(signal.SIGHUP))
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "_colorize", remember)
    (tmp_path / "a.jpg").touch()
    usual = [(number, signal.getsignal(number)) for number in (signal.SIGHUP, signal.SIGTERM)]
    signal.signal(signal.SIGHUP, before)
    try:
        assert client.main(["colorize", str(tmp_path / "a.jpg")]) == 130
    finally:
        for number, handler in usual:
            signal.signal(number, handler)
    assert seen == [within]
