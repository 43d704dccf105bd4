"""Slicing recordings of any length into clips."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import soundfile
from rich.progress import Progress

from datamodules.audio import Channel, ChannelTally, SoundInfo, require_channel_index, unreadable
from datamodules.errors import DataError
from datamodules.progress import progress_console
from datamodules.recordings.cutting import FORMATS, clip_subtype, cut
from datamodules.recordings.manifest import (
    MANIFEST_FILE,
    ManifestRow,
    append_to_manifest,
    file_sha256,
    read_manifest,
    write_manifest,
)
from datamodules.recordings.plan import SECONDS_PER_MINUTE, SlicedRecording, plan_recordings
from lightning_modules.wording import counted

_UNFINISHED = ".slicing"


class SliceSummary(NamedTuple):
    """Numbers of clips written now and by an earlier run, and what was left out.

    ``left_over`` has the seconds after the last whole clip by recording, ``left_out`` files that are not recordings,
    ``mixed`` the levels of recordings that were mixed down.
    """

    written: int
    kept: int
    left_over: dict[str, float]
    left_out: list[Path]
    mixed: dict[Path, SoundInfo]


def slice_recordings(
    sources: Sequence[Path],
    output: Path,
    clip_seconds: int = 10,
    audio_format: str = "wav",
    start: datetime | None = None,
    channel: Channel = "mix",
) -> SliceSummary:
    """Cut recordings into clips of one length, with the planer's names, and list them in a manifest.

    Samples are not changed, except that channels are mixed to their mean unless one is chosen. Memory does not depend
    on the length of a recording. Folders below a source folder are kept. Every header is read before anything is
    written. A recording's clips and rows in the manifest are put in place when it has been read completely: an
    interrupted run can be resumed, and a damaged recording leaves nothing.

    Args:
        sources: Recordings, and folders of them.
        output: Folder to write, one run at a time. It may contain other files; none is overwritten.
        clip_seconds: Length of a clip in seconds, a divisor of 60.
        audio_format: ``wav`` or ``flac``.
        start: First minute of the first recording without a time in its name; each further one of these begins at the
            full minute after the previous one.
        channel: Index of a channel from 0, or ``mix``.

    Raises:
        DataError: An option is out of range, no recording is long enough, one is missing or damaged, a name is taken,
            or ``output`` cannot be written.
    """
    if clip_seconds < 1 or SECONDS_PER_MINUTE % clip_seconds:
        raise DataError(f"clips of {clip_seconds} s do not divide a minute; choose a divisor of 60, such as 10")
    if audio_format not in FORMATS:
        raise DataError(f"{audio_format!r} is not a format of clips; choose {' or '.join(FORMATS)}")
    require_channel_index(channel)
    for source in sources:
        if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
            raise DataError(f"the output {output} is inside {source}, where clips would be mistaken for recordings")
    recordings, left_out = plan_recordings(sources, clip_seconds, f".{audio_format}", start, channel)
    if not any(recording.n_clips for recording in recordings):
        longest = max(recording.seconds_left_over for recording in recordings)
        raise DataError(f"no recording is as long as a clip of {clip_seconds} s; the longest has {longest:.2f} s")
    for recording in recordings:
        clip_subtype(recording, recording.suffix)
    written, mixed = _slice_all([recording for recording in recordings if recording.n_clips], output, channel)
    kept = sum(recording.n_clips for recording in recordings) - written
    left_over = {recording.source: left for recording in recordings if (left := recording.seconds_left_over)}
    return SliceSummary(written, kept, left_over, left_out, mixed)


def _slice_all(
    recordings: Sequence[SlicedRecording], output: Path, channel: Channel
) -> tuple[int, dict[Path, SoundInfo]]:
    """Slice the recordings that are not sliced yet; returns the clips written and the levels of what was mixed."""
    manifest = output / MANIFEST_FILE
    finished = _finished(recordings, manifest, channel)
    written, mixed = 0, {}
    with _folder(output) as unfinished, Progress(console=progress_console(), transient=True) as progress:
        task = progress.add_task("Slicing", total=sum(recording.n_clips for recording in recordings))
        for number, recording in enumerate(recordings):
            try:
                checksum = file_sha256(recording.path)
            except OSError as error:
                raise unreadable(recording.path, error) from None
            if recording.source in finished:
                if finished[recording.source] != checksum:
                    raise _taken(manifest, f"another {recording.source} than {recording.path}")
                progress.advance(task, recording.n_clips)
                continue
            tally = ChannelTally(recording.channels)
            rows = []
            try:
                clips = recording.clips()
                for row in cut(recording, clips, recording.clip_frames, checksum, unfinished, channel, tally):
                    rows.append(row)
                    progress.advance(task)
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(
                    f" in {recording.path}, after {number} of {counted(len(recordings), 'recording')}; the same "
                    "command goes on with it"
                ) from stop
            if channel == "mix":
                mixed[recording.path] = tally.info(recording.sample_rate)
            _put_in_place(rows, unfinished, output)
            append_to_manifest(manifest, rows)
            written += recording.n_clips
    return written, mixed


def _finished(recordings: Sequence[SlicedRecording], manifest: Path, channel: Channel) -> dict[str, str]:
    """Checksums, by name, of the recordings whose clips are all there; rows of others are removed."""
    planned = {recording.source: recording for recording in recordings}
    owners = {clip: recording.source for recording in recordings for clip in recording.clips()}
    rows, is_cut_off = read_manifest(manifest)
    checksums: dict[str, str] = {}
    for row in rows:
        if owners.get(row.clip, row.source) != row.source:
            raise _taken(manifest, f"{row.clip} from {row.source}, not {owners[row.clip]}")
        recording = planned.get(row.source)
        if recording is None:
            continue
        if row.duration != recording.clip_seconds or PurePosixPath(row.clip).suffix != recording.suffix:
            raise _taken(manifest, f"clips of {row.source} with another length or format")
        if row.clip not in owners:
            raise _taken(manifest, f"clips of {row.source} under other names, for example from another start")
        if row.channel != str(channel):
            raise _taken(manifest, f"clips of {row.source} from channel={row.channel}, not {channel}")
        checksums[row.source] = row.source_sha256
    present = {row.clip for row in rows if (manifest.parent / row.clip).is_file()}
    incomplete = {source for source in checksums if not present.issuperset(planned[source].clips())}
    if incomplete or is_cut_off:
        write_manifest(manifest, (row for row in rows if row.source not in incomplete))
    return {source: checksum for source, checksum in checksums.items() if source not in incomplete}


@contextmanager
def _folder(output: Path) -> Iterator[Path]:
    """A folder for unfinished clips inside the output folder; the remains of a killed run are removed."""
    unfinished = output / _UNFINISHED
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"{output} cannot be written: {reason}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):
            output.rmdir()  # removes it only if nothing was written


def _put_in_place(rows: Sequence[ManifestRow], unfinished: Path, output: Path) -> None:
    for row in rows:
        # A run killed in this function has left clips that are not in the manifest.
        if (output / row.clip).exists() and not _same_samples(output / row.clip, unfinished / row.clip):
            raise DataError(f"{output / row.clip} already exists and is another clip; choose another output")
    for row in rows:
        (output / row.clip).parent.mkdir(parents=True, exist_ok=True)
        (unfinished / row.clip).replace(output / row.clip)


def _same_samples(one: Path, other: Path) -> bool:
    """Compare samples, since files with floating-point samples contain the time of writing."""
    try:
        return np.array_equal(soundfile.read(one)[0], soundfile.read(other)[0])
    except (soundfile.SoundFileError, OSError):
        return False


def _taken(manifest: Path, what: str) -> DataError:
    return DataError(f"{manifest} has {what}; choose another output")
