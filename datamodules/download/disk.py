"""Room on the disk, and folders that do not stay behind empty."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datamodules.errors import DataError


class NoSpaceError(DataError):
    """The disk is too small."""


def require_space(folder: Path, n_bytes: int, purpose: str) -> None:
    """Check that a folder's disk has room.

    Args:
        folder: The folder; exists.
        n_bytes: How much is needed.
        purpose: For what, as it stands in the message.

    Raises:
        NoSpaceError: There is less.
    """
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise NoSpaceError(
            f"{folder} has {free:,} bytes free, {purpose} needs {n_bytes:,}; choose a folder on another disk"
        )


@contextmanager
def made_folder(folder: Path) -> Iterator[Path]:
    """A folder that is there, and after a failure gone again, with the parents made for it, if nothing is in it.

    Raises:
        DataError: Something in it cannot be read or written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be used: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            for path in missing:
                path.rmdir()
