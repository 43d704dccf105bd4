"""Headers of recordings that state no length, or a wrong one.

libsndfile believes the first header that it reads. WAV files from pipes carry a placeholder for their size; the length
of an MP3 is estimated from its first frame unless a table states it; and of files joined end to end only the first is
decoded.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from datamodules.errors import DataError

UNKNOWN_LENGTH = 2**62
"""Sizes from here on mean "not known", for which libsndfile itself uses the largest int64."""

ByteOrder = Literal["little", "big"]
_BYTE_ORDERS: dict[bytes, ByteOrder] = {b"RIFF": "little", b"RIFX": "big"}

_MOST_CHUNKS = 10_000
"""Chunks that are searched for the samples; in gigabytes of zeros every eight bytes would be a chunk."""

_NEAR = 1 << 17
"""Bytes around 2 and 4 GiB in which a size is a placeholder: programs subtract headers and round to whole samples."""


def truncated(path: Path, present: int, declared: int) -> DataError:
    """The error for a file with fewer bytes of samples than its header declares."""
    return DataError(
        f"{path} is truncated: {present} of {declared} bytes are there; copy it again, or convert it if this is all "
        "there is"
    )


def is_placeholder(size: int) -> bool:
    """Whether programs write this size where they do not know it: around 2 GiB, just below 4 GiB, or absurd."""
    return size == 0 or abs(size - (1 << 31)) < _NEAR or (1 << 32) - _NEAR < size < 1 << 32 or size >= UNKNOWN_LENGTH


class _Header(NamedTuple):
    """The header of a WAV file; ``start`` is its first byte of samples, ``declared`` the number that it claims."""

    magic: bytes
    riff_size: int
    format_chunk: bytes
    start: int
    declared: int
    file_size: int

    @property
    def present(self) -> int:
        return self.file_size - self.start


def sized_source(path: Path) -> Path | _CorrectedWav:
    """What libsndfile should read: the file, or a view of it with a correct header where the file's own is wrong.

    libsndfile handles most wrong sizes itself. Three remain: a truncated file, which it does not notice; a size of 0,
    which it believes; and more samples than the size says, of which it reads only the beginning.

    Raises:
        DataError: The file is truncated.
    """
    header = _read_header(path)
    if header is None:
        return path
    declared, present = header.declared, header.present
    # If the size of the whole file is right, nothing is missing: a program has miscounted the samples.
    if declared > present and not is_placeholder(declared) and header.riff_size + 8 != header.file_size:
        raise truncated(path, present, declared)
    unknown = declared == 0 and present > 0 and not _holds_only_chunks(path, header)
    too_small = 0 < declared < present and (is_placeholder(declared) or present - declared >= 1 << 32)
    return _CorrectedWav(path, header) if unknown or too_small else path


def _read_header(path: Path) -> _Header | None:
    """The header of a WAV file; None for other files and if no samples follow."""
    file_size = path.stat().st_size
    with path.open("rb") as file:
        riff = file.read(12)
        magic = riff[:4]
        if magic not in _BYTE_ORDERS or riff[8:] != b"WAVE":
            return None
        order = _BYTE_ORDERS[magic]
        format_chunk = b""
        for name, declared, start in _chunks(file, order):
            if name == b"data":
                return _Header(magic, int.from_bytes(riff[4:8], order), format_chunk, start, declared, file_size)
            if name == b"fmt ":
                format_chunk = name + declared.to_bytes(4, order) + file.read(min(declared + declared % 2, 1 << 10))
    return None


def growing_samples(path: Path) -> tuple[int, int] | None:
    """First byte of the samples of a WAV file that may still be written, and the first one after those there are.

    Its header may not say how many there are, and chunks may follow them once it is complete. None if no samples
    follow yet, and for other files.
    """
    header = _read_header(path)
    if header is None or header.magic != b"RIFF":
        return None
    is_complete = 0 < header.declared < header.present and _holds_only_chunks(path, header)
    return header.start, header.start + header.declared if is_complete else header.file_size


def _chunks(file: BinaryIO, order: ByteOrder) -> Iterator[tuple[bytes, int, int]]:
    """Name, declared size and first byte of each chunk from the file's position on."""
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        size, start = int.from_bytes(head[4:], order), file.tell()
        yield head[:4], size, start
        file.seek(start + size + size % 2)


def read_wav_chunk(path: Path, name: bytes) -> bytes:
    """Up to 1 kB of the first chunk of a name in a WAV file; empty if there is none, and for other files."""
    with path.open("rb") as file:
        order = _BYTE_ORDERS.get(file.read(12)[:4])
        found = (start for chunk, _, start in (_chunks(file, order) if order else ()) if chunk == name)
        if (start := next(found, None)) is None:
            return b""
        file.seek(start)
        return file.read(1 << 10)


def _holds_only_chunks(path: Path, header: _Header) -> bool:
    """Whether only further chunks, with names in ASCII, follow the data chunk."""
    with path.open("rb") as file:
        file.seek(header.start + header.declared + header.declared % 2)
        for name, size, start in _chunks(file, _BYTE_ORDERS[header.magic]):
            if not all(0x20 <= letter < 0x7F for letter in name):
                return False
            if start + size + size % 2 >= header.file_size:
                return start + size <= header.file_size
    return False


class _CorrectedWav(io.RawIOBase):
    """A WAV file as libsndfile should see it: a header with the true size, then the file's samples."""

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


_TOLERANCE_S = 0.25  # Encoders pad the start and the end by a few frames, of at most 0.07 s each

_FLAC_START = b"fLaC\x00\x00\x00\x22"
"""The mark of a FLAC stream and the header of its first block, which is always 34 bytes long."""

# By the two version bits of a frame's header; 1 is reserved.
_MP3_RATES = {0: (11_025, 12_000, 8_000), 2: (22_050, 24_000, 16_000), 3: (44_100, 48_000, 32_000)}
_MP3_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def require_fully_decoded(path: Path, audio_format: str, seconds: float) -> None:
    """Raise a DataError if an MP3, OGG or FLAC file holds more than the seconds that libsndfile decodes."""
    if audio_format not in ("MP3", "OGG", "FLAC"):
        return
    reason = ""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if audio_format == "MP3":
            whole = sum(_mp3_frame_seconds(data))
            if whole > seconds + _TOLERANCE_S:
                reason = f"its header makes it {seconds:.1f} s long, but it holds {whole:.1f} s"
        elif data.find(_FLAC_START, 1) >= 0 if audio_format == "FLAC" else _is_chained(data):
            reason = "it holds several streams one after the other, and only the first would be decoded"
    if reason:
        raise DataError(
            f"{path} cannot be read as a whole: {reason}; convert it to WAV or FLAC, for example with ffmpeg"
        )


def _mp3_frame_seconds(data: mmap.mmap) -> Iterator[float]:
    """Lengths in seconds of the frames of an MP3 file, skipping tags before and between them."""
    position = 0
    while 0 <= position <= len(data) - 10:
        if data[position : position + 3] == b"ID3":
            size = data[position + 6 : position + 10]
            position += 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
            continue
        frame = _mp3_frame(data[position : position + 4])
        if frame is None:
            position = data.find(b"\xff", position + 1)
            continue
        length, seconds = frame
        yield seconds
        position += length


def _mp3_frame(header: bytes) -> tuple[int, float] | None:
    """Bytes and seconds of a frame; None if its header is not valid."""
    first, second, third, _ = header
    version, bits, rate = second >> 3 & 3, third >> 4, third >> 2 & 3
    if first != 0xFF or second >> 5 != 7 or second >> 1 & 3 != 1 or version == 1 or rate == 3 or bits in (0, 15):
        return None
    hertz = _MP3_RATES[version][rate]
    kilobits, samples = (_MP3_KBITS_1[bits], 1152) if version == 3 else (_MP3_KBITS_2[bits], 576)
    return samples // 8 * kilobits * 1000 // hertz + (third >> 1 & 1), samples / hertz


def _is_chained(data: mmap.mmap) -> bool:
    """Whether an OGG stream begins after pages of another."""
    position, began = 0, False
    while data[position : position + 4] == b"OggS":
        begins = bool(data[position + 5] & 2)
        if begins and began:
            return True
        began |= not begins
        segments = data[position + 26 : position + 27]
        if not segments:
            break
        table = position + 27
        position = table + segments[0] + sum(data[table : table + segments[0]])
    return False
