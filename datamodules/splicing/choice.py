"""Which clips become hosts and donors, and which pieces go where."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy  # imports its parts when they are first used
from numpy.typing import NDArray

from datamodules.audio import cancelled, read_sound
from datamodules.errors import DataError
from datamodules.files import left_out_text
from datamodules.frontend import LogMelFrontEnd
from datamodules.layouts import Clip, Layout, scan_audio_folder, scan_dcase
from datamodules.progress import track_clips
from datamodules.splicing.sound import (
    FRONT_END,
    Array,
    FrameDeviation,
    background,
    background_distance,
    matching_gain,
    most_deviating,
)

SHORTEST_SECONDS = 4
"""Two pieces of a second with a second between them."""

_LONGEST_PIECE = 3  # s

Interval = tuple[int, int]


class Pools(NamedTuple):
    """Disjoint pools of normal test clips: those that stay, hosts, and hosts and donors of the control."""

    normal: tuple[Clip, ...]
    hosts: tuple[Clip, ...]
    control_hosts: tuple[Clip, ...]
    control_donors: tuple[Clip, ...]


def draw_pools(normal: Sequence[Clip], clips: int, rng: np.random.Generator) -> Pools:
    """Draw pools: `clips` for each kind of host, half of the rest for the donors; raises if there are too few."""
    if len(normal) < 4 * clips:
        raise DataError(
            f"clips={clips} needs {4 * clips} normal test clips (two kinds of hosts, donors, and unchanged ones), and "
            f"there are {len(normal)}; ask for at most {len(normal) // 4}"
        )
    order = rng.permutation(len(normal))
    rest = np.array_split(order[2 * clips :], 2)
    parts = (rest[0], order[:clips], order[clips : 2 * clips], rest[1])
    return Pools(*(tuple(normal[i] for i in sorted(part.tolist())) for part in parts))


def draw_intervals(seconds: int, rng: np.random.Generator) -> list[Interval]:
    """Draw one or two pieces of one to three whole seconds, at least a second apart, on a circular clip.

    A piece that crosses the end continues at the start as another interval. Every second of a clip is therefore equally
    likely to be inside, and a curve that always peaks at the same time agrees with the intervals only by chance.
    """
    longest = min(_LONGEST_PIECE, seconds // 3)
    first, second = rng.integers(1, longest, size=2, endpoint=True).tolist()
    inside = np.zeros(seconds, dtype=int)
    inside[:first] = 1
    if rng.integers(1, 2, endpoint=True) == 2:
        gap = rng.integers(1, seconds - first - second - 1, endpoint=True)
        inside[first + gap : first + gap + second] = 1
    inside = np.roll(inside, rng.integers(seconds))
    changes = np.flatnonzero(np.diff(inside, prepend=0, append=0)).tolist()
    return list(zip(changes[::2], changes[1::2], strict=True))


def pair(distance: Array, usable: NDArray[np.bool_]) -> list[int] | None:
    """Give each of N hosts its own of M donors, with the smallest sum of distances (N, M); None if too few are usable.

    Example:
        >>> pair(np.float32([[1, 2], [1, 9]]), np.array([[True, True], [True, True]]))
        [1, 0]
    """
    try:
        _, donors = scipy.optimize.linear_sum_assignment(np.where(usable, distance, np.inf))
    except ValueError:  # raised by SciPy if no assignment is finite
        return None
    return donors.tolist() if len(donors) == len(distance) else None


@dataclass(frozen=True, eq=False)
class Recording:
    """A clip with its spectrogram (F, T) and background (F,) in dB, for the bands and frames of ``FRONT_END``."""

    clip: Clip
    spectrogram: Array
    background: Array
    samples: int
    sample_rate: int


def scan(source: Path, machine: str | None, section: str | None) -> Layout:
    """List the clips of one machine of DCASE data, or of an audio folder if no machine is named."""
    if section is not None and machine is None:
        raise DataError(f"--section {section} is one of a machine of DCASE data; name it with --machine")
    try:
        layout = scan_audio_folder(source) if machine is None else scan_dcase(source, machine, section)
        layout.test  # noqa: B018  raises if there is nothing to splice
    except DataError as error:
        hint = "; name a machine if this is DCASE data" if machine is None and source.is_dir() else ""
        raise DataError(f"{error}{hint}") from None
    if layout.left_out:
        warnings.warn(left_out_text(layout.left_out), stacklevel=2)
    return layout


def read_recordings(clips: Sequence[Clip], description: str) -> list[Recording]:
    """Read clips, with a progress bar; raises a DataError for one that is too short."""
    front_end = LogMelFrontEnd(FRONT_END)
    recordings, infos = [], {}
    for clip in track_clips(clips, description, len(clips)):
        waveform, infos[clip.path] = read_sound(clip.path)
        sample_rate = infos[clip.path].sample_rate
        if len(waveform) < FRONT_END.window * sample_rate:
            raise DataError(f"{clip.path} lasts less than {FRONT_END.window} s; move it out of the data set")
        spectrogram = front_end(waveform, sample_rate).numpy()
        recordings.append(Recording(clip, spectrogram, background(spectrogram), len(waveform), sample_rate))
    if text := cancelled(infos):
        warnings.warn(text.partition("; channel=")[0] + "; splice recordings of one channel", stacklevel=2)
    return recordings


def common_rate(recordings: Sequence[Recording]) -> int:
    """The sample rate of recordings in Hz; raises a DataError if they differ."""
    first = recordings[0]
    for other in recordings:
        if other.sample_rate != first.sample_rate:
            raise DataError(
                f"{other.clip.path} has a sample rate of {other.sample_rate} Hz and {first.clip.path} one of "
                f"{first.sample_rate} Hz; convert them to one rate before splicing"
            )
    return first.sample_rate


class Piece(NamedTuple):
    """A piece of a donor and the samples of the host that it replaces, from ``start`` up to ``end``."""

    start: int
    end: int
    donor_start: int


@dataclass(frozen=True, eq=False)
class Splice:
    """A clip to make; ``gain`` (F,) gives the donor the host's background, and the difference is in dB."""

    host: Clip
    donor: Clip
    pieces: tuple[Piece, ...]
    gain: Array
    background_difference: float


def choose_anomalies(
    hosts: Sequence[Recording],
    donors: Sequence[Recording],
    intervals: Sequence[Sequence[Interval]],
    deviation: FrameDeviation,
) -> list[Splice]:
    """Choose for each host an anomalous clip with a similar background, and its most deviating stretches."""
    curves = [deviation(donor.spectrogram) for donor in donors]
    # one frame more, so that a stretch of the last frames is not longer than the recording
    lengths = [
        [math.ceil((end - start) * FRONT_END.frames_per_second) + 1 for start, end in of_host] for of_host in intervals
    ]
    starts = [[most_deviating(curve, deviation.threshold, of_host) for curve in curves] for of_host in lengths]
    usable = np.array([[found is not None for found in of_host] for of_host in starts])
    distance = _distance(hosts, donors)
    chosen = pair(distance, usable)
    if chosen is None:
        n_usable = int(usable.any(axis=0).sum())
        raise DataError(
            f"clips={len(hosts)} needs as many anomalous clips with stretches of up to three seconds that deviate from "
            f"the training clips, and {n_usable} of {len(donors)} have any; "
            + ("ask for fewer, or lower percentile" if n_usable else "none deviates enough; lower percentile")
        )
    hop = FRONT_END.hop_length / FRONT_END.sample_rate
    return [
        _splice(hosts[i], donors[j], intervals[i], [hop * start for start in starts[i][j] or ()], distance[i, j])
        for i, j in enumerate(chosen)
    ]


def choose_controls(
    hosts: Sequence[Recording],
    donors: Sequence[Recording],
    intervals: Sequence[Sequence[Interval]],
    rng: np.random.Generator,
) -> list[Splice]:
    """Choose for each host a normal clip with a similar background, and pieces of it at random."""
    distance = _distance(hosts, donors)
    chosen = pair(distance, np.ones(distance.shape, dtype=bool))
    assert chosen is not None, "there are as many donors as hosts"
    splices = []
    for i, j in enumerate(chosen):
        seconds = donors[j].samples / donors[j].sample_rate
        starts = [rng.uniform(0, seconds - (end - start)) for start, end in intervals[i]]
        splices.append(_splice(hosts[i], donors[j], intervals[i], starts, distance[i, j]))
    return splices


def _distance(hosts: Sequence[Recording], donors: Sequence[Recording]) -> Array:
    backgrounds = (np.stack([recording.background for recording in of]) for of in (hosts, donors))
    return background_distance(*backgrounds)


def _splice(
    host: Recording, donor: Recording, intervals: Sequence[Interval], donor_seconds: Sequence[float], distance: float
) -> Splice:
    """Turn intervals of the host and starts in the donor, both in seconds, into pieces in samples."""
    rate = host.sample_rate
    pieces = [
        # resampling may have rounded the length
        Piece(start * rate, end * rate, min(round(second * rate), donor.samples - (end - start) * rate))
        for (start, end), second in zip(intervals, donor_seconds, strict=True)
    ]
    gain = matching_gain(host.background, donor.background)
    return Splice(host.clip, donor.clip, tuple(pieces), gain, float(distance))
