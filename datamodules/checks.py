"""Warnings about the clips of a stage, before anything is computed; each is empty if there is nothing to warn about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.annotations import frame_mask
from datamodules.batch import SpectrogramDataset
from datamodules.errors import DataError
from datamodules.layouts import Clip
from datamodules.recordings.windows import LEFT_OUT_S

_FAR_FROM_ZERO_DB = 6.0  # The planer's mean level is about -3 dB


def require_sound(clips: SpectrogramDataset, root: Path) -> None:
    """Raise a DataError if no training clip has any sound."""
    if len(clips.unchanging) == len(clips):
        raise DataError(f"all {len(clips)} training clips are silent (they never change); check the files in {root}")


def silence_warning(kind: str, clips: SpectrogramDataset) -> str:
    """Clips without sound, of kind "training clips", "test clips" or "windows of recordings"."""
    silent = clips.unchanging
    if not silent:
        return ""
    learnt = "a model learns that silence is normal; check these clips"
    consequence = learnt if kind == "training clips" else "their scores say nothing about the machine"
    return f"silent {kind} (they never change): {len(silent)} of {len(clips)}, such as {silent[0].name}; {consequence}"


def one_class_warning(clips: Sequence[Clip]) -> str:
    """Test clips of one class only, for which there is no AUC."""
    labels = {clip.label for clip in clips}
    if len(labels) != 1:
        return ""
    missing = "anomalous" if labels == {0} else "normal"
    return f"the test set has no {missing} clips: AUC and partial AUC are undefined"


def few_clips_warning(clips: int, batch_size: int) -> str:
    """Fewer training clips than the batch size."""
    if clips >= batch_size:
        return ""
    return f"the {clips} training clips are fewer than batch_size={batch_size}: an epoch is one step"


def level_warning(clips: SpectrogramDataset, reference_level: float) -> str:
    """A mean level of the training clips far from 0, the value of hidden patches."""
    level = clips.mean_level()
    if abs(level) <= _FAR_FROM_ZERO_DB:
        return ""
    return (
        f"the mean level of the training clips is {level:.1f} dB, but hidden patches and padding are 0; "
        f"reference_level={level + reference_level:.0f} makes the mean 0"
    )


def length_warning(kind: str, seconds: Mapping[str, float], n_frames: int, frames_per_second: float) -> str:
    """Parts of clips, whose lengths are given by name in s, that are left out because they are after ``n_frames``."""
    clip_seconds = n_frames / frames_per_second
    longer = {name: length for name, length in seconds.items() if length > clip_seconds + LEFT_OUT_S}
    if not longer:
        return ""
    left_out = sum(longer.values()) - len(longer) * clip_seconds
    return (
        f"{len(longer)} of {len(seconds)} {kind} are longer than the {clip_seconds:g} s of n_frames={n_frames}: "
        f"{left_out:.1f} of {sum(seconds.values()):.1f} s of audio are left out; slice the recordings into clips first"
    )


def shorter_recordings(shorter: Mapping[str, float], n_recordings: int, n_frames: int, frames_per_second: float) -> str:
    """Recordings, whose lengths are given by name in s, that are shorter than a window and cannot be scored."""
    if not shorter:
        return ""
    window = f"{n_frames / frames_per_second:g} s of a window (n_frames={n_frames})"
    if len(shorter) == n_recordings:
        longest = max(shorter, key=shorter.__getitem__)
        return f"no recording is as long as the {window}; the longest, {longest}, has {shorter[longest]:.1f} s"
    name = min(shorter, key=shorter.__getitem__)
    return (
        f"{len(shorter)} of {n_recordings} recordings are shorter than the {window} and are left out, such as {name} "
        f"with {shorter[name]:.1f} s"
    )


def late_intervals_warning(clips: Sequence[Clip], source: Path, n_frames: int, frames_per_second: float) -> str:
    """Annotated intervals after the frames that are used."""
    intervals = [interval for clip in clips for interval in clip.intervals]
    late = sum(not frame_mask([interval], n_frames, frames_per_second).any() for interval in intervals)
    if not late:
        return ""
    return (
        f"{late} of {len(intervals)} intervals in {source} begin after the {n_frames} frames of a clip that are used "
        "(n_frames) and don't count"
    )
