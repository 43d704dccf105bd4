"""Where the windows of a recording begin, and what time it was then."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count, takewhile
from pathlib import Path

import torch
from torch import Tensor

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
    last = n_recorded - n_frames
    starts = list(takewhile(lambda start: start <= last, _regular_starts(hop * frames_per_second)))
    if last - starts[-1] > LEFT_OUT_S * frames_per_second:
        starts.append(last)
    return starts


def _regular_starts(hop_frames: float) -> Iterator[int]:
    """The frames nearest to multiples of a hop in frames, each once, without end."""
    previous = -1
    for number in count():
        nearest = math.floor(number * hop_frames + 0.5)
        if nearest > previous:
            yield nearest
            previous = nearest


class WindowCutter:
    """Cuts a stream into the windows that `window_starts` gives for the whole, in constant memory.

    The stream has frames or samples along its last dimension.

    Args:
        hop: Seconds from window to window.
        frames_per_second: Frame rate.
        most_items: Frames or samples of a window.
        least_items: As many are enough for the last window of the stream.
        items_per_frame: Samples from frame to frame; 1 in a stream of frames.

    Example:
        >>> import torch
        >>> cutter = WindowCutter(hop=2.0, frames_per_second=1.0, most_items=4, least_items=4)
        >>> [(first, window.tolist()) for first, window in cutter.add(torch.arange(7))]
        [(0, [0, 1, 2, 3]), (2, [2, 3, 4, 5])]
        >>> [(first, window.tolist()) for first, window in cutter.end()]
        [(3, [3, 4, 5, 6])]
    """

    def __init__(
        self, hop: float, frames_per_second: float, most_items: int, least_items: int, items_per_frame: int = 1
    ) -> None:
        self._per_frame, self._most, self._least = items_per_frame, most_items, least_items
        self._left_out = LEFT_OUT_S * frames_per_second
        self._starts = _regular_starts(hop * frames_per_second)
        self._next, self._last = next(self._starts), -1
        self._items, self._dropped = torch.empty(0), 0  # what may still be in a window, and how many came before

    @property
    def n_passed(self) -> int:
        """Frames before which no window to come begins."""
        n_items = self._dropped + self._items.shape[-1]
        return max(0, (n_items - self._most) // self._per_frame)

    def add(self, part: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The windows that the next part of the stream completes, each after its first frame."""
        self._items = torch.cat([self._items, part], dim=-1) if self._items.numel() else part
        yield from self._windows(self._most)
        drop = self.n_passed * self._per_frame - self._dropped
        # A copy, or the view would keep all of it in memory.
        self._items, self._dropped = self._items[..., drop:].clone(), self._dropped + drop

    def end(self) -> Iterator[tuple[int, Tensor]]:
        """The windows that are left when the stream has ended, which the last one ends with."""
        yield from self._windows(self._least)
        last = (self._dropped + self._items.shape[-1] - self._least) // self._per_frame
        if self._last >= 0 and last - self._last > self._left_out:
            yield self._window(last)

    def _windows(self, n_items: int) -> Iterator[tuple[int, Tensor]]:
        """The windows at regular steps of which so many items are there."""
        while self._next * self._per_frame + n_items <= self._dropped + self._items.shape[-1]:
            yield self._window(self._next)
            self._last, self._next = self._next, next(self._starts)

    def _window(self, first: int) -> tuple[int, Tensor]:
        begin = first * self._per_frame - self._dropped
        return first, self._items[..., begin : begin + self._most]


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
