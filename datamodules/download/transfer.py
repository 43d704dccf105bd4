"""One request for a file, or for the missing part of it, and the partial file on disk."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import BinaryIO

import requests
from rich.progress import Progress, TaskID

from datamodules.download.catalogue import RemoteFile
from datamodules.errors import DataError


class NoSpaceError(DataError):
    """There is not enough space on the disk."""


def require_space(folder: Path, n_bytes: int, purpose: str) -> None:
    """Raise an error unless the disk of a folder has enough space for a purpose (the subject of the message)."""
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise NoSpaceError(
            f"{folder} has {free:,} bytes free, {purpose} needs {n_bytes:,}; choose a folder on another disk"
        )


class PartialFile:
    """``NAME.part`` beside the file that it becomes when complete, with its source in ``NAME.part.json``.

    Args:
        path: The complete file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._finished = path
        self._note = path.with_name(f"{path.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def etag(self, url: str) -> str | None:
        """The entity tag of the version being received; None if it is weak or of another address."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            tag = str(note["etag"] or "") if note["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return tag if tag and not tag.startswith("W/") else None

    def restart(self, url: str, etag: str | None) -> BinaryIO:
        """Open it empty, for the version of the source with this entity tag."""
        self.discard()
        self._note.write_text(json.dumps({"url": url, "etag": etag}), encoding="utf-8")
        return self.path.open("wb")

    def resume(self) -> BinaryIO:
        """Open it to append."""
        return self.path.open("ab")

    def discard(self) -> None:
        """Delete it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> Path:
        """Rename it to the complete file."""
        self.path.replace(self._finished)
        self._note.unlink(missing_ok=True)
        return self._finished


_CHUNK_BYTES = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")


class TransferError(Exception):
    """A request that failed for now; the same one may succeed later.

    Args:
        message: What happened.
        wait: Seconds that the server asked to wait.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def transfer(file: RemoteFile, partial: PartialFile, timeout: float, progress: Progress, task: TaskID) -> None:
    """Request the missing part of a file and write it.

    If the server ignores the range, or its file has changed, the file is received from the start again.

    Args:
        file: The published file.
        partial: What has been received; complete on return.
        timeout: Longest silence of the server, s.
        progress: Shows the bytes.
        task: The file's bar there.

    Raises:
        TransferError: The request may be repeated.
        DataError: It may not: the server rejects it, has another file, or the disk is full.
    """
    offset = partial.size
    headers = {"Accept-Encoding": "identity", "User-Agent": "faithful-aad"}
    etag = partial.etag(file.url)
    if offset and (etag or file.checksum):  # else a changed file would go unnoticed
        headers["Range"] = f"bytes={offset}-"
        if etag is not None:
            headers["If-Range"] = etag
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=timeout) as response:
            head = _read_head(response, file, offset)
            if head is not None:
                _receive(response, *head, file, partial, progress, task)
    except _UselessPartError:
        partial.discard()
        raise
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
        raise DataError(f"{file.url} is not a valid address; it should begin with https://") from None
    except requests.exceptions.RequestException as error:
        raise TransferError(f"the connection failed ({_cause(error)})") from None


class _UselessPartError(TransferError):
    """The partial file cannot be resumed."""


def _cause(error: requests.exceptions.RequestException) -> str:
    """Type of the error that requests wraps, such as ReadTimeoutError."""
    inner = error.args[0] if error.args else error
    return type(getattr(inner, "reason", None) or inner).__name__


def _read_head(response: requests.Response, file: RemoteFile, offset: int) -> tuple[int, int | None] | None:
    """Offset of the first byte and size of the whole file, if known; ``None`` if it is already complete."""
    status = response.status_code
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    total = int(content_range["total"]) if content_range and content_range["total"] != "*" else None
    if status == requests.codes.requested_range_not_satisfiable:
        if total == offset:
            return None
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
        raise TransferError(f"the server answers {status} {response.reason}", float(wait) if wait.isdecimal() else 0.0)
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
    size: int | None,
    file: RemoteFile,
    partial: PartialFile,
    progress: Progress,
    task: TaskID,
) -> None:
    total = file.size or size
    if total is not None:
        require_space(partial.path.parent, total - start, f"what is missing of {file.name}")
    progress.update(task, total=total, completed=start)
    received = start
    with partial.resume() if start else partial.restart(file.url, response.headers.get("ETag")) as target:
        for chunk in response.iter_content(_CHUNK_BYTES):
            received += len(chunk)
            if total is not None and received > total:
                break
            target.write(chunk)
            progress.update(task, completed=received)
    if total is not None and received > total:
        partial.discard()
        raise DataError(f"{file.url} sends more than the {total:,} bytes of {file.name}: it is another file")
    if total is not None and received < total:
        raise TransferError(f"the connection ended after {received:,} of {total:,} bytes")
