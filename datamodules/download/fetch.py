"""Fetching a file, whatever the network does: resumed, tried again, and checked before it gets its name."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from datamodules.download.catalogue import RemoteFile
from datamodules.download.checksum import check_file
from datamodules.download.partial_file import PartialFile
from datamodules.download.transfer import TransferError, transfer
from datamodules.errors import DataError

_WORTHWHILE_BYTES = 8 * 2**20
"""An attempt that brought as much does not count as failed, however it ended."""

_MD5_TAG = re.compile(r'"md5:([0-9a-f]{32})"')


@dataclass(frozen=True)
class Patience:
    """How long a download bears with a server.

    Attributes:
        timeout: The longest silence, s.
        attempts: Failed attempts in a row after which it gives up.
        pause: Time before the second attempt, s; it doubles from one to the next, and a server may ask for more.
        longest_pause: The most that it becomes, s.
    """

    timeout: float = 30.0
    attempts: int = 6
    pause: float = 1.0
    longest_pause: float = 60.0


@dataclass(frozen=True)
class CheckedFile:
    """A file on disk.

    Attributes:
        path: Where it lies.
        checked: What of it was compared with the published file, in words.
    """

    path: Path
    checked: str


def fetch(file: RemoteFile, folder: Path, progress: Progress, patience: Patience | None = None) -> CheckedFile:
    """Download a file into a folder, going on from where an earlier call was interrupted.

    What has come lies in ``NAME.part`` until it is complete and checked.

    Args:
        file: What to fetch, and from where.
        folder: Where it goes; exists.
        progress: Where to show bytes, speed and what went wrong.
        patience: When to give up.

    Returns:
        The complete file, and what of it was checked.

    Raises:
        DataError: The address does not give the file, or not within the patience.
    """
    path = folder / file.name
    if path.exists():
        try:
            return CheckedFile(path, check_file(path, file, progress))
        except DataError:
            path.unlink()
    partial = PartialFile(path)
    resumed = partial.size > 0
    try:
        return _complete(file, partial, progress, patience or Patience())
    except _WrongFileError:
        if not resumed:
            raise
    # What an earlier call had left may have been the beginning of another version.
    return _complete(file, partial, progress, patience or Patience())


class _WrongFileError(DataError):
    """A complete file that is not the published one."""


def _complete(file: RemoteFile, partial: PartialFile, progress: Progress, patience: Patience) -> CheckedFile:
    _transfer_patiently(file, partial, progress, patience)
    announced = None if file.checksum else _MD5_TAG.fullmatch(partial.etag(file.url) or "")
    known = replace(file, checksum=f"md5:{announced[1]}") if announced else file
    try:
        checked = check_file(partial.path, known, progress)
    except DataError as error:
        partial.discard()
        raise _WrongFileError(f"{file.url}: {error}") from None
    return CheckedFile(partial.finish(), f"{checked} as the server gives it" if announced else checked)


def _transfer_patiently(file: RemoteFile, partial: PartialFile, progress: Progress, patience: Patience) -> None:
    if file.size is not None and partial.size == file.size:
        return
    task = progress.add_task(file.name, total=file.size, completed=partial.size)
    failures = 0
    while True:
        size = partial.size
        try:
            transfer(file, partial, patience.timeout, progress, task)
        except TransferError as error:
            failures = 0 if partial.size - size >= _WORTHWHILE_BYTES else failures + 1
            if failures >= patience.attempts:
                raise DataError(f"{file.url}: {error}, {failures} times in a row{_kept(partial)}") from None
            pause = min(max(error.wait, patience.pause * 2 ** max(failures - 1, 0)), patience.longest_pause)
            progress.console.print(
                f"{file.name}: {error} at {partial.size:,} bytes; next attempt in {pause:g} s", soft_wrap=True
            )
            time.sleep(pause)
        else:
            return


def _kept(partial: PartialFile) -> str:
    if not partial.size:
        return ""
    return f"; {partial.size:,} bytes are kept in {partial.path}, from where the same command goes on"
