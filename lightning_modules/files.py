"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """A temporary name beside a file, which becomes the file if the block ends well and is deleted otherwise.

    Args:
        path: The file; its folder is made where missing, an older file is replaced.
        alone: Whether no other process or thread writes it meanwhile;
            what a killed one has left of it is then written over.

    Raises:
        OSError: If the file can't be written. It names the file, which an error of a full disk doesn't by itself.
    """
    writer = "" if alone else f".{os.getpid()}-{threading.get_native_id()}"
    temporary = path.with_name(f".{path.name[:40]}{writer}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: Path, contents: bytes) -> None:
    """Write a file that is never seen half-written; folders on the way are made.

    Raises:
        OSError: If the file can't be written; it names the file.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(contents)
