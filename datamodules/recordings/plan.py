"""Which recordings there are to slice, how long they are, and what their clips will be called."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath

from datamodules.audio import Channel, count_samples, empty, open_audio, require_channel
from datamodules.errors import DataError
from datamodules.files import find_files, left_out_text
from datamodules.recordings.names import PLANER_PREFIX, RecordingName
from datamodules.spectrograms import AUDIO_SUFFIXES

SECONDS_A_MINUTE = 60


@dataclass(frozen=True)
class Recording:
    """A recording to slice.

    Attributes:
        path: The file.
        source: Its name in the manifest: relative to the folder it was found in, with forward slashes.
        name: From which its clips are named.
        sample_rate: In Hz.
        frames: Samples of each channel.
        channels: Number of channels.
        subtype: Sample format, as libsndfile calls it.
        clip_seconds: Length of a clip in seconds.
        suffix: Suffix of the clips.
    """

    path: Path
    source: str
    name: RecordingName
    sample_rate: int
    frames: int
    channels: int
    subtype: str
    clip_seconds: int
    suffix: str

    @property
    def clip_frames(self) -> int:
        """Samples in a clip."""
        return self.clip_seconds * self.sample_rate

    @property
    def n_clips(self) -> int:
        """Whole clips that the recording holds."""
        return self.frames // self.clip_frames

    @property
    def seconds_left_over(self) -> float:
        """What lies behind the last whole clip, in seconds."""
        return self.frames % self.clip_frames / self.sample_rate

    @property
    def minutes(self) -> int:
        """Minutes that the recording's clips lie in."""
        return math.ceil(self.n_clips * self.clip_seconds / SECONDS_A_MINUTE)

    def clips(self) -> Iterator[str]:
        """Names of the clips relative to the output folder, in their order."""
        folder = PurePosixPath(self.source).parent
        a_minute = SECONDS_A_MINUTE // self.clip_seconds
        for index in range(self.n_clips):
            minute, part = divmod(index, a_minute)
            yield (folder / f"{self.name.clip(minute, part + 1)}{self.suffix}").as_posix()


def plan_recordings(
    sources: Sequence[Path], clip_seconds: int, suffix: str, start: datetime | None = None, channel: Channel = "mix"
) -> tuple[list[Recording], list[Path]]:
    """Look at every recording's header and name its clips; nothing is written.

    Only recordings whose headers do not say how long they are get decoded, to count their samples.

    Args:
        sources: Recordings, and folders to search for them at any depth, in the order of names with numbers by value.
        clip_seconds: Length of a clip in seconds, a divisor of 60.
        suffix: Suffix of the clips.
        start: Minute at which the first of those recordings begins whose names say no time; each of the others
            begins at the full minute after the one before.
        channel: Which channel is wanted.

    Returns:
        The recordings, and the files in the folders that cannot be read as recordings.

    Raises:
        DataError: A source is missing or damaged, lacks the channel, or two would give clips of one name.
    """
    recordings = []
    found, left_out = _files(sources)
    coming = None if start is None else RecordingName(PLANER_PREFIX, 1, start)
    for path, source in found:
        recording = _inspect(path, source, clip_seconds, suffix, coming, channel)
        if coming is not None and recording.name is coming:
            coming = coming.after(recording.minutes)
        recordings.append(recording)
    _refuse_same_names(recordings)
    return recordings, left_out


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorts names with their numbers by value.

    Example:
        >>> sorted(["rec10", "rec2", "rec"], key=natural_order)
        ['rec', 'rec2', 'rec10']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _files(sources: Sequence[Path]) -> tuple[list[tuple[Path, str]], list[Path]]:
    """Recordings with their names in the manifest, and the files that are left out."""
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


def _inspect(
    path: Path, source: str, clip_seconds: int, suffix: str, coming: RecordingName | None, channel: Channel
) -> Recording:
    with open_audio(path) as file:
        require_channel(path, file.channels, channel)
        sample_rate, channels, subtype = file.samplerate, file.channels, file.subtype
        frames = count_samples(path, file)
    if frames == 0:
        raise empty(path)
    name = RecordingName.of(path.stem)
    if name.start is None and coming is not None:
        name = coming
    return Recording(path, source, name, sample_rate, frames, channels, subtype, clip_seconds, suffix)


def _refuse_same_names(recordings: Sequence[Recording]) -> None:
    """Compare the stretches of minutes that recordings fill, since their clips may be too many to list."""

    def stretch(recording: Recording) -> tuple[PurePosixPath, tuple[str, str], int]:
        return PurePosixPath(recording.source).parent, recording.name.series, recording.name.number

    named = sorted((recording for recording in recordings if recording.n_clips), key=stretch)
    for one, other in pairwise(named):
        same_series = stretch(one)[:2] == stretch(other)[:2]
        if same_series and one.name.number + one.minutes > other.name.number:
            raise DataError(
                f"{one.path} and {other.path} would both give {next(other.clips())}; slice them into different folders"
            )
