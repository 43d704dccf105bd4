"""Cutting a recording of any length into clips of one length, which may overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from datamodules.audio import Channel, ChannelTally, blocks, mix_down, not_finite, open_audio
from datamodules.errors import DataError
from datamodules.files import write_recording
from datamodules.recordings.manifest import ManifestRow, file_sha256
from datamodules.recordings.plan import Recording

FORMATS = ("wav", "flac")

# Types that hold the samples of a format exactly; other formats are lossy and become 16 bits.
_SAMPLE_TYPES = {
    **dict.fromkeys(("PCM_S8", "PCM_U8", "PCM_16"), "int16"),
    **dict.fromkeys(("PCM_24", "PCM_32"), "int32"),
    "FLOAT": "float32",
    "DOUBLE": "float64",
}
_EIGHT_BITS = {".wav": "PCM_U8", ".flac": "PCM_S8"}


def clip_subtype(recording: Recording, suffix: str) -> str:
    """Sample format of a recording's clips, its own or 16 bits if lossy; raises if their file format lacks it."""
    subtype = recording.subtype if recording.subtype in _SAMPLE_TYPES else "PCM_16"
    if subtype in _EIGHT_BITS.values():
        subtype = _EIGHT_BITS[suffix]
    audio_format = suffix.removeprefix(".")
    if not soundfile.check_format(audio_format, subtype):
        raise DataError(
            f"{recording.path} has {subtype} samples, which {audio_format} cannot hold; choose another format"
        )
    return subtype


def cut(
    recording: Recording,
    clips: Mapping[str, int],
    n_samples: int,
    source_sha256: str,
    folder: Path,
    channel: Channel,
    tally: ChannelTally,
) -> Iterator[ManifestRow]:
    """Write clips of a recording, yielding the row of each when it is written.

    Memory holds a clip and a block of the recording, which is read to its end, since damage after the last clip counts
    too.

    Args:
        recording: The recording.
        clips: First sample of each clip, increasing, by its name relative to ``folder``.
        n_samples: Samples of a clip, all of which the recording has.
        source_sha256: Checksum of the recording.
        folder: Folder to write.
        channel: Index of a channel from 0, or ``mix``.
        tally: Takes in the levels of the whole recording.

    Raises:
        DataError: The recording is shorter than its header says, cannot be decoded or holds NaN or infinity.
    """
    # The samples come first: to find their end, zip reads what follows the last clip.
    windows = zip(_windows(recording, list(clips.values()), n_samples, channel, tally), clips.items(), strict=True)
    for samples, (name, start) in windows:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording(path, samples, recording.sample_rate, clip_subtype(recording, path.suffix))
        offset, duration = start / recording.sample_rate, n_samples / recording.sample_rate
        yield ManifestRow(name, recording.source, offset, duration, file_sha256(path), source_sha256, str(channel))


def _windows(
    recording: Recording, starts: Sequence[int], n_samples: int, channel: Channel, tally: ChannelTally
) -> Iterator[NDArray[Any]]:
    """The samples of each clip, by the first of them."""
    dtype = _SAMPLE_TYPES.get(recording.subtype, "int16")
    pending = list(reversed(starts))
    kept: NDArray[Any] = np.zeros(0, dtype)
    end = 0
    with open_audio(recording.path) as file:
        for block in blocks(recording.path, file, recording.frames, dtype):
            if np.issubdtype(block.dtype, np.floating) and not np.isfinite(block).all():
                raise not_finite(recording.path)
            mixed = _mix_down(block, channel)
            tally.add(block, mixed)
            kept, end = np.concatenate([kept, mixed]), end + len(mixed)
            while pending and pending[-1] + n_samples <= end:
                first = pending.pop() - end + len(kept)
                yield kept[first : first + n_samples]
            needed = end - pending[-1] if pending else 0
            kept = kept[len(kept) - min(max(needed, 0), len(kept)) :]


def _mix_down(block: NDArray[Any], channel: Channel) -> NDArray[Any]:
    """One channel, or the mean rounded to the samples' own format."""
    if channel != "mix" or block.shape[1] == 1:
        return mix_down(block, 0 if channel == "mix" else channel)
    mean = block.mean(axis=1, dtype=np.float64)
    return (mean if np.issubdtype(block.dtype, np.floating) else np.rint(mean)).astype(block.dtype)
