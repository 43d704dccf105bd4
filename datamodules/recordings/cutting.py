"""One recording's samples as clips, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from datamodules.audio import Channel, ChannelTally, blocks, mix_down, not_finite, open_sound, unreadable
from datamodules.errors import DataError
from datamodules.recordings.manifest import ManifestRow, file_sha256
from datamodules.recordings.plan import Recording
from datamodules.writing import new_recording

FORMATS = ("wav", "flac")

# Types that hold the samples of a format exactly; formats that are not among them are lossy and become 16 bits.
_SAMPLE_TYPES = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "PCM_16"), "int16"),
    **dict.fromkeys(("PCM_24", "PCM_32"), "int32"),
    "FLOAT": "float32",
    "DOUBLE": "float64",
}
_EIGHT_BITS = {".wav": "PCM_U8", ".flac": "PCM_S8"}


def clip_subtype(recording: Recording) -> str:
    """Sample format of a recording's clips: its own, or 16 bits where that is lossy.

    Raises:
        DataError: The clips' file format has not this sample format.
    """
    subtype = recording.subtype if recording.subtype in _SAMPLE_TYPES else "PCM_16"
    if subtype in _EIGHT_BITS.values():
        subtype = _EIGHT_BITS[recording.suffix]
    audio_format = recording.suffix.removeprefix(".")
    if not soundfile.check_format(audio_format, subtype):
        raise DataError(f"{recording.path} has {subtype} samples, which --format {audio_format} cannot hold")
    return subtype


def cut(
    recording: Recording, source_sha256: str, folder: Path, channel: Channel, tally: ChannelTally
) -> Iterator[ManifestRow]:
    """Write a recording's clips, yielding each one's row when it is written, and read on to the recording's end.

    Args:
        recording: What to cut.
        source_sha256: Its checksum, for the rows.
        folder: Folder to write into, by the clips' names.
        channel: Which channel to take.
        tally: Takes the levels of the channels and of the clips.

    Raises:
        DataError: The recording is shorter than its header says, cannot be decoded or holds NaN or infinity.
    """
    subtype = clip_subtype(recording)
    with _open(recording.path) as file:
        for index, name in enumerate(recording.clips()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with new_recording(path, recording.sample_rate, subtype) as clip:
                for block in _blocks(file, recording, recording.clip_frames):
                    samples = _mix_down(block, channel)
                    tally.add(block, samples)
                    clip.write(samples)
            seconds = recording.clip_seconds
            yield ManifestRow(
                name, recording.source, index * seconds, seconds, file_sha256(path), source_sha256, str(channel)
            )
        for _ in _blocks(file, recording, recording.frames % recording.clip_frames):
            pass


def _open(path: Path) -> soundfile.SoundFile:
    try:
        return open_sound(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise unreadable(path, error) from None


def _blocks(file: soundfile.SoundFile, recording: Recording, frames: int) -> Iterator[NDArray[Any]]:
    """The next so many samples (samples, channels); only what fails in reading them is the recording's fault."""
    reading = blocks(recording.path, file, frames, _SAMPLE_TYPES.get(recording.subtype, "int16"))
    while True:
        try:
            block = next(reading, None)
        except (soundfile.SoundFileError, OSError) as error:
            raise unreadable(recording.path, error) from None
        if block is None:
            return
        if np.issubdtype(block.dtype, np.floating) and not np.isfinite(block).all():
            raise not_finite(recording.path)
        yield block


def _mix_down(block: NDArray[Any], channel: Channel) -> NDArray[Any]:
    """One channel, or the mean rounded to the samples' own format."""
    if channel != "mix" or block.shape[1] == 1:
        return mix_down(block, 0 if channel == "mix" else channel)
    mean = block.mean(axis=1, dtype=np.float64)
    return (mean if np.issubdtype(block.dtype, np.floating) else np.rint(mean)).astype(block.dtype)
