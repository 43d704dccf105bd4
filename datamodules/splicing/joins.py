"""Putting a piece of one recording into another."""

from __future__ import annotations

import numpy as np

from datamodules.splicing.background import Array


def insert(host: Array, piece: Array, start: int, fade: int) -> Array:
    """Replace samples of a host by a piece, cross-faded inside the piece.

    The fades keep the power of sounds that have nothing to do with each other: weights are sine and cosine.
    Where the piece begins or ends with the host there is no join and no fade.

    Args:
        host: (samples,).
        piece: (length,), put at ``start``.
        start: First sample that is replaced.
        fade: Samples of each cross-fade.

    Returns:
        (samples,); outside ``start`` to ``start + length`` it is the host, sample for sample.

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
