"""Whether a file is the one that was published."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rich.progress import Progress

from datamodules.download.catalogue import RemoteFile
from datamodules.errors import DataError

_BLOCK_BYTES = 2**20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def check_file(path: Path, file: RemoteFile, progress: Progress) -> str:
    """Compare a file with what is known of the published one.

    Args:
        path: The file.
        file: What is known.
        progress: Where to show how far it is read.

    Returns:
        What was compared, in words.

    Raises:
        DataError: It is another file.
    """
    size = path.stat().st_size
    if file.size not in (None, size):
        raise DataError(f"{path} has {size:,} bytes, {file.name} as published {file.size:,}{_hint(path)}")
    if file.checksum is None:
        return "its size, as no checksum is known" if file.size else "nothing, as neither size nor checksum is known"
    algorithm, _, expected = file.checksum.partition(":")
    found = _digest(path, algorithm, progress)
    name = {"sha256": "SHA-256", "md5": "MD5"}.get(algorithm, algorithm)
    if found != expected:
        raise DataError(f"{path} has the {name} {found}, {file.name} as published {expected}: damaged, or another file")
    return f"its {name}"


def _digest(path: Path, algorithm: str, progress: Progress) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    task = progress.add_task(f"Checking {path.name}", total=path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            progress.advance(task, len(block))
    return digest.hexdigest()


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            return ": it is the pointer that Git LFS leaves, `git lfs pull` brings the file"
    return ": damaged, or another file"
