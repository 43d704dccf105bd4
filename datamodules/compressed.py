"""Whether libsndfile hears all of an MP3, OGG or FLAC file.

It believes the first header it meets. The length of an MP3 is estimated from its first frame unless a table says it,
which programs that write to a pipe leave out or empty; and of files joined end to end the first alone is heard.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from datamodules.errors import DataError

_TOLERANCE_S = 0.25
"""Encoders pad the start and the end by a few frames, of at most 0.07 s each."""

_FLAC_START = b"fLaC\x00\x00\x00\x22"
"""The mark of a FLAC stream and the header of its first block, which is always 34 bytes long."""

# By the two version bits of a frame's header; 1 is reserved.
_MP3_RATES = {0: (11_025, 12_000, 8_000), 2: (22_050, 24_000, 16_000), 3: (44_100, 48_000, 32_000)}
_MP3_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def require_heard(path: Path, audio_format: str, seconds: float) -> None:
    """Reject a file of which libsndfile hears a part only.

    Args:
        path: The file.
        audio_format: As libsndfile calls it; only MP3, OGG and FLAC are looked at.
        seconds: Most that libsndfile reads of it.

    Raises:
        DataError: There is more sound in the file.
        OSError: It cannot be read.
    """
    if audio_format not in ("MP3", "OGG", "FLAC"):
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if audio_format == "MP3":
            whole = sum(_mp3_frame_seconds(data))
            if whole > seconds + _TOLERANCE_S:
                raise _unheard(path, f"its header makes it {seconds:.1f} s long, but it holds {whole:.1f} s")
        elif data.find(_FLAC_START, 1) >= 0 if audio_format == "FLAC" else _is_chained(data):
            raise _unheard(path, "it holds several streams one after the other, of which only the first would be heard")


def _unheard(path: Path, reason: str) -> DataError:
    return DataError(f"{path} cannot be read as a whole: {reason}; convert it to WAV or FLAC, for example with ffmpeg")


def _mp3_frame_seconds(data: mmap.mmap) -> Iterator[float]:
    """Lengths of the frames of MPEG layer III in a file, in seconds, whatever tags lie before and between them."""
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
    """Bytes and seconds of a frame by its header, None where there is none."""
    first, second, third, _ = header
    version, bits, rate = second >> 3 & 3, third >> 4, third >> 2 & 3
    if first != 0xFF or second >> 5 != 7 or second >> 1 & 3 != 1 or version == 1 or rate == 3 or bits in (0, 15):
        return None
    hertz = _MP3_RATES[version][rate]
    kilobits, samples = (_MP3_KBITS_1[bits], 1152) if version == 3 else (_MP3_KBITS_2[bits], 576)
    return samples // 8 * kilobits * 1000 // hertz + (third >> 1 & 1), samples / hertz


def _is_chained(data: mmap.mmap) -> bool:
    """Whether an OGG stream begins after pages of another one."""
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
