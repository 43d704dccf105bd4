"""What says how much the measures of explanations are worth: null distributions and sanity checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.runs.results.reading import naming, number, read_rows


@dataclass(frozen=True)
class ClipNulls:
    """Measures of N clips at P percentiles when each clip's curve is shifted, ``f1_null.npz`` and its like.

    Attributes:
        names: Paths of the clips relative to the data root.
        percentiles: As in the file of measures.
        values: (N, P, S) by kind and explainer, S values of the clip under the null, of which position 0 is the
            observed one.
    """

    names: tuple[str, ...]
    percentiles: tuple[int, ...]
    values: dict[str, dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class SanityRow:
    """A sanity check of one explanation, a row of ``sanity.csv``.

    Attributes:
        index: The clip's number in its split.
        name: The clip's path relative to the data root.
        explainer: The explainer.
        check: "randomisation", "infidelity" or "max_sensitivity".
        step: The stage up to which parameters are random; "" for other checks.
        value: Rank correlation with the trained model's map, or the check's own measure; NaN where undefined.
    """

    index: int
    name: str
    explainer: str
    check: str
    step: str
    value: float


def read_clip_nulls(path: Path) -> ClipNulls | None:
    """Read the null distributions of a measure, None where there is no such file.

    Raises:
        ConfigurationError: If it is damaged.
    """
    if not path.is_file():
        return None
    with naming(path), np.load(path, allow_pickle=False) as arrays:
        names = tuple(arrays["names"].tolist())
        percentiles = tuple(arrays["percentiles"].tolist())
        values: dict[str, dict[str, NDArray[np.float32]]] = {}
        for key in arrays.files:
            kind, slash, explainer = key.partition("/")
            if slash:
                values.setdefault(kind, {})[explainer] = arrays[key]
    return ClipNulls(names, percentiles, values)


def read_sanity(path: Path) -> list[SanityRow] | None:
    """Read the sanity checks, None where there is no such file.

    Raises:
        ConfigurationError: If it is damaged.
    """
    if not path.is_file():
        return None
    rows = read_rows(path, ("index", "name", "explainer", "check", "step", "value"))
    with naming(path):
        return [
            SanityRow(int(row["index"]), row["name"], row["explainer"], row["check"], row["step"], number(row["value"]))
            for row in rows
        ]
