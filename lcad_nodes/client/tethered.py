"""Runs a script that ends with whoever started it, even if that was killed.

`python tethered.py SCRIPT ARGUMENTS`, with a pipe as its standard input: the script ends when the
pipe's other end closes, which every system does for a process that is gone.
"""

import os
import runpy
import sys
import threading


def _end_with_the_pipe() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))  # noqa: PTH100, PTH120
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")
