"""Where a stage's scalars are shown on Weights & Biases: as charts, columns of the table of runs, curves or tables.

A test has over two thousand scalars, most of them of an explainer at a percentile. As keys of a run they would bury
those that runs are compared by, so they are rows of tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metrics.measures import AREAS, HEADLINE_PERCENTILE, MEASURES, SCORES, Direction

if TYPE_CHECKING:  # takes half a second to import
    import pandas as pd

PERCENTILE_AXIS = "percentile"
"""The metric that curves over percentiles are drawn against."""

STEPS_AXIS = "curve/steps"
"""The metric that quality against training length is drawn against."""

# Scalars that belong to a chance level, with their columns; a chance level itself is neither good nor bad.
_OF_CHANCE: dict[str, tuple[str, Direction | None]] = {
    "chance": ("chance", None),
    "corrected": ("corrected", "max"),
    "pvalue": ("p_value", "min"),
}
_SANITY = "sanity"

# Which values are better, by the word after the stage: of the whole model, and of an explainer.
_OF_MODEL: dict[str, Direction | None] = {
    "loss": "min",
    **{f"{area}{score.suffix}": score.direction for area in AREAS for score in SCORES.values()},
}
_OF_EXPLAINER: dict[str, Direction | None] = {
    **{measure.key: measure.direction for measure in MEASURES.values()},
    **{f"{measure.key}_{what}": good for measure in MEASURES.values() for what, (_, good) in _OF_CHANCE.items()},
    "convergence_delta": "min",
    _SANITY: "min",  # rank correlation with a randomised model's map, infidelity, sensitivity
}

# Of a measure at a percentile, the kinds that are curves, and those that runs are sorted by.
_CURVES = {key for m in MEASURES.values() if m.headline for key in (m.key, f"{m.key}_chance")}
_SORTED = {key for m in MEASURES.values() if m.headline for key in (m.key, f"{m.key}_corrected")}

EXPLANATION_COLUMNS = ("explainer", "measure", "anomaly_type", "percentile", "value", "chance", "corrected", "p_value")
DETECTION_COLUMNS = ("score", "anomaly_type", *AREAS)


@dataclass(frozen=True)
class Scalar:
    """What the name of a scalar says.

    Attributes:
        stage: `train`, `val` or `test`.
        kind: The word after the stage, such as `auc`, `f1_chance` or `sanity/infidelity`.
        explainer: The explainer, "" for a scalar of the whole model.
        percentile: The percentile, None for a scalar without one.
        anomaly_type: The type of the clips that it is a mean over, "" for all clips.
    """

    stage: str
    kind: str
    explainer: str = ""
    percentile: int | None = None
    anomaly_type: str = ""

    @property
    def is_compared(self) -> bool:
        """Whether runs are compared by it: over all clips and, of a measure, the headline at its percentile."""
        if self.anomaly_type:
            return False
        return self.percentile is None or (self.percentile == HEADLINE_PERCENTILE and self.kind in _SORTED)


def parse(name: str) -> Scalar | None:
    """Parse the name of a scalar of the whole model or of an explainer, None for others such as the epoch.

    Example:
        >>> parse("test/f1/saliency/p98/broken_board")
        Scalar(stage='test', kind='f1', explainer='saliency', percentile=98, anomaly_type='broken_board')
    """
    stage, _, detail = name.partition("/")
    kind, *rest = detail.split("/")
    if kind in _OF_MODEL:
        return Scalar(stage, kind, anomaly_type="/".join(rest))
    if kind == _SANITY and rest:
        kind = f"{kind}/{rest.pop(0)}"
    if kind.partition("/")[0] not in _OF_EXPLAINER or not rest:
        return None  # a name without an explainer may be that of a figure
    explainer = rest.pop(0)
    percentile = int(rest.pop(0)[1:]) if rest and re.fullmatch(r"p\d+", rest[0]) else None
    return Scalar(stage, kind, explainer, percentile, "/".join(rest))


def direction(name: str) -> Direction | None:
    """Which values of a scalar are better, None where neither is, as for the epoch or a chance level.

    Example:
        >>> direction("val/loss"), direction("test/f1/saliency/p98"), direction("test/f1_chance/saliency/p98")
        ('min', 'max', None)
    """
    scalar = parse(name)
    return None if scalar is None else (_OF_MODEL | _OF_EXPLAINER).get(scalar.kind.partition("/")[0])


def compared(scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars that runs are compared by, and all others that no evaluation has logged.

    Example:
        >>> compared({"epoch": 3, "val/auc": 0.9, "val/auc/broken_board": 0.8, "val/f1/saliency/p90": 0.5})
        {'epoch': 3, 'val/auc': 0.9}
    """
    return {name: value for name, value in scalars.items() if (scalar := parse(name)) is None or scalar.is_compared}


def of_explainers(scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars of explainers."""
    return {name: value for name, value in scalars.items() if (scalar := parse(name)) is not None and scalar.explainer}


def curve_name(stage: str, kind: str, explainer: str) -> str:
    """The metric that holds a measure over percentiles.

    Example:
        >>> curve_name("test", "f1", "saliency")
        'test/f1_curve/saliency'
    """
    return f"{stage}/{kind}_curve/{explainer}"


def curves(scalars: Mapping[str, float]) -> dict[int, dict[str, float]]:
    """Rearrange headline measures and their chance levels into points of curves, by increasing percentile.

    Example:
        >>> curves({"test/auc": 0.9, "test/f1/saliency/p98": 0.5, "test/f1/saliency/p90": 0.25})
        {90: {'test/f1_curve/saliency': 0.25}, 98: {'test/f1_curve/saliency': 0.5}}
    """
    points: dict[int, dict[str, float]] = {}
    for name, value in scalars.items():
        scalar = parse(name)
        if scalar is None or scalar.percentile is None or scalar.anomaly_type or scalar.kind not in _CURVES:
            continue
        points.setdefault(scalar.percentile, {})[curve_name(scalar.stage, scalar.kind, scalar.explainer)] = value
    return dict(sorted(points.items()))


def length_name(measure: str, explainer: str = "") -> str:
    """The metric that holds a measure over the steps of a training, of explainers at the headline's percentile.

    Example:
        >>> length_name("auc"), length_name("f1", "saliency")
        ('curve/auc', 'curve/f1_over_chance/saliency')
    """
    return f"curve/{measure}_over_chance/{explainer}" if explainer else f"curve/{measure}"


def length_points(curve: pd.DataFrame) -> list[dict[str, float]]:
    """A point for each checkpoint of a curve: its steps, losses, areas, and headline measures over their chance level.

    Args:
        curve: Rows of ``curve.csv``.
    """
    headlines = [measure.key for measure in MEASURES.values() if measure.headline]
    is_shown = curve["measure"].isin(headlines) & (curve["percentile"] == HEADLINE_PERCENTILE) & curve["chance"].notna()
    shown = curve[(curve["explainer"] == "") | is_shown]
    points: dict[int, dict[str, float]] = {}
    for row in shown.itertuples():
        over = row.value - row.chance if row.explainer else row.value
        points.setdefault(row.steps, {STEPS_AXIS: row.steps})[length_name(row.measure, row.explainer)] = over
    return [points[steps] for steps in sorted(points)]


def explanation_rows(scalars: Mapping[str, float]) -> list[list[Any]]:
    """Rows of `EXPLANATION_COLUMNS`, one per explainer, measure, anomaly type ("" for all) and percentile.

    Example:
        >>> explanation_rows({"test/f1/saliency/p98": 0.5, "test/f1_chance/saliency/p98": 0.25})
        [['saliency', 'f1', '', 98, 0.5, 0.25, None, None]]
    """
    rows: dict[tuple[Any, ...], dict[str, float]] = {}
    for name, value in scalars.items():
        scalar = parse(name)
        if scalar is None or not scalar.explainer:
            continue
        measure, column = scalar.kind, "value"
        for what, (of_chance, _) in _OF_CHANCE.items():
            if scalar.kind.endswith(f"_{what}"):
                measure, column = scalar.kind.removesuffix(f"_{what}"), of_chance
        key = (scalar.explainer, measure, scalar.anomaly_type, scalar.percentile)
        rows.setdefault(key, {})[column] = value
    return [[*key, *(row.get(column) for column in EXPLANATION_COLUMNS[len(key) :])] for key, row in rows.items()]


def detection_rows(scalars: Mapping[str, float]) -> list[list[Any]]:
    """Rows of `DETECTION_COLUMNS`, one per score and anomaly type ("" for all).

    Example:
        >>> detection_rows({"test/auc": 0.9, "test/pauc": 0.7, "test/auc/broken_board": 0.8})
        [['score', '', 0.9, 0.7], ['score', 'broken_board', 0.8, None]]
    """
    known = {f"{area}{score.suffix}": (area, score.key) for area in AREAS for score in SCORES.values()}
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for name, value in scalars.items():
        scalar = parse(name)
        if scalar is not None and scalar.kind in known:
            area, score = known[scalar.kind]
            rows.setdefault((score, scalar.anomaly_type), {})[area] = value
    return [[*key, *map(row.get, AREAS)] for key, row in rows.items()]
