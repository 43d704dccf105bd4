"""What the explorer can show on its vertical axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 5
"""Digits of the values on the page, which shows three."""


@dataclass(frozen=True)
class Measure:
    """A measure and the axis it is over.

    Attributes:
        key: Its name.
        label: What the page calls it.
        note: What it is and which direction is better.
        axis: What it is over: "percentile", or another word where there are no percentiles.
        x: Values of that axis; one where there is nothing to draw a line over.
    """

    key: str
    label: str
    note: str
    axis: str
    x: list[Any]


def rounded(values: NDArray[np.float64]) -> list[Any]:
    """Nested lists of numbers with `DIGITS` digits behind the point, None for what is undefined.

    Example:
        >>> rounded(np.array([[0.1234567, np.nan]]))
        [[0.12346, None]]
    """
    if values.ndim > 1:
        return [rounded(row) for row in values]
    return [round(value, DIGITS) if np.isfinite(value) else None for value in values.tolist()]
