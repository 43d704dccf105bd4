"""Levels of a planer over its 80 bands, read from the spectrograms published of the planer data set.

They are what a few corners can say: nothing of the recordings themselves is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from datamodules.simulator.render import N_BANDS, Array

# Band levels, dB at (band, level) corners: running empty, cutting, and cutting far too much.
_IDLE = ((0, -8), (3, -1), (10, -5), (15, -5), (19, -2), (24, -1), (28, -1), (35, -5), (39, -7), (43, -5),
         (46, -12), (57, -13), (67, -19), (79, -22))  # fmt: skip
_CUT = ((0, -7), (3, -5), (6, -0.5), (12, -1), (15, 3), (18, 2), (21, 0), (25, 5.5), (30, 1), (35, -3.5), (37, -1.5),
        (39, 2.5), (41, 5), (43, 6), (46, -5.5), (48, -8.5), (53, -10.5), (58, -5), (61, -4.5), (63, -10), (66, -11.5),
        (68, -9), (71, -8), (74, -10.5), (77, -8.5), (79, -10))  # fmt: skip
_HEAVY = ((0, -5), (4, 1), (12, 3), (20, 8), (24, 9), (30, 6), (41, 4), (50, 0), (60, -1), (79, -5))

# The rollers' cycle, dB at (band, cos 1, sin 1, cos 2, sin 2) corners: Fourier coefficients of the first two orders,
# phase 0 in the middle of the gap between two boards.
_CYCLE = ((0, 0, 0, 0.5, 0), (3, 1.0, -0.6, -0.6, 0), (6, 2.4, -0.8, 0, -0.6), (9, 1.8, -1.0, 0, -0.7),
          (11, 1.5, -0.8, 0.4, -1.1), (13, 6.0, -2.9, 0, -0.7), (15, 1.6, 0, 0.3, 0), (18, 0.9, 1.0, 0.5, 0.4),
          (20, 5.0, -1.8, -0.6, 0.5), (22, 5.0, -0.5, -0.6, -1.0), (23, 4.4, 3.0, 0.8, -0.5), (25, 2.2, 4.8, 1.0, -0.5),
          (27, 3.0, 3.2, 0.7, -2.0), (29, 3.0, 0, 1.4, -1.6), (31, 3.4, 1.6, 1.0, -2.0), (35, 1.9, 0.2, 1.0, -1.3),
          (39, 1.5, 0.5, 0.8, 0), (40, 0, 0, 0, 0))  # fmt: skip

_Corners = Sequence[tuple[float, ...]]


def profile(corners: _Corners | Array) -> Array:
    """Levels of the 80 bands, straight lines between (band, level) corners."""
    at, level = np.array(corners, dtype=np.float32).T
    return np.interp(np.arange(N_BANDS), at, level).astype(np.float32)


@cache
def load_profiles() -> tuple[Array, Array, Array]:
    """Band levels (80,) at a chip load of 0, 1 and 2, dB."""
    return profile(_IDLE), profile(_CUT), profile(_HEAVY)


@cache
def cycle_orders() -> Array:
    """What the rollers' cycle adds to the bands, (4, 80) dB: times cos and sin of the phase and of its double."""
    corners = np.array(_CYCLE)
    return np.stack([profile(corners[:, [0, order]]) for order in range(1, 5)])
