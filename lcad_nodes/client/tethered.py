"""Runs a script that ends with whoever started it, even if that was killed.

`python tethered.py SCRIPT ARGUMENTS`, with a pipe as its standard input: the script ends when the
pipe's other end closes, which every system does for a process that is gone.
"""

import os
import runpy
import sys
import threading


def _end_with(pipe: int) -> None:
    while os.read(pipe, 1024):
        pass
    os._exit(1)


def _own_standard_input() -> int:
    """Take the pipe away from the script, whose standard input is empty then.

    On Windows, libraries ask for it as they are loaded, NumPy's among them, and would wait for
    the thread that reads it.
    """
    pipe = os.dup(0)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    return pipe


if __name__ == "__main__":
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))  # noqa: PTH100, PTH120
    threading.Thread(target=_end_with, args=[_own_standard_input()], daemon=True).start()
    runpy.run_path(sys.argv[0], run_name="__main__")
