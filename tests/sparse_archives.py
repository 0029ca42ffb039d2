"""Members of tar archives that take up next to nothing and read as zeros of any length."""

import io
import tarfile


def add_sparse(archive: tarfile.TarFile, name: str, size: int) -> None:
    """Add a member that is one hole (GNU's sparse format 1.0)."""
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name}
    no_parts = b"0\n".ljust(tarfile.BLOCKSIZE, b"\0")
    entry = tarfile.TarInfo(name)
    entry.size = len(no_parts)
    entry.pax_headers = {**sparse, "GNU.sparse.realsize": str(size)}
    archive.addfile(entry, io.BytesIO(no_parts))
