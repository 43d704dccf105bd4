"""The choice of donors and of the pieces that are cut from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.errors import DataError
from datamodules.layouts import Clip
from datamodules.splicing.background import FRONT_END, Array, background_distance, matching_gain
from datamodules.splicing.deviation import FrameDeviation, most_deviating
from datamodules.splicing.plan import Interval, pair
from datamodules.splicing.recordings import Recording


@dataclass(frozen=True)
class Piece:
    """What is cut and where it goes, in samples.

    Attributes:
        start: First sample of the host that it replaces.
        end: The first behind it.
        donor_start: First sample of the donor that is cut.
    """

    start: int
    end: int
    donor_start: int


@dataclass(frozen=True, eq=False)
class Splice:
    """A clip to make.

    Attributes:
        host: What pieces are put into.
        donor: What they are cut from.
        pieces: The pieces, in the order of the host.
        gain: Gain of each band (F,) in dB that gives the donor the host's background.
        background_difference: Between the two backgrounds before that, root mean square over bands, dB.
    """

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
    """Choose for each host an anomalous clip with a background like its own, and that clip's most deviating stretches.

    Raises:
        DataError: Too few anomalous clips have stretches that deviate.
    """
    curves = [deviation(donor.spectrogram) for donor in donors]
    # A frame more, so that a stretch of the last frames is no longer than the recording.
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
            f"--clips {len(hosts)} needs as many anomalous clips with stretches of up to three seconds that deviate "
            f"from the training clips; of {len(donors)} anomalous clips {n_usable} have any; "
            + ("ask for fewer" if n_usable else "none deviates enough to be spliced")
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
    """Choose for each host a normal clip with a background like its own, and pieces of it at random.

    Args:
        hosts: N normal clips.
        donors: At least N other normal clips.
        intervals: Where the pieces go, in seconds, for each host.
        rng: Random numbers.
    """
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
        # Resampling may have rounded the length that the start was chosen by.
        Piece(start * rate, end * rate, min(round(second * rate), donor.samples - (end - start) * rate))
        for (start, end), second in zip(intervals, donor_seconds, strict=True)
    ]
    gain = matching_gain(host.background, donor.background)
    return Splice(host.clip, donor.clip, tuple(pieces), gain, float(distance))
