"""From control tracks to samples: band-shaped noise by overlap-add, tones by oscillators.

Levels are spoken in the dB that the planer's log-mel front end reads (80 HTK mel bands from 0 to
10 kHz, Hann window of 50 ms, power spectrum), so that a level written here is the level seen in a
spectrogram. Tracks run at `CONTROL_HZ`; one value of a track stands for `HOP` samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import fft

SAMPLE_RATE = 20_000  # Hz
HOP = 250  # samples: two control values a front-end frame
CONTROL_HZ = SAMPLE_RATE // HOP
N_BANDS = 80

_WINDOW = 2 * HOP
_FRONT_END_FFT = 1000
_HANN_SUM, _HANN_POWER = 500.0, 375.0  # sum of the front end's window, and of its square

Array = npt.NDArray[np.floating]


@dataclass
class Tone:
    """A rotating part: a fundamental with its harmonics.

    Attributes:
        hz: Frequency of the fundamental, shape (C,), Hz.
        level: Level of each harmonic, shape (H, C), dB as the front end reads a line.
    """

    hz: Array
    level: Array


def band_centres() -> Array:
    """Centre frequencies of the front end's mel bands, shape (80,), Hz."""
    return _mel_points()[1:-1].astype(np.float32)


def noise(level: Array, rng: np.random.Generator) -> Array:
    """Gaussian noise whose mel bands follow a level track.

    Args:
        level: Expected band level, shape (C, 80), dB.
        rng: Source of the noise.

    Returns:
        Samples, shape ((C - 1) * HOP,).
    """
    below, above, share = _bin_neighbours()
    density = level - 10 * np.log10(_band_areas())
    density = density[:, below] * (1 - share) + density[:, above] * share
    gain = np.exp(density * np.float32(np.log(10) / 20)) * np.float32(np.sqrt(_WINDOW / 2 / _HANN_POWER))
    spectrum = rng.standard_normal((*gain.shape, 2), dtype=np.float32).view(np.complex64)[..., 0] * gain
    frames = fft.irfft(spectrum, n=_WINDOW, axis=1) * _sine_window()
    return (frames[:-1, HOP:] + frames[1:, :HOP]).ravel()


def tones(parts: list[Tone], rng: np.random.Generator) -> Array:
    """Sum of the parts' harmonics, each part starting at a random phase; shape ((C - 1) * HOP,)."""
    total = np.zeros((parts[0].hz.size - 1) * HOP, dtype=np.float32)
    for part in parts:
        cycles = np.cumsum(_to_samples(part.hz).astype(np.float64)) / SAMPLE_RATE + rng.random()
        phase = (2 * np.pi * (cycles % 1)).astype(np.float32)
        turn = np.cos(phase) + 1j * np.sin(phase)
        harmonic = turn.copy()
        for level in part.level:
            amplitude = np.exp(level * np.float32(np.log(10) / 20)) * np.float32(2 / _HANN_SUM)
            total += _to_samples(amplitude) * harmonic.imag
            harmonic *= turn
    return total


def _to_samples(track: Array) -> Array:
    """Linear interpolation of a control track (C,) to ((C - 1) * HOP,) samples."""
    ramp = np.arange(HOP, dtype=np.float32) / HOP
    return (track[:-1, None] + np.diff(track)[:, None] * ramp).ravel()


@cache
def _mel_points() -> npt.NDArray[np.float64]:
    """Corners of the 80 triangular bands, Hz."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    return 700 * (10 ** (np.linspace(0, top, N_BANDS + 2) / 2595) - 1)


@cache
def _band_areas() -> Array:
    """Area of each band's triangle, front-end FFT bins: its gain for white noise."""
    corners = _mel_points()
    return ((corners[2:] - corners[:-2]) / 2 / (SAMPLE_RATE / _FRONT_END_FFT)).astype(np.float32)


@cache
def _bin_neighbours() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """For each bin of the synthesis FFT the bands below and above it, and the share of the one above."""
    bins = np.arange(_WINDOW // 2 + 1) * SAMPLE_RATE / _WINDOW
    place = np.interp(bins, band_centres(), np.arange(N_BANDS))
    below = np.minimum(place.astype(np.int64), N_BANDS - 2)
    return below, below + 1, (place - below).astype(np.float32)


@cache
def _sine_window() -> Array:
    return np.sin(np.pi * (np.arange(_WINDOW) + 0.5) / _WINDOW).astype(np.float32)
