"""Which frames of a clip deviate from everything that the training clips hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.splicing.background import Array, background

_REFERENCE_STEP = 3
"""Every third training frame is a neighbour: the frames between are half the same sound."""

_NORMAL_PERCENTILE = 99
"""A frame deviates if it is further from its neighbours than all but 1 % of the training frames are from theirs."""

_LEAST_SHARE = 0.5
"""Share of a stretch's frames that must deviate."""


class FrameDeviation:
    """Distance of frames to the nearest frame of normal training clips, above each clip's own background.

    A frame is compared by how far its bands stand above the background of its clip, since a donor's background is
    not what reaches the host (:func:`~datamodules.splicing.background.equalise`).

    Args:
        training: Spectrograms of at least two normal clips, each (F, T) in dB.

    Attributes:
        threshold: Distance in dB beyond which a frame deviates.
    """

    def __init__(self, training: Sequence[Array]) -> None:
        of_clip = [_foreground(clip) for clip in training]
        self._neighbours = np.concatenate([frames[::_REFERENCE_STEP] for frames in of_clip])
        owner = np.repeat(np.arange(len(of_clip)), [len(frames[::_REFERENCE_STEP]) for frames in of_clip])
        normal = [_distance(frames, self._neighbours[owner != i]) for i, frames in enumerate(of_clip)]
        self.threshold = float(np.percentile(np.concatenate(normal), _NORMAL_PERCENTILE))

    def __call__(self, spectrogram: Array) -> Array:
        """Distance of each frame of (F, T), root mean square over bands: (T,) in dB."""
        return _distance(_foreground(spectrogram), self._neighbours)


def most_deviating(distance: Array, threshold: float, lengths: Sequence[int]) -> list[int] | None:
    """Find the stretches of a clip that deviate most, without overlap.

    Args:
        distance: Distance of each frame, (T,).
        threshold: Distance beyond which a frame deviates.
        lengths: Length of each stretch in frames; the longest is looked for first.

    Returns:
        First frame of each stretch, in the order of ``lengths``; None unless each has half its frames deviating.

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
