"""A clip's background: what sounds all the time, and a filter that gives a donor the background of its host."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from datamodules.frontend import DCASE_FRONT_END

Array = NDArray[np.float32]

FRONT_END = DCASE_FRONT_END
"""Bands and frames in which clips are compared; what is above its highest band goes with that band."""

_PERCENTILE = 20
"""Anomalies of a machine that moves come in strokes; a fifth of a clip is free of them."""

MOST_GAIN_DB = 12.0
"""Beyond this a filter would lift recording noise rather than match backgrounds."""


def background(spectrogram: Array) -> Array:
    """Level of each band that is exceeded four fifths of the time.

    Args:
        spectrogram: (F, T) in dB.

    Returns:
        (F,) in dB.
    """
    return np.percentile(spectrogram, _PERCENTILE, axis=1).astype(np.float32)


def background_distance(first: Array, second: Array) -> Array:
    """Root mean square difference of backgrounds over bands, dB.

    Args:
        first: (N, F) in dB.
        second: (M, F) in dB.

    Returns:
        (N, M) in dB.
    """
    distances: Array = np.sqrt(((first[:, None] - second[None]) ** 2).mean(-1))
    return distances


def matching_gain(host: Array, donor: Array) -> Array:
    """Gain of each band (F,) in dB that brings a donor's background to its host's, at most 12 dB either way."""
    return np.clip(host - donor, -MOST_GAIN_DB, MOST_GAIN_DB)


def equalise(waveform: Array, sample_rate: int, gain: Array) -> Array:
    """Filter a recording, with zero phase, so that each band is amplified by its gain.

    Between the bands' centres the gain is interpolated, beyond the outermost it stays.

    Args:
        waveform: (samples,).
        sample_rate: Its rate in Hz.
        gain: (F,) in dB, at the mel bands of ``FRONT_END``.

    Returns:
        (samples,) float32.
    """
    frequencies = np.fft.rfftfreq(len(waveform), 1 / sample_rate)
    amplitude = 10 ** (np.interp(frequencies, _band_centres(len(gain)), gain) / 20)
    filtered = np.fft.irfft(np.fft.rfft(waveform) * amplitude, len(waveform))
    return filtered.astype(np.float32)


def _band_centres(n_bands: int) -> NDArray[np.float64]:
    """Centres in Hz of mel bands from 0 Hz to half the front end's rate (HTK scale)."""
    highest = 2595 * np.log10(1 + FRONT_END.sample_rate / 2 / 700)
    centres: NDArray[np.float64] = 700 * (10 ** (np.linspace(0, highest, n_bands + 2)[1:-1] / 2595) - 1)
    return centres
