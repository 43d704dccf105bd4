"""One request for a file, or for what is still missing of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import requests
from rich.progress import Progress, TaskID

from datamodules.download.catalogue import RemoteFile
from datamodules.download.disk import require_space
from datamodules.download.partial_file import PartialFile
from datamodules.errors import DataError

_CHUNK_BYTES = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")


class TransferError(Exception):
    """A request that failed in a way that may pass: the same one may succeed a little later.

    Args:
        message: What happened.
        wait: Seconds that the server asked to be left alone for.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Reply:
    """What a server sends.

    Attributes:
        start: Offset of its first byte in the file.
        total: Bytes of the whole file, ``None`` if the server does not say.
    """

    start: int
    total: int | None


def transfer(file: RemoteFile, partial: PartialFile, timeout: float, progress: Progress, task: TaskID) -> None:
    """Ask for what is missing of a file and write what comes, all of it or until the connection ends.

    A server that ignores the request for a range, or whose file has changed, is read from the start again.

    Args:
        file: What is wanted.
        partial: What has come of it; completed on return.
        timeout: The longest silence of the server, s.
        progress: Where to show the bytes.
        task: The file's bar there.

    Raises:
        TransferError: It may be tried again.
        DataError: It may not: the server refuses, has another file, or the disk is full.
    """
    offset = partial.size
    headers = {"Accept-Encoding": "identity", "User-Agent": "faithful-aad"}
    etag = partial.etag(file.url)
    if offset and (etag or file.checksum):  # else nothing would tell that the file has changed since
        headers["Range"] = f"bytes={offset}-"
        if etag is not None:
            headers["If-Range"] = etag
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=timeout) as response:
            reply = _read_head(response, file, offset)
            if reply is not None:
                _receive(response, reply, file, partial, progress, task)
    except _UselessPartError:
        partial.discard()
        raise
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
        raise DataError(f"{file.url} is no address of a file; it should begin with https://") from None
    except requests.exceptions.RequestException as error:
        raise TransferError(f"the connection failed ({_cause(error)})") from None


class _UselessPartError(TransferError):
    """What has come cannot be gone on from."""


def _cause(error: requests.exceptions.RequestException) -> str:
    """Kind of the error that requests wraps, such as ReadTimeoutError or NameResolutionError."""
    inner = error.args[0] if error.args else error
    return type(getattr(inner, "reason", None) or inner).__name__


def _read_head(response: requests.Response, file: RemoteFile, offset: int) -> Reply | None:
    """What follows the headers; ``None`` if the file has already come completely."""
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
        reply = Reply(offset, total)
    elif status == requests.codes.ok:
        length = response.headers.get("Content-Length", "")
        reply = Reply(0, int(length) if length.isdecimal() else None)
    elif status >= 500 or status in (requests.codes.request_timeout, requests.codes.too_many_requests):
        wait = response.headers.get("Retry-After", "")
        raise TransferError(f"the server answers {status} {response.reason}", float(wait) if wait.isdecimal() else 0.0)
    else:
        raise DataError(f"{file.url} answers {status} {response.reason}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DataError(f"{file.url} sends {file.name} in another encoding than was asked for")
    if None not in (file.size, reply.total) and file.size != reply.total:
        raise DataError(f"{file.url} has {reply.total:,} bytes where {file.name} has {file.size:,}: it is another file")
    return reply


def _receive(
    response: requests.Response,
    reply: Reply,
    file: RemoteFile,
    partial: PartialFile,
    progress: Progress,
    task: TaskID,
) -> None:
    total = file.size or reply.total
    if total is not None:
        require_space(partial.path.parent, total - reply.start, f"what is missing of {file.name}")
    progress.update(task, total=total, completed=reply.start)
    received = reply.start
    with partial.go_on() if reply.start else partial.restart(file.url, response.headers.get("ETag")) as target:
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
