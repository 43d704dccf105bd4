"""Measures of explanations, clip by clip, and the clips kept as examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.runs.results.reading import Floats, naming, number, read_rows
from explainers.examples import FOLDER as EXAMPLES_FOLDER
from explainers.examples import Example


@dataclass(frozen=True)
class ClipValues:
    """Measures of explanations of N clips at P percentiles, ``f1.csv``, ``faithfulness.csv`` and their like.

    Attributes:
        names: Paths relative to the data root.
        anomaly_types: Type of each clip.
        percentiles: In rising order.
        values: (N, P) by kind ("f1", "frame", ...) and explainer; NaN where undefined. In the files of references,
            what stands in for an explainer ("random_frames", "all_frames", "oracle").
    """

    names: tuple[str, ...]
    anomaly_types: tuple[str, ...]
    percentiles: tuple[int, ...]
    values: dict[str, dict[str, Floats]]

    @property
    def explainers(self) -> tuple[str, ...]:
        """Explainers in the file's order."""
        return tuple(next(iter(self.values.values())))

    def mean(self, kind: str, explainer: str, anomaly_type: str | None = None) -> Floats:
        """Mean over clips, of one anomaly type if given, at each percentile (P,); NaN where undefined."""
        chosen = [anomaly_type in {None, of_clip} for of_clip in self.anomaly_types]
        values = self.values[kind][explainer][chosen]
        return values.mean(axis=0) if len(values) else np.full(len(self.percentiles), np.nan)

    def defined(self, kind: str) -> bool:
        """Whether any clip has this measure; segment-based faithfulness needs annotations."""
        return any(np.isfinite(values).any() for values in self.values.get(kind, {}).values())


def read_clip_values(path: Path, kinds: Sequence[str], optional: Sequence[str] = ()) -> ClipValues | None:
    """Read a file of per-clip measures of explanations.

    Args:
        path: The file.
        kinds: Its columns of measures.
        optional: Columns of measures that older files lack; these kinds are left out where they are missing.

    Returns:
        Its values, or None where there is no such file: no clip was explained.

    Raises:
        ConfigurationError: If it is damaged.
    """
    if not path.is_file():
        return None
    rows = read_rows(path, ("name", "anomaly_type", "explainer", "percentile", *kinds))
    kinds = (*kinds, *(kind for kind in optional if rows and kind in rows[0]))
    with naming(path):
        types = {row["name"]: row["anomaly_type"] for row in rows}
        percentiles = sorted({int(row["percentile"]) for row in rows})
        explainers = dict.fromkeys(row["explainer"] for row in rows)
        values = {
            kind: {name: np.full((len(types), len(percentiles)), np.nan) for name in explainers} for kind in kinds
        }
        position = {name: i for i, name in enumerate(types)}
        column = {percentile: i for i, percentile in enumerate(percentiles)}
        expected = len(types) * len(explainers) * len(percentiles)
        if len(rows) != expected:
            raise ValueError(f"{len(rows)} of {expected} rows are there")
        for row in rows:
            cell = position[row["name"]], column[int(row["percentile"])]
            for kind in kinds:
                values[kind][row["explainer"]][cell] = number(row[kind])
    return ClipValues(tuple(types), tuple(types.values()), tuple(percentiles), values)


def read_examples(stage: Path) -> tuple[Example, ...]:
    """Read the explained clips kept in a stage's folder, in the order of their indices.

    Raises:
        ConfigurationError: If one is damaged.
    """
    examples = []
    for path in sorted((stage / EXAMPLES_FOLDER).glob("*.npz")):
        with naming(path):
            examples.append(Example.load(path))
    return tuple(examples)
