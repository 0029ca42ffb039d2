"""What a command says when what it was given is wrong."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

OWN = __name__.partition(".")[0]


@contextmanager
def told_plainly() -> Iterator[None]:
    """End the program with what an error of the project's own says; others keep their traceback.

    Raises:
        SystemExit: in the place of such an error.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if type(error).__module__.partition(".")[0] != OWN:
            raise
        sys.exit(str(error))
