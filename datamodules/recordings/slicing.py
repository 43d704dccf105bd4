"""Slicing recordings of any length into clips."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
from rich.progress import Progress

from datamodules.audio import Channel, ChannelTally, SoundInfo, unreadable
from datamodules.errors import DataError
from datamodules.progress import progress_console
from datamodules.recordings.cutting import FORMATS, clip_subtype, cut
from datamodules.recordings.manifest import Manifest, ManifestRow, file_sha256, write_manifest
from datamodules.recordings.plan import SECONDS_A_MINUTE, Recording, plan_recordings

MANIFEST_FILE = "manifest.csv"
_UNFINISHED = ".slicing"


@dataclass(frozen=True)
class SliceSummary:
    """What slicing did.

    Attributes:
        written: Clips that were written.
        kept: Clips that a run before had written.
        left_over: Seconds behind the last whole clip of each recording that has any, by the recording's name.
        left_out: Files in the source folders that cannot be read as recordings.
        mixed: What was found about the channels of each recording that was mixed down, by its file.
    """

    written: int
    kept: int
    left_over: dict[str, float]
    left_out: list[Path] = field(default_factory=list)
    mixed: dict[Path, SoundInfo] = field(default_factory=dict)


def slice_recordings(
    sources: Sequence[Path],
    output: Path,
    clip_seconds: int = 10,
    audio_format: str = "wav",
    start: datetime | None = None,
    channel: Channel = "mix",
) -> SliceSummary:
    """Cut recordings into clips of one length, with the planer's names, and list them in a manifest.

    Samples go through unchanged, block by block, so that memory does not depend on a recording's length;
    several channels are mixed down to their mean, or one of them is taken. Folders below a source folder are
    kept. Every header is looked at before anything is written. A recording's clips, and its rows in the
    manifest, take their place when it has been read to its end; so a run that was interrupted goes on where it
    was, and a damaged recording leaves nothing.

    Args:
        sources: Recordings, and folders of them.
        output: Folder to write, one run at a time. Other files may lie there; none is overwritten.
        clip_seconds: Length of a clip in seconds, a divisor of 60.
        audio_format: ``wav`` or ``flac``.
        start: See :func:`~datamodules.recordings.plan.plan_recordings`.
        channel: Index of a channel from 0, or ``mix``.

    Returns:
        Numbers of clips, and what was left over, left out and mixed.

    Raises:
        DataError: An option is out of range, no recording gives a clip, one is missing or damaged, a name is taken,
            or ``output`` cannot be written.
    """
    if clip_seconds < 1 or SECONDS_A_MINUTE % clip_seconds:
        raise DataError(f"--seconds is {clip_seconds}; it must divide a minute, as 10 does")
    if audio_format not in FORMATS:
        raise DataError(f"--format is {audio_format}; choose {' or '.join(FORMATS)}")
    if channel != "mix" and channel < 0:
        raise DataError(f"--channel is {channel}; it must be the index of a channel from 0, or mix")
    for source in sources:
        if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
            raise DataError(f"--output {output} lies inside {source}, where clips would be taken for recordings")
    recordings, left_out = plan_recordings(sources, clip_seconds, f".{audio_format}", start, channel)
    if not any(recording.n_clips for recording in recordings):
        longest = max(recording.seconds_left_over for recording in recordings)
        raise DataError(
            f"no recording is as long as a clip of --seconds {clip_seconds}; the longest has {longest:.2f} s"
        )
    for recording in recordings:
        clip_subtype(recording)
    mixed: dict[Path, SoundInfo] = {}
    written = _slice_all([recording for recording in recordings if recording.n_clips], output, channel, mixed)
    return SliceSummary(
        written=written,
        kept=sum(recording.n_clips for recording in recordings) - written,
        left_over={
            recording.source: recording.seconds_left_over for recording in recordings if recording.seconds_left_over
        },
        left_out=left_out,
        mixed=mixed,
    )


def _slice_all(recordings: Sequence[Recording], output: Path, channel: Channel, mixed: dict[Path, SoundInfo]) -> int:
    """Slice what is not sliced yet, noting what was mixed; returns the number of clips written."""
    manifest = Manifest(output / MANIFEST_FILE)
    finished = _finished(recordings, manifest, channel)
    written = 0
    with _folder(output) as unfinished, Progress(console=progress_console(), transient=True) as progress:
        task = progress.add_task("Slicing", total=sum(recording.n_clips for recording in recordings))
        for recording in recordings:
            try:
                checksum = file_sha256(recording.path)
            except OSError as error:
                raise unreadable(recording.path, error) from None
            if recording.source in finished:
                if finished[recording.source] != checksum:
                    raise _taken(manifest.path, f"another {recording.source} than {recording.path}")
                progress.advance(task, recording.n_clips)
                continue
            tally = ChannelTally(recording.channels)
            rows = cut(recording, checksum, unfinished, channel, tally)
            write_manifest(unfinished / MANIFEST_FILE, _each(rows, lambda: progress.advance(task)))
            if channel == "mix":
                mixed[recording.path] = tally.info(recording.sample_rate)
            _take_place(unfinished, output, manifest)
            written += recording.n_clips
    return written


def _each(rows: Iterator[ManifestRow], then: Callable[[], None]) -> Iterator[ManifestRow]:
    for row in rows:
        yield row
        then()


def _finished(recordings: Sequence[Recording], manifest: Manifest, channel: Channel) -> dict[str, str]:
    """Checksums, by name, of the recordings whose clips are all there; rows of half finished ones are forgotten."""
    planned = {recording.source: recording for recording in recordings}
    owners = {next(recording.clips()): recording.source for recording in recordings}
    names = {recording.source: set(recording.clips()) for recording in recordings}
    counts: dict[str, int] = {}
    checksums: dict[str, str] = {}
    for row in manifest.rows():
        if owners.get(row.clip, row.source) != row.source:
            raise _taken(manifest.path, f"{row.clip} from {row.source}, not {owners[row.clip]}")
        recording = planned.get(row.source)
        if recording is None:
            continue
        if row.duration != recording.clip_seconds or PurePosixPath(row.clip).suffix != recording.suffix:
            raise _taken(manifest.path, f"clips of {row.source} with another --seconds or --format")
        if row.clip not in names[row.source]:
            raise _taken(manifest.path, f"clips of {row.source} under other names, as from another --start")
        if row.channel != str(channel):
            raise _taken(manifest.path, f"clips of {row.source} from --channel {row.channel}, not {channel}")
        counts[row.source] = counts.get(row.source, 0) + 1
        checksums[row.source] = row.source_sha256
    root = manifest.path.parent
    half = {
        source
        for source, count in counts.items()
        if count != planned[source].n_clips or not all((root / clip).is_file() for clip in planned[source].clips())
    }
    if half or manifest.cut_off:
        manifest.forget(half)
    return {source: checksum for source, checksum in checksums.items() if source not in half}


@contextmanager
def _folder(output: Path) -> Iterator[Path]:
    """A folder for unfinished clips inside the output folder; what a killed run left there is removed."""
    unfinished = output / _UNFINISHED
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"--output {output} cannot be written: {reason}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):
            output.rmdir()  # goes only where nothing was written


def _take_place(unfinished: Path, output: Path, manifest: Manifest) -> None:
    """Move a recording's clips to where they belong and enter them in the manifest."""
    done = Manifest(unfinished / MANIFEST_FILE)
    for row in done.rows():
        # A run that was killed in this function has left clips that are in no manifest yet.
        if (output / row.clip).exists() and not _same_samples(output / row.clip, unfinished / row.clip):
            raise DataError(f"{output / row.clip} is there already and another clip; choose another --output")
    for row in done.rows():
        (output / row.clip).parent.mkdir(parents=True, exist_ok=True)
        (unfinished / row.clip).replace(output / row.clip)
    manifest.append(done)


def _same_samples(one: Path, other: Path) -> bool:
    """Compare what two files sound like; those with floating-point samples carry the time they were written."""
    try:
        return np.array_equal(soundfile.read(one)[0], soundfile.read(other)[0])
    except (soundfile.SoundFileError, OSError):
        return False


def _taken(manifest: Path, what: str) -> DataError:
    return DataError(f"{manifest} has {what}; choose another --output")
