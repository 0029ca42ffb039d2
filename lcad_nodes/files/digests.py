"""What tells one file from another."""

import hashlib
from pathlib import Path
from typing import IO


def digest(content: IO[bytes]) -> str:
    """Some of the SHA-256 of what is left of an open file, in hexadecimal."""
    made = hashlib.sha256()
    while part := content.read(1 << 20):
        made.update(part)
    return made.hexdigest()[:16]


def digest_of(file: Path) -> str:
    """The digest of a whole file."""
    with file.open("rb") as content:
        return digest(content)
