"""Fetching a file: resumed, tried again, and checked before it gets its name."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from datamodules.download.catalogue import RemoteFile
from datamodules.download.transfer import PartialFile, TransferError, transfer
from datamodules.errors import DataError

_BLOCK_BYTES = 2**20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MD5_TAG = re.compile(r'"md5:([0-9a-f]{32})"')

_WORTHWHILE_BYTES = 8 * 2**20
"""An attempt that received this much does not count as failed."""


def check_file(path: Path, file: RemoteFile, progress: Progress) -> str:
    """Compare a file with the published one and return what was compared; raises a DataError if it differs."""
    size = path.stat().st_size
    if file.size not in (None, size):
        raise DataError(f"{path} has {size:,} bytes, {file.name} as published {file.size:,}{_hint(path)}")
    if file.checksum is None:
        return "its size, as no checksum is known" if file.size else "nothing, as neither size nor checksum is known"
    algorithm, _, expected = file.checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    task = progress.add_task(f"Checking {path.name}", total=size)
    with path.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
            progress.advance(task, len(block))
    found = digest.hexdigest()
    name = {"sha256": "SHA-256", "md5": "MD5"}.get(algorithm, algorithm)
    if found != expected:
        raise DataError(f"{path} has the {name} {found}, {file.name} as published {expected}: damaged, or another file")
    return f"its {name}"


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            return ": it is a Git LFS pointer file, `git lfs pull` downloads the file itself"
    return ": damaged, or another file"


@dataclass(frozen=True)
class Patience:
    """When a download gives up.

    Attributes:
        timeout: Longest silence of a server, s.
        attempts: Failed attempts in a row.
        pause: Time before the second attempt, s; doubles with each attempt, and a server may ask for more.
        longest_pause: Longest pause, s.
    """

    timeout: float = 30.0
    attempts: int = 6
    pause: float = 1.0
    longest_pause: float = 60.0


class CheckedFile(NamedTuple):
    """A file on disk, and what was compared with the published file, as text."""

    path: Path
    checked: str


def fetch(file: RemoteFile, folder: Path, progress: Progress, patience: Patience | None = None) -> CheckedFile:
    """Download a file into an existing folder, resuming an interrupted download.

    The file is called ``NAME.part`` until it is complete and checked.

    Args:
        file: The published file.
        folder: Its folder.
        progress: Shows bytes, speed and failed attempts.
        patience: When to give up.

    Raises:
        DataError: The address does not give the file.
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
    # The partial file of an earlier call may have been the beginning of another version.
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
                kept = f"; {partial.size:,} bytes are kept in {partial.path}; the same command resumes there"
                raise DataError(
                    f"{file.url}: {error}, {failures} times in a row{kept if partial.size else ''}"
                ) from None
            pause = min(max(error.wait, patience.pause * 2 ** max(failures - 1, 0)), patience.longest_pause)
            progress.console.print(
                f"{file.name}: {error} at {partial.size:,} bytes; next attempt in {pause:g} s", soft_wrap=True
            )
            time.sleep(pause)
        else:
            return
