"""Which recordings there are, how long they are, and what the clips of sliced ones will be called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from datamodules.audio import Channel, count_samples, empty, open_audio, require_channel
from datamodules.errors import DataError
from datamodules.files import AUDIO_SUFFIXES, find_files, left_out_text

PLANER_PREFIX = "MPD"

SECONDS_PER_MINUTE = 60

_TIME = "%y-%m-%d_%H%M"
_PLANER_NAME = re.compile(r"(?P<prefix>.+)_(?P<time>\d\d-\d\d-\d\d_\d{4})_(?P<number>\d{5,9})")


@dataclass(frozen=True)
class RecordingName:
    """Name of a recording's first minute, from which the names of all its minutes and clips follow.

    The planer's recordings are one minute long and numbered through the day (protocol, "Data"); in a longer recording
    both the number and the time, if known, increase with each minute.

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
        """Parse a file name without suffix; a name without a time becomes the prefix."""
        match = _PLANER_NAME.fullmatch(stem)
        if match is not None:
            try:
                return cls(match["prefix"], int(match["number"]), datetime.strptime(match["time"], _TIME))
            except ValueError:  # digits that are not a date
                pass
        return cls(stem, 1)

    def after(self, minutes: int) -> RecordingName:
        """Name of a later minute."""
        start = None if self.start is None else self.start + timedelta(minutes=minutes)
        return RecordingName(self.prefix, self.number + minutes, start)

    def clip(self, minute: int, part: int) -> str:
        """Name of a clip without suffix, by its minute from 0 and its part from 1."""
        name = self.after(minute)
        time = "" if name.start is None else f"{name.start:{_TIME}}_"
        return f"{name.prefix}_{time}{name.number:05}_{part}"


@dataclass(frozen=True)
class Recording:
    """A recording: its file and its name in the manifest (``source``).

    ``frames`` are samples of each channel, ``subtype`` is libsndfile's name of the sample format.
    """

    path: Path
    source: str
    sample_rate: int
    frames: int
    channels: int
    subtype: str


@dataclass(frozen=True)
class SlicedRecording(Recording):
    """A recording to slice: the name of its first minute, and the length in seconds and suffix of its clips."""

    name: RecordingName
    clip_seconds: int
    suffix: str

    @property
    def clip_frames(self) -> int:
        """Samples of a clip."""
        return self.clip_seconds * self.sample_rate

    @property
    def n_clips(self) -> int:
        """Whole clips that the recording holds."""
        return self.frames // self.clip_frames

    @property
    def seconds_left_over(self) -> float:
        """Length of the part after the last whole clip, in seconds."""
        return self.frames % self.clip_frames / self.sample_rate

    @property
    def minutes(self) -> int:
        """Minutes that contain the recording's clips."""
        return math.ceil(self.n_clips * self.clip_seconds / SECONDS_PER_MINUTE)

    def clips(self) -> dict[str, int]:
        """First sample of each clip by its name relative to the output folder, in their order."""
        folder = PurePosixPath(self.source).parent
        clips_per_minute = SECONDS_PER_MINUTE // self.clip_seconds
        parts = (divmod(index, clips_per_minute) for index in range(self.n_clips))
        names = [folder / f"{self.name.clip(minute, part + 1)}{self.suffix}" for minute, part in parts]
        return {name.as_posix(): index * self.clip_frames for index, name in enumerate(names)}


def find_recordings(sources: Sequence[Path], channel: Channel = "mix") -> tuple[list[Recording], list[Path]]:
    """Read the header of each recording, and of those in folders.

    Returns:
        The recordings, and the files in the folders that cannot be read as recordings.

    Raises:
        DataError: A source is missing or damaged, or lacks the channel.
    """
    found, left_out = _files(sources)
    return [_inspect(path, source, channel) for path, source in found], left_out


def plan_recordings(
    sources: Sequence[Path], clip_seconds: int, suffix: str, start: datetime | None = None, channel: Channel = "mix"
) -> tuple[list[SlicedRecording], list[Path]]:
    """Find recordings as :func:`find_recordings`, and name their clips; nothing is written.

    ``start`` is the first minute of the first recording whose name has no time; each further one of these begins at the
    full minute after the previous one.

    Raises:
        DataError: Two recordings would give clips of one name.
    """
    recordings = []
    found, left_out = find_recordings(sources, channel)
    next_name = None if start is None else RecordingName(PLANER_PREFIX, 1, start)
    for recording in found:
        name = RecordingName.of(recording.path.stem)
        if name.start is None and next_name is not None:
            name = next_name
        sliced = SlicedRecording(**vars(recording), name=name, clip_seconds=clip_seconds, suffix=suffix)
        if name is next_name:
            next_name = next_name.after(sliced.minutes)
        recordings.append(sliced)
    reject_same_names((recording, recording.clips()) for recording in recordings)
    return recordings, left_out


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sort key of names that compares their numbers by value.

    Example:
        >>> sorted(["rec10", "rec2", "rec"], key=natural_order)
        ['rec', 'rec2', 'rec10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _files(sources: Sequence[Path]) -> tuple[list[tuple[Path, str]], list[Path]]:
    found: list[tuple[Path, str]] = []
    left_out: list[Path] = []
    for source in sources:
        if source.is_file():
            found.append((source, source.name))
            continue
        if not source.is_dir():
            raise DataError(f"{source} does not exist; name recordings or folders of recordings")
        inside, others = find_files(source, AUDIO_SUFFIXES)
        if not inside:
            reason = f": {left_out_text(others)}" if others else ""
            raise DataError(f"{source} holds no recordings (.wav, .flac, .ogg, .mp3, …){reason}")
        named = ((path, path.relative_to(source).as_posix()) for path in inside)
        found += sorted(named, key=lambda item: natural_order(item[1]))
        left_out += others
    return found, left_out


def _inspect(path: Path, source: str, channel: Channel) -> Recording:
    with open_audio(path) as file:
        require_channel(path, file.channels, channel)
        sample_rate, channels, subtype = file.samplerate, file.channels, file.subtype
        frames = count_samples(path, file)
    if frames == 0:
        raise empty(path)
    return Recording(path, source, sample_rate, frames, channels, subtype)


def reject_same_names(clips: Iterable[tuple[Recording, Iterable[str]]]) -> None:
    """Raise a DataError if two recordings, each given with the names of its clips, have clips of one name."""
    first: dict[str, Recording] = {}
    for recording, names in clips:
        for clip in names:
            other = first.setdefault(clip, recording)
            if other is not recording:
                raise DataError(
                    f"{other.path} and {recording.path} would both give {clip}; rename one, or use two outputs"
                )
