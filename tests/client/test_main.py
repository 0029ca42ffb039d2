"""What the command line's process does with signals and with errors of the machine."""

import errno
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from lcad_nodes.client import __main__ as client
from lcad_nodes.client import colorize


def test_a_full_disk_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(colorize, "lay_out", fail)
    Image.new("L", (8, 8)).save(tmp_path / "a.jpg")
    assert client.main(["colorize", str(tmp_path / "a.jpg")]) == 1
    assert f"No space left on device: '{tmp_path}'" in caplog.text


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
