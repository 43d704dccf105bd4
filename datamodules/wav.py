"""Headers of WAV files that say nothing, or something wrong, about how many samples follow."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datamodules.errors import DataError

UNKNOWN_LENGTH = 2**62
"""From here on a size or a number of samples is none: libsndfile's own value for "not known" is the largest int64."""

_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"RIFF": "little", b"RIFX": "big"}

_MOST_CHUNKS = 10_000
"""Chunks that are looked through for the samples; gigabytes of zeros would be as many chunks as they have bytes."""

_NEAR = 1 << 17
"""Bytes around 2 and 4 GiB in which a size is a placeholder: programs subtract headers and round to whole samples."""


def truncated(path: Path, present: int, declared: int) -> DataError:
    """What to raise of a file with fewer bytes of samples than its header says."""
    return DataError(
        f"{path} is truncated: {present} of {declared} bytes are there; copy it again, or convert it anew if this is "
        "all there is"
    )


def is_placeholder(size: int) -> bool:
    """Whether a size is what programs write that do not know it: around 2 GiB, just below 4 GiB, or absurd."""
    return size == 0 or abs(size - (1 << 31)) < _NEAR or (1 << 32) - _NEAR < size < 1 << 32 or size >= UNKNOWN_LENGTH


@dataclass(frozen=True)
class _Header:
    """Where the samples of a WAV file lie, and what its header says of them."""

    magic: bytes
    riff_size: int
    format_chunk: bytes
    start: int
    declared: int
    file_size: int

    @property
    def present(self) -> int:
        """Bytes from the first sample to the end of the file."""
        return self.file_size - self.start


def sized_source(path: Path) -> Path | _Reheaded:
    """What libsndfile is to read: the file, or one with a header that fits where the file's own does not.

    libsndfile reads what is there, so three kinds are left: a truncated file, which it would not notice; a size of 0,
    which it believes; and a size that the samples have outgrown, of which it reads the beginning.
    """
    header = _read_header(path)
    if header is None:
        return path
    declared, present = header.declared, header.present
    # Where the size of the whole file is right, nothing is missing and a program has miscounted.
    if declared > present and not is_placeholder(declared) and header.riff_size + 8 != header.file_size:
        raise truncated(path, present, declared)
    unknown = declared == 0 and present > 0 and not _holds_only_chunks(path, header)
    outgrown = 0 < declared < present and (is_placeholder(declared) or present - declared >= 1 << 32)
    return _Reheaded(path, header) if unknown or outgrown else path


def _read_header(path: Path) -> _Header | None:
    """What a WAV file says up to its samples; None for other files and where no samples follow."""
    file_size = path.stat().st_size
    with path.open("rb") as file:
        riff = file.read(12)
        magic = riff[:4]
        if magic not in _BYTE_ORDERS or riff[8:] != b"WAVE":
            return None
        order = _BYTE_ORDERS[magic]
        format_chunk = b""
        for _ in range(_MOST_CHUNKS):
            if len(chunk := file.read(8)) < 8:
                return None
            declared, start = int.from_bytes(chunk[4:], order), file.tell()
            if chunk[:4] == b"data":
                return _Header(magic, int.from_bytes(riff[4:8], order), format_chunk, start, declared, file_size)
            if chunk[:4] == b"fmt ":
                format_chunk = chunk + file.read(min(declared + declared % 2, 1 << 10))
            file.seek(start + declared + declared % 2)
    return None


def _holds_only_chunks(path: Path, header: _Header) -> bool:
    """Whether what follows an empty data chunk is further chunks, with names in ASCII, up to the end of the file."""
    with path.open("rb") as file:
        position = header.start
        for _ in range(_MOST_CHUNKS):
            file.seek(position)
            chunk = file.read(8)
            if len(chunk) < 8 or not all(0x20 <= letter < 0x7F for letter in chunk[:4]):
                return False
            size = int.from_bytes(chunk[4:], _BYTE_ORDERS[header.magic])
            position += 8 + size + size % 2
            if position >= header.file_size:
                return position - header.file_size <= size % 2
    return False


class _Reheaded(io.RawIOBase):
    """The samples of a WAV file after a header with their true size."""

    def __init__(self, path: Path, header: _Header) -> None:
        order = _BYTE_ORDERS[header.magic]
        size, fmt = header.present, header.format_chunk

        def field(number: int, width: int = 4) -> bytes:
            return number.to_bytes(width, order)

        if size + len(fmt) + 64 < 1 << 32:
            riff = header.magic + field(size + len(fmt) + 12) + b"WAVE"
            self._header = riff + fmt + b"data" + field(size)
        else:  # RF64 has 64 bits for sizes, in a chunk before the others
            sizes = field(size + len(fmt) + 48, 8) + field(size, 8) + field(0, 8) + field(0)
            riff = b"RF64" + b"\xff" * 4 + b"WAVE" + b"ds64" + field(len(sizes)) + sizes
            self._header = riff + fmt + b"data" + b"\xff" * 4
        self._file = path.open("rb")
        self._start, self._length, self._position = header.start, len(self._header) + size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = len(buffer)
        read = self._header[self._position : self._position + wanted]
        if len(read) < wanted:
            self._file.seek(self._start + self._position + len(read) - len(self._header))
            read += self._file.read(wanted - len(read))
        buffer[: len(read)] = read
        self._position += len(read)
        return len(read)

    def close(self) -> None:
        self._file.close()
        super().close()
