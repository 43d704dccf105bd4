"""Of the events of a recording: which windows count, which bands carry one, and how alike two are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CARRIED_SHARE = 0.5
"""Share of an event's error that the bands carry which are named for it."""


def persistent(exceeds: ArrayLike, needed: int, of: int) -> NDArray[np.bool_]:
    """Windows above the threshold that are not alone.

    Only windows above the threshold are flagged, so asking for more of them never raises the false-alarm rate.

    Args:
        exceeds: Windows above the threshold, in the order of time, bool (N,).
        needed: How many windows above the threshold are asked for, k.
        of: Among how many consecutive windows, n ≥ k; fewer at the ends of a recording.

    Returns:
        The windows above the threshold that lie in n consecutive windows with at least k above it, bool (N,).

    Example:
        >>> persistent([True, False, True, False, False, True], needed=2, of=3)
        array([ True, False,  True, False, False, False])
    """
    exceeds = np.asarray(exceeds, dtype=bool)
    before = np.concatenate([[0], np.cumsum(exceeds)])
    starts = np.arange(1 - of, len(exceeds))
    first, after = starts.clip(0), (starts + of).clip(0, len(exceeds))
    has_enough = before[after] - before[first] >= needed
    # The n stretches that contain window i begin at i - n + 1, …, i.
    enough_before = np.concatenate([[0], np.cumsum(has_enough)])
    windows = np.arange(len(exceeds))
    return exceeds & (enough_before[windows + of] > enough_before[windows])


def carrying_bands(spectrum: ArrayLike, share: float = CARRIED_SHARE) -> tuple[int, int]:
    """The fewest neighbouring bands that carry a share of an error spectrum.

    Args:
        spectrum: Error of each band, at least 0, (F,).
        share: Their share of its sum.

    Returns:
        The first of the bands, and the first one after them; of equally few, those that carry most.

    Example:
        >>> carrying_bands([1.0, 0.0, 4.0, 3.0, 1.0], share=0.75)
        (2, 4)
    """
    spectrum = np.asarray(spectrum, dtype=float)
    before = np.concatenate([[0.0], np.cumsum(spectrum)])
    for n_bands in range(1, len(spectrum) + 1):
        carried = before[n_bands:] - before[:-n_bands]
        first = int(carried.argmax())
        if carried[first] >= share * before[-1]:
            return first, first + n_bands
    return 0, len(spectrum)


def likeness(spectrum: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Cosine of the angle between an error spectrum (F,) and others (N, F), from 0 to 1, (N,); 0 without any error.

    Example:
        >>> likeness([1.0, 0.0], [[2.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
        array([1. , 0.6, 0. ])
    """
    spectrum, others = np.asarray(spectrum, dtype=float), np.asarray(others, dtype=float)
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(spectrum)
    return np.divide(others @ spectrum, lengths, out=np.zeros(len(others)), where=lengths > 0)
