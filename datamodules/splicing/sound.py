"""Signals of a splice: the background of a clip, frames that deviate, and inserting a piece into another clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.frontend import DCASE_FRONT_END

Array = NDArray[np.float32]

FRONT_END = DCASE_FRONT_END
"""Bands and frames in which clips are compared; higher frequencies get the gain of the highest band."""

_PERCENTILE = 20
"""Anomalies of a moving machine are intermittent; a fifth of a clip is free of them."""

MOST_GAIN_DB = 12.0
"""A larger gain would amplify recording noise rather than match backgrounds."""


def background(spectrogram: Array) -> Array:
    """Level (F,) in dB that each band of a spectrogram (F, T) exceeds four fifths of the time."""
    return np.percentile(spectrogram, _PERCENTILE, axis=1).astype(np.float32)


def background_distance(first: Array, second: Array) -> Array:
    """Root mean square difference over bands of backgrounds (N, F) and (M, F): (N, M) in dB."""
    distances: Array = np.sqrt(((first[:, None] - second[None]) ** 2).mean(-1))
    return distances


def matching_gain(host: Array, donor: Array) -> Array:
    """Gain of each band (F,) in dB that turns a donor's background into its host's, at most 12 dB up or down."""
    return np.clip(host - donor, -MOST_GAIN_DB, MOST_GAIN_DB)


def equalise(waveform: Array, sample_rate: int, gain: Array) -> Array:
    """Filter a recording (samples,), with zero phase, so that each mel band of ``FRONT_END`` gets its gain (F,) in dB.

    The gain is interpolated between the bands' centres and constant beyond the outermost.
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


_REFERENCE_STEP = 3
"""Every third training frame is a neighbour; the frames between overlap with them by half."""

_LEAST_SHARE = 0.5  # Share of a stretch's frames that must deviate


class FrameDeviation:
    """Distance of frames to the nearest frame of normal training clips.

    Bands are compared relative to the background of their clip, since a splice does not transfer a donor's background
    (:func:`equalise`).

    Args:
        training: Spectrograms of at least two normal clips, each (F, T) in dB.
        percentile: A frame deviates if it is further from its nearest neighbour than this share of the training frames
            from theirs, in %.

    Attributes:
        threshold: Distance in dB beyond which a frame deviates.
    """

    def __init__(self, training: Sequence[Array], percentile: float = 99) -> None:
        of_clip = [_foreground(clip) for clip in training]
        self._neighbours = np.concatenate([frames[::_REFERENCE_STEP] for frames in of_clip])
        owner = np.repeat(np.arange(len(of_clip)), [len(frames[::_REFERENCE_STEP]) for frames in of_clip])
        normal = [_distance(frames, self._neighbours[owner != i]) for i, frames in enumerate(of_clip)]
        self.threshold = float(np.percentile(np.concatenate(normal), percentile))

    def __call__(self, spectrogram: Array) -> Array:
        """Distance of each frame of (F, T), root mean square over bands: (T,) in dB."""
        return _distance(_foreground(spectrogram), self._neighbours)


def most_deviating(distance: Array, threshold: float, lengths: Sequence[int]) -> list[int] | None:
    """First frames of the stretches of a clip that deviate most, without overlap.

    Args:
        distance: Distance of each frame, (T,).
        threshold: Distance beyond which a frame deviates.
        lengths: Length of each stretch in frames; the longest is placed first.

    Returns:
        One per length; None if less than half the frames of one deviate.

    Example:
        >>> most_deviating(np.float32([0, 0, 3, 9, 9, 0, 4, 0]), threshold=2, lengths=[1, 2])
        [6, 3]
        >>> most_deviating(np.float32([0, 0, 3, 9, 9, 0, 4, 0]), threshold=2, lengths=[5, 2]) is None
        True
    """
    free = np.ones(len(distance), dtype=bool)
    starts = [0] * len(lengths)
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        window = np.ones(lengths[i]) / lengths[i]
        if len(window) > len(distance):
            return None
        eligible = np.convolve(distance > threshold, window, "valid") >= _LEAST_SHARE
        eligible &= np.convolve(free, window, "valid") > 1 - 0.5 / lengths[i]
        if not eligible.any():
            return None
        mean = np.where(eligible, np.convolve(distance, window, "valid"), -np.inf)
        starts[i] = int(mean.argmax())
        free[starts[i] : starts[i] + lengths[i]] = False
    return starts


def _foreground(spectrogram: Array) -> Array:
    """Frames (T, F) in dB above the clip's background."""
    return np.ascontiguousarray((spectrogram - background(spectrogram)[:, None]).T)


def _distance(frames: Array, neighbours: Array) -> NDArray[np.float32]:
    """Root mean square distance of (N, F) to the nearest of (M, F): (N,)."""
    squared = (neighbours**2).sum(1) - 2 * frames @ neighbours.T
    nearest = (frames**2).sum(1) + squared.min(1)
    distances: NDArray[np.float32] = np.sqrt(np.maximum(nearest, 0) / frames.shape[1])
    return distances


def insert(host: Array, piece: Array, start: int, fade: int) -> Array:
    """Replace samples of a host (samples,) from ``start`` on by a piece (length,), cross-faded inside the piece.

    The weights, sine and cosine, preserve the power of uncorrelated sounds. There is no fade of ``fade`` samples where
    the piece begins or ends together with the host.

    Example:
        >>> insert(np.ones(6), np.full(4, 3.0), start=2, fade=2).round(3).tolist()
        [1.0, 1.0, 2.072, 3.154, 3.0, 3.0]
    """
    end = start + len(piece)
    rising = np.sin(np.pi / 2 * (np.arange(fade) + 0.5) / fade)
    weight, host_weight = np.ones(len(piece)), np.zeros(len(piece))
    if start > 0:
        weight[:fade], host_weight[:fade] = rising, rising[::-1]
    if end < len(host):
        weight[-fade:], host_weight[-fade:] = rising[::-1], rising
    result = host.copy()
    result[start:end] = weight * piece + host_weight * host[start:end]
    return result
