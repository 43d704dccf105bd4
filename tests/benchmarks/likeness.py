"""How like the real planer a spectrogram is: what can be measured on a recorded and on a simulated one alike.

Spectrograms are log-mel power of the planer's front end, (80, T) in dB at 40 frames a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from datamodules.errors import DataError
from datamodules.simulator.anomalies import broken_board
from datamodules.simulator.courses import steady_course
from datamodules.simulator.machine import Setting, sound
from datamodules.simulator.render import Array

FRAME_HZ = 40
PULSES_HZ = (2.7, 5.4)  # the feed rollers' cycle and its octave
MEAN_TOLERANCE_DB, SPREAD_TOLERANCE_DB = 3.0, 2.0

_BREAKING_SECONDS = (0, 7)  # the published broken board comes to pieces from the first frame on
_UPPER_BANDS = slice(46, 80)  # where nothing but bursts is loud
_CUTTER_BANDS = slice(33, 46)  # where the cutters' line goes
_PULSE_RANGE_HZ, _FLOOR_RANGE_HZ = 0.6, 1.5


@dataclass(frozen=True)
class BrokenBoard:
    """What a broken board does to a spectrogram.

    Attributes:
        burst_frames: Length of each burst.
        excess_db: How far the bursts stand above the pauses in the upper bands.
        lowest_band: Where the cutters' line is at its lowest.
        last_band: Where it is when the machine runs empty, in the last two seconds.
        quieter_db: How much quieter the machine is then than in normal running, mean over the bands.
    """

    burst_frames: tuple[int, ...]
    excess_db: float
    lowest_band: int
    last_band: int
    quieter_db: float


def reference_clip(seed: int, duration: int = 10, broken: bool = False) -> Array:
    """Samples of the simulated planer in the setting of the published examples: no drift of days, no passing forklift.

    Args:
        seed: Draws everything that differs between two such clips.
        duration: Seconds.
        broken: Whether a board breaks as in the published example.

    Returns:
        (duration * 20000,) float32.
    """
    rng = np.random.default_rng(seed)
    course = steady_course(duration, rng)
    if broken:
        broken_board(course, [_BREAKING_SECONDS], 1.0, rng)
    return sound(course, Setting(), rng)


def bands_alike(spectrogram: Array, reference: Array) -> tuple[int, int]:
    """Bands whose mean is within 3 dB, and whose standard deviation over time is within 2 dB, of the reference's.

    Example:
        >>> import numpy as np
        >>> steady = np.zeros((80, 400))
        >>> bands_alike(steady, np.linspace(0, 7.9, 80)[:, None] + steady)
        (30, 80)
    """
    mean = np.abs(spectrogram.mean(axis=1) - reference.mean(axis=1))
    spread = np.abs(spectrogram.std(axis=1) - reference.std(axis=1))
    return int((mean < MEAN_TOLERANCE_DB).sum()), int((spread < SPREAD_TOLERANCE_DB).sum())


def modulation_spectrum(spectrogram: Array) -> tuple[Array, Array]:
    """Fluctuation of the bands' levels: frequencies, Hz, and mean power over the bands, dB; each (T // 2 + 1,)."""
    level = spectrogram - spectrogram.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(level * np.hanning(level.shape[1]))) ** 2
    return np.fft.rfftfreq(level.shape[1], 1 / FRAME_HZ), 10 * np.log10(power.mean(axis=0) + 1e-12)


def modulation_peak(spectrogram: Array, near_hz: float) -> tuple[float, float]:
    """The strongest modulation within 0.6 Hz of a rate: its rate, Hz, and height above the median around it, dB."""
    hz, power = modulation_spectrum(spectrogram)
    near = np.flatnonzero(np.abs(hz - near_hz) <= _PULSE_RANGE_HZ)
    peak = near[power[near].argmax()]
    floor = np.median(power[np.abs(hz - near_hz) <= _FLOOR_RANGE_HZ])
    return float(hz[peak]), float(power[peak] - floor)


def measure_broken_board(spectrogram: Array, normal: Array) -> BrokenBoard:
    """Measure a clip in which a board breaks and the machine runs empty in the last two seconds.

    Args:
        spectrogram: The clip, (80, T).
        normal: Normal running in the same setting, (80, T').

    Raises:
        DataError: There are no bursts with pauses between them.
    """
    upper = spectrogram[_UPPER_BANDS].mean(axis=0)
    # Half-way between pauses and bursts; pieces may fill nearly all of the clip or little of it.
    loud = upper > (np.percentile(upper, 3) + np.percentile(upper, 97)) / 2
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(int)))
    last_burst = edges[-1] if edges.size else 0
    pauses = ~loud[:last_burst]
    if not pauses.any():
        raise DataError("no bursts with pauses between them stand out in the upper bands, as a broken board's do")
    excess = upper[:last_burst][~pauses].mean() - upper[:last_burst][pauses].mean()
    line = cutter_line(spectrogram)
    empty = spectrogram[:, -2 * FRAME_HZ :].mean(axis=1)
    return BrokenBoard(
        burst_frames=tuple(int(frames) for frames in edges[1::2] - edges[::2]),
        excess_db=float(excess),
        lowest_band=int(line.min()),
        last_band=int(np.median(line[-2 * FRAME_HZ :])),
        quieter_db=float((normal.mean(axis=1) - empty).mean()),
    )


def cutter_line(spectrogram: Array) -> Array:
    """Band of the cutters' strongest line in each frame, smoothed over half a second; shape (T,)."""
    bands = spectrogram[_CUTTER_BANDS]
    # Bursts are loud in all bands at once: what stands above them is the line.
    bands = ndimage.uniform_filter1d(bands - bands.mean(axis=0), 5, axis=1)
    return ndimage.median_filter(bands.argmax(axis=0) + _CUTTER_BANDS.start, FRAME_HZ // 2, mode="nearest")
