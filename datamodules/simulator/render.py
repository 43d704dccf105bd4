"""From control tracks to samples: band-shaped noise by overlap-add, tones by oscillators.

Levels are in the dB of the planer's log-mel front end (80 HTK mel bands from 0 to 10 kHz, Hann window of 50 ms, power
spectrum), so that a level here is the level in a spectrogram. Tracks have `CONTROL_HZ` values per second, one per
`HOP` samples.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import fft

SAMPLE_RATE = 20_000  # Hz
HOP = 250  # samples: two control values per front-end frame
CONTROL_HZ = SAMPLE_RATE // HOP
N_BANDS = 80

_WINDOW = 2 * HOP
_FRONT_END_FFT = 1000
_HANN_SUM, _HANN_POWER = 500.0, 375.0  # sum of the front end's window, and of its square

Array = npt.NDArray[np.floating]


class Tone(NamedTuple):
    """A rotating part: frequency (C,) of the fundamental in Hz, and levels (H, C) in dB of it and its harmonics."""

    hz: Array
    level: Array


def band_centres() -> Array:
    """Centre frequencies of the front end's mel bands, shape (80,), Hz."""
    return _mel_points()[1:-1].astype(np.float32)


def noise(level: Array, rng: np.random.Generator) -> Array:
    """Gaussian noise ((C - 1) * HOP,) whose mel bands have expected levels (C, 80) in dB."""
    below, above, share = _bin_neighbours()
    density = _amplitude(level - 10 * np.log10(_band_areas()))
    gain = density[:, below] * (1 - share) + density[:, above] * share
    gain *= np.float32(np.sqrt(_WINDOW / 2 / _HANN_POWER))
    spectrum = rng.standard_normal((*gain.shape, 2), dtype=np.float32).view(np.complex64)[..., 0] * gain
    frames = fft.irfft(spectrum, n=_WINDOW, axis=1) * _sine_window()
    return (frames[:-1, HOP:] + frames[1:, :HOP]).ravel()


def tones(parts: list[Tone], rng: np.random.Generator) -> Array:
    """Sum of the parts' harmonics, each part starting at a random phase; shape ((C - 1) * HOP,)."""
    total = np.zeros((parts[0].hz.size - 1, HOP), dtype=np.float32)
    for part in parts:
        phase = _phase(part.hz, rng.random())
        # sin((n + 1) x) = 2 cos(x) sin(n x) - sin((n - 1) x) spares the sines of all harmonics but the first.
        lower, harmonic = np.zeros_like(phase[:1]), np.sin(phase)
        twice_cosine = 2 * np.cos(phase) if len(part.level) > 1 else lower
        for level in part.level:
            total += _samples(_amplitude(level) * np.float32(2 / _HANN_SUM)) * harmonic
            lower, harmonic = harmonic, twice_cosine * harmonic - lower
    return total.ravel()


def _phase(hz: Array, start: float) -> Array:
    """Phase of a tone whose frequency follows a track (C,), rad, shape (C - 1, HOP); `start` is in cycles."""
    # Whole steps are summed in double precision and wrapped; within a step the frequency is a straight line.
    steps = np.cumsum((hz[:-1].astype(np.float64) + hz[1:]) / 2 / CONTROL_HZ)
    begin = ((start + np.concatenate(([0.0], steps[:-1]))) % 1).astype(np.float32)[:, None]
    ramp = np.arange(HOP, dtype=np.float32) / HOP
    hz_begin, climb = hz[:-1, None].astype(np.float32), np.diff(hz).astype(np.float32)[:, None]
    cycles = begin + (hz_begin + climb / 2 * ramp) * (ramp / CONTROL_HZ)
    cycles -= np.floor(cycles)
    return cycles * np.float32(2 * np.pi)


def _samples(track: Array) -> Array:
    """Linear interpolation of a control track (C,) to samples (C - 1, HOP)."""
    ramp = np.arange(HOP, dtype=np.float32) / HOP
    return track[:-1, None] + np.diff(track)[:, None] * ramp


def _amplitude(level: Array) -> Array:
    return np.exp(level * np.float32(np.log(10) / 20)).astype(np.float32, copy=False)


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
