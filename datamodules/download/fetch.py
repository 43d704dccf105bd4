"""Fetching a file: resumed, tried again, and checked before it gets its name.

Written by hand, as no library in use resumes a download and compares it with a published checksum.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import requests
from rich.progress import Progress, TaskID

from datamodules.download.catalogue import RemoteFile
from datamodules.errors import DataError

_BLOCK_BYTES = 2**20
_CHUNK_BYTES = 64 * 1024
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MD5_TAG = re.compile(r'"(md5:[0-9a-f]{32})"')
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")

_WORTHWHILE_BYTES = 8 * 2**20  # An attempt that received this much does not count as failed


class NoSpaceError(DataError):
    """There is not enough space on the disk."""


class _WrongFileError(DataError):
    """A complete file that is not the published one."""


class _TransferError(Exception):
    """A request that failed for now; ``wait`` is the pause in seconds that the server asked for."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class _UselessPartError(_TransferError):
    """The partial file cannot be resumed."""


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


def require_space(folder: Path, n_bytes: int, purpose: str) -> None:
    """Raise an error unless the disk of a folder has enough space for a purpose (the subject of the message)."""
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise NoSpaceError(
            f"{folder} has {free:,} bytes free, {purpose} needs {n_bytes:,}; choose a folder on another disk"
        )


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
    name = {"sha256": "SHA-256", "md5": "MD5"}[algorithm]
    if found != expected:
        raise DataError(f"{path} has the {name} {found}, {file.name} as published {expected}: damaged, or another file")
    return f"its {name}"


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            return ": it is a Git LFS pointer file, `git lfs pull` downloads the file itself"
    return ": damaged, or another file"


def fetch(file: RemoteFile, folder: Path, progress: Progress, patience: Patience | None = None) -> CheckedFile:
    """Download a file into an existing folder, resuming an interrupted download.

    The file is called ``NAME.part`` until it is complete and checked. ``progress`` shows bytes, speed and failed
    attempts.

    Raises:
        DataError: The address does not give the file.
    """
    patience = patience or Patience()
    path, part = folder / file.name, folder / f"{file.name}.part"
    if path.exists():
        try:
            return CheckedFile(path, check_file(path, file, progress))
        except DataError:
            path.unlink()
    is_resumed = part.exists()
    try:
        checked = _complete(file, part, progress, patience)
    except _WrongFileError:
        if not is_resumed:
            raise
        # The partial file of an earlier call may have been the beginning of another version.
        checked = _complete(file, part, progress, patience)
    part.replace(path)
    return CheckedFile(path, checked)


def _complete(file: RemoteFile, part: Path, progress: Progress, patience: Patience) -> str:
    """Receive what is missing and check the file; returns what was compared."""
    is_whole = file.size is not None and _size(part) == file.size
    announced = None if is_whole else _transfer(file, part, progress, patience)
    expected = file if file.checksum else replace(file, checksum=announced)
    try:
        checked = check_file(part, expected, progress)
    except DataError as error:
        part.unlink()
        raise _WrongFileError(f"{file.url}: {error}") from None
    return checked if expected == file else f"{checked} as the server gives it"


def _transfer(file: RemoteFile, part: Path, progress: Progress, patience: Patience) -> str | None:
    """Request the missing part until it is there; returns the checksum that the server gives."""
    task = progress.add_task(file.name, total=file.size, completed=_size(part))
    failures = 0
    while True:
        size = _size(part)
        try:
            return _request(file, part, patience.timeout, progress, task)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f" during the download of {file.name}{_kept(part)}") from stop
        except _TransferError as error:
            failures = 0 if _size(part) - size >= _WORTHWHILE_BYTES else failures + 1
            if failures >= patience.attempts:
                raise DataError(f"{file.url}: {error}, {failures} times in a row{_kept(part)}") from None
            pause = min(max(error.wait, patience.pause * 2 ** max(failures - 1, 0)), patience.longest_pause)
            progress.console.print(
                f"{file.name}: {error} at {_size(part):,} bytes; next attempt in {pause:g} s", soft_wrap=True
            )
            time.sleep(pause)


def _kept(part: Path) -> str:
    size = _size(part)
    return f"; {size:,} bytes are kept in {part}; the same command resumes there" if size else ""


def _request(file: RemoteFile, part: Path, timeout: float, progress: Progress, task: TaskID) -> str | None:
    """Request the missing part once, or the whole file where the server ignores the range.

    Raises:
        _TransferError: The request may be repeated.
        DataError: It may not: the server rejects it, has another file, or the disk is full.
    """
    offset = _size(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "faithful-aad"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=timeout) as response:
            tag = _MD5_TAG.fullmatch(response.headers.get("ETag", ""))
            start, total = _read_head(response, file, offset)
            if start and not file.checksum and not tag:
                raise _UselessPartError("the server does not say whether its file is still the same")
            if not start or start != total:
                _receive(response, start, total, file, part, progress, task)
            return tag[1] if tag else None
    except _UselessPartError:
        part.unlink(missing_ok=True)
        raise
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
        raise DataError(f"{file.url} is not a valid address; it should begin with https://") from None
    except requests.exceptions.RequestException as error:
        inner = error.args[0] if error.args else error  # the error that requests wraps, such as ReadTimeoutError
        cause = type(getattr(inner, "reason", None) or inner).__name__
        raise _TransferError(f"the connection failed ({cause})") from None


def _read_head(response: requests.Response, file: RemoteFile, offset: int) -> tuple[int, int | None]:
    """Offset of the first byte and size of the whole file, if known; they are equal if it is already complete."""
    status = response.status_code
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    total = int(content_range["total"]) if content_range and content_range["total"] != "*" else None
    if status == requests.codes.requested_range_not_satisfiable:
        if total == offset:
            return offset, offset
        raise _UselessPartError(f"the server has no bytes beyond {offset:,}")
    if status == requests.codes.partial_content:
        if content_range is None or content_range["start"] is None or int(content_range["start"]) != offset:
            raise _UselessPartError("the server sent another range than was asked for")
        start = offset
    elif status == requests.codes.ok:
        length = response.headers.get("Content-Length", "")
        start, total = 0, int(length) if length.isdecimal() else None
    elif status >= 500 or status in (requests.codes.request_timeout, requests.codes.too_many_requests):
        wait = response.headers.get("Retry-After", "")
        raise _TransferError(f"the server answers {status} {response.reason}", float(wait) if wait.isdecimal() else 0.0)
    else:
        raise DataError(f"{file.url} answers {status} {response.reason}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DataError(f"{file.url} sends {file.name} in another encoding than was asked for")
    if file.size is not None and total is not None and file.size != total:
        raise DataError(f"{file.url} has {total:,} bytes where {file.name} has {file.size:,}: it is another file")
    return start, total


def _receive(
    response: requests.Response,
    start: int,
    total: int | None,
    file: RemoteFile,
    part: Path,
    progress: Progress,
    task: TaskID,
) -> None:
    total = file.size or total
    if total is not None:
        require_space(part.parent, total - start, f"what is missing of {file.name}")
    progress.update(task, total=total, completed=start)
    received = start
    with part.open("ab" if start else "wb") as target:
        for chunk in response.iter_content(_CHUNK_BYTES):
            received += len(chunk)
            if total is not None and received > total:
                part.unlink()
                raise DataError(f"{file.url} sends more than the {total:,} bytes of {file.name}: it is another file")
            target.write(chunk)
            progress.update(task, completed=received)
    if total is not None and received < total:
        raise _TransferError(f"the connection ended after {received:,} of {total:,} bytes")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
