"""Names of recordings and of the clips cut from them, as the planer's authors chose them (protocol, "Data")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

PLANER_PREFIX = "MPD"

_TIME = "%y-%m-%d_%H%M"
_PLANER_NAME = re.compile(r"(?P<prefix>.+)_(?P<time>\d\d-\d\d-\d\d_\d{4})_(?P<number>\d{5,9})")


@dataclass(frozen=True)
class RecordingName:
    """Name of a recording's first minute, from which the names of all its minutes and clips follow.

    The recordings of the planer are a minute each and numbered through the day, so the minutes of a longer
    one count on in both.

    Attributes:
        prefix: What stands in front.
        number: Number of the minute.
        start: Its time of day, None where that is not known.

    Example:
        >>> name = RecordingName.of("MPD_19-12-04_2359_00906")
        >>> name.clip(0, part=2), name.clip(1, part=1)
        ('MPD_19-12-04_2359_00906_2', 'MPD_19-12-05_0000_00907_1')
        >>> RecordingName.of("press").clip(0, part=6)
        'press_00001_6'
    """

    prefix: str
    number: int
    start: datetime | None = None

    @classmethod
    def of(cls, stem: str) -> RecordingName:
        """What a file's name says, without its suffix; one that says no time is a prefix to count minutes after."""
        match = _PLANER_NAME.fullmatch(stem)
        if match is not None:
            try:
                return cls(match["prefix"], int(match["number"]), datetime.strptime(match["time"], _TIME))
            except ValueError:  # digits that are no date
                pass
        return cls(stem, 1)

    def after(self, minutes: int) -> RecordingName:
        """Name of the minute that comes so many minutes later."""
        start = None if self.start is None else self.start + timedelta(minutes=minutes)
        return RecordingName(self.prefix, self.number + minutes, start)

    def clip(self, minute: int, part: int) -> str:
        """Name of a clip without suffix: the minute counted from 0, its part from 1."""
        name = self.after(minute)
        time = "" if name.start is None else f"{name.start:{_TIME}}_"
        return f"{name.prefix}_{time}{name.number:05}_{part}"

    @property
    def series(self) -> tuple[str, str]:
        """The same for two names exactly if one of them can count on to the other."""
        origin = "" if self.start is None else str(self.start - timedelta(minutes=self.number))
        return self.prefix, origin
