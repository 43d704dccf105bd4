"""Files that are written as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.files import whole_file


def write_atomically(path: Path, contents: bytes) -> None:
    """Write a file that is never seen half-written; folders on the way are made."""
    with whole_file(path) as temporary:
        temporary.write_bytes(contents)
