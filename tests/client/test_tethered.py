"""A script that ends with whoever started it."""

import subprocess
import sys
from pathlib import Path

from lcad_nodes.client.server import TETHER

SCRIPT = """
import sys, time
print(sys.argv[1:], repr(sys.stdin.read()), flush=True)
time.sleep(120)
"""


def test_a_script_ends_when_its_starter_is_gone(tmp_path: Path) -> None:
    """Until then it runs with its arguments and an empty standard input."""
    (tmp_path / "main.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, TETHER, "main.py", "--port", "1"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "['--port', '1'] ''\n"
            assert process.poll() is None
            process.stdin.close()  # as the system does it for a process that was killed
            assert process.wait(20) == 1
        finally:
            process.kill()
