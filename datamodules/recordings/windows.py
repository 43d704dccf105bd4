"""Where the windows of a recording begin, and what time it was then."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from pathlib import Path

from datamodules.headers import read_wav_chunk

LEFT_OUT_S = 0.1
"""Seconds at the end of a clip or recording that don't count as left out; front ends differ by a frame or two."""

_CLOCK = re.compile(
    r"(?<!\d)(?P<date>\d{4}-?\d\d-?\d\d)[T_ -]?(?P<time>\d\d[-:.]?\d\d(?:[-:.]?\d\d)?)(?P<zone>Z|[+-]\d\d:?\d\d)?(?!\d)"
)
"""ISO 8601 as file names have it, with or without separators: 20191204_084800, 2019-12-04T08:48:00+01:00."""

_PLANER_CLOCK = re.compile(r"MPD_(?P<time>\d\d-\d\d-\d\d_\d{4})(?:_\d{5,9}(?:_(?P<part>\d+))?)?(?!\d)")
"""The planer's minutes, MPD_YY-MM-DD_HHMM_NNNNN, and the clips of a minute, which are numbered from 1."""


def window_starts(n_recorded: int, n_frames: int, hop: float, frames_per_second: float) -> list[int]:
    """First frames of the windows of a recording.

    Args:
        n_recorded: Frames of the recording, at least those of a window.
        n_frames: Frames of a window.
        hop: Seconds from window to window.
        frames_per_second: Frame rate.

    Returns:
        The frames nearest to multiples of the hop, each once; where more than 0.1 s would be left at the end, a last
        window ends with the recording.

    Example:
        >>> window_starts(1000, 400, 5.0, 40.0), window_starts(1010, 400, 5.0, 40.0), window_starts(401, 400, 5.0, 40.0)
        ([0, 200, 400, 600], [0, 200, 400, 600, 610], [0])
        >>> window_starts(1250, 312, 10.0, 31.25)  # a hop of 312.5 frames does not drift
        [0, 313, 625, 938]
    """
    n_hops = int((n_recorded - n_frames + 0.5) / (hop * frames_per_second))
    nearest = (math.floor(number * hop * frames_per_second + 0.5) for number in range(n_hops + 1))
    starts = [start for start in dict.fromkeys(nearest) if start <= n_recorded - n_frames]
    if n_recorded - n_frames - starts[-1] > LEFT_OUT_S * frames_per_second:
        starts.append(n_recorded - n_frames)
    return starts


def recording_start(path: Path, seconds: float) -> datetime | None:
    """When a recording began, by its name or else by the header of a broadcast wave file; None if neither says.

    Args:
        path: The recording.
        seconds: Its length in s, which the planer's numbered parts of a minute have to be counted in.

    Example:
        >>> recording_start(Path("saw_20191204_084800.wav"), 600.0)
        datetime.datetime(2019, 12, 4, 8, 48)
        >>> recording_start(Path("MPD_19-12-04_0848_00906_3.wav"), 10.0)
        datetime.datetime(2019, 12, 4, 8, 48, 20)
    """
    if match := _PLANER_CLOCK.search(path.stem):
        part = int(match["part"] or 1) - 1
        if (start := _parsed(match["time"], "%y-%m-%d_%H%M")) is not None:
            return start + timedelta(seconds=round(part * seconds))
    for match in _CLOCK.finditer(path.stem):
        digits = re.sub(r"\D", "", match["date"] + match["time"])
        zone = (match["zone"] or "").replace("Z", "+0000").replace(":", "")
        form = "%Y%m%d%H%M%S" if len(digits) == 14 else "%Y%m%d%H%M"
        if (start := _parsed(digits + zone, form + ("%z" if zone else ""))) is not None:
            return start
    return _broadcast_start(path)


def _broadcast_start(path: Path) -> datetime | None:
    """Date and time of origination in the chunk `bext` of a WAV file (EBU Tech 3285)."""
    chunk = read_wav_chunk(path, b"bext")
    # Description, originator and its reference take 320 bytes; then yyyy-mm-dd and hh-mm-ss, with any separators.
    digits = re.sub(rb"\D", b"", chunk[320:338])
    return _parsed(digits.decode("ascii"), "%Y%m%d%H%M%S") if len(digits) == 14 else None


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:  # digits that are not a date
        return None
