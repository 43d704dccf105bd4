"""Which clip becomes a host, which a donor, and where pieces go; nothing is read or written here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from datamodules.errors import DataError
from datamodules.layouts import Clip
from datamodules.splicing.background import Array

SHORTEST_SECONDS = 4
"""Two pieces of a second with a second between them."""

_LONGEST_PIECE = 3
"""Seconds."""

_MOST_PIECES = 2

Interval = tuple[int, int]


@dataclass(frozen=True)
class Pools:
    """Normal test clips by what becomes of them; no clip is in two pools.

    Attributes:
        normal: They stay normal test clips.
        hosts: Pieces of anomalous clips are put into these.
        control_hosts: Pieces of normal clips are put into these.
        control_donors: Pieces are cut from these.
    """

    normal: tuple[Clip, ...]
    hosts: tuple[Clip, ...]
    control_hosts: tuple[Clip, ...]
    control_donors: tuple[Clip, ...]


def draw_pools(normal: Sequence[Clip], clips: int, rng: np.random.Generator) -> Pools:
    """Deal normal test clips out at random: `clips` to each kind of host, half of the rest to the donors.

    Raises:
        DataError: There are too few for a donor for each control and as many normal test clips.
    """
    if len(normal) < 4 * clips:
        raise DataError(
            f"--clips {clips} takes {4 * clips} normal test clips (two kinds of hosts, donors, and those left as they "
            f"are), and there are {len(normal)}; ask for {len(normal) // 4} at most"
        )
    order = rng.permutation(len(normal))
    rest = np.array_split(order[2 * clips :], 2)
    parts = (rest[0], order[:clips], order[clips : 2 * clips], rest[1])
    return Pools(*(tuple(normal[i] for i in sorted(part.tolist())) for part in parts))


def draw_intervals(seconds: int, rng: np.random.Generator) -> list[Interval]:
    """Draw one or two pieces of one to three whole seconds, a second or more apart, on a clip taken for a circle.

    A piece that runs over the end goes on at the start as an interval of its own. So every second of a clip is
    as likely to be inside, and a curve that always peaks at the same time, such as at the ends of clips, agrees with
    the intervals no better than chance.

    Args:
        seconds: Whole seconds of the clip, at least 4.
        rng: Random numbers.

    Returns:
        (start, end) in seconds, in rising order.
    """
    longest = min(_LONGEST_PIECE, seconds // 3)
    first, second = rng.integers(1, longest, size=2, endpoint=True).tolist()
    inside = np.zeros(seconds, dtype=int)
    inside[:first] = 1
    if rng.integers(1, _MOST_PIECES, endpoint=True) == _MOST_PIECES:
        gap = rng.integers(1, seconds - first - second - 1, endpoint=True)
        inside[first + gap : first + gap + second] = 1
    inside = np.roll(inside, rng.integers(seconds))
    changes = np.flatnonzero(np.diff(inside, prepend=0, append=0)).tolist()
    return list(zip(changes[::2], changes[1::2], strict=True))


def pair(distance: Array, usable: NDArray[np.bool_]) -> list[int] | None:
    """Give each host a donor of its own, so that the sum of their distances is smallest.

    Args:
        distance: Distance of N hosts to M donors, (N, M).
        usable: Which donors a host can take, (N, M).

    Returns:
        The donor of each host; None if there is no such choice.

    Example:
        >>> pair(np.float32([[1, 2], [1, 9]]), np.array([[True, True], [True, True]]))
        [1, 0]
    """
    try:
        _, donors = linear_sum_assignment(np.where(usable, distance, np.inf))
    except ValueError:  # SciPy's word for a matrix of which no choice is finite
        return None
    return donors.tolist() if len(donors) == len(distance) else None
