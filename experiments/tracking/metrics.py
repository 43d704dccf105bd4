"""What logged scalars mean to Weights & Biases: their direction, whether they are shown, and the curves they form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from metrics.measures import AREAS, HEADLINE_PERCENTILE, MEASURES, SCORES, Direction

PERCENTILE_AXIS = "percentile"
"""The metric that curves over percentiles are drawn against."""

# Scalars that belong to a chance level; a chance level itself is neither good nor bad.
_OF_CHANCE: dict[str, Direction | None] = {"chance": None, "corrected": "max", "pvalue": "min"}

# Which values are better, by the word after the stage: of the whole model, and of an explainer.
_OF_MODEL: dict[str, Direction | None] = {
    "loss": "min",
    **{f"{area}{score.suffix}": score.direction for area in AREAS for score in SCORES.values()},
}
_OF_EXPLAINER: dict[str, Direction | None] = {
    **{measure.key: measure.direction for measure in MEASURES.values()},
    **{f"{measure.key}_{what}": good for measure in MEASURES.values() for what, good in _OF_CHANCE.items()},
    "convergence_delta": "min",
    "sanity": "min",  # rank correlation with a randomised model's map, infidelity, sensitivity
}

_AT_PERCENTILE = re.compile(
    r"(?P<stage>val|test)/(?P<kind>[^/]+)/(?P<explainer>[^/]+)/p(?P<percentile>\d+)(?P<anomaly_type>/.+)?"
)


def direction(name: str) -> Direction | None:
    """Which values of a scalar are better, None where neither is, as for the epoch or a chance level.

    Example:
        >>> direction("val/loss"), direction("test/f1/saliency/p98"), direction("test/f1_chance/saliency/p98")
        ('min', 'max', None)
    """
    kind, _, detail = name.partition("/")[2].partition("/")
    # A name without an explainer may be that of a figure.
    return _OF_MODEL.get(kind) or (_OF_EXPLAINER.get(kind) if detail else None)


def define(name: str) -> dict[str, Any]:
    """Arguments of W&B's ``define_metric`` for a scalar or a curve over percentiles.

    Over a thousand scalars belong to an explainer and a percentile. Their charts would bury the others, and the curves
    show the same, so they are hidden; the table of runs has those of one percentile. Of the curves, which have no
    summary, those of headline measures are shown.

    Example:
        >>> define("test/f1/error_map/p90")
        {'step_metric': 'trainer/global_step', 'summary': 'none', 'hidden': True}
    """
    metric, is_curve, _ = name.partition("_curve/")
    if is_curve:
        measure = MEASURES.get(metric.partition("/")[2])
        return {
            "step_metric": PERCENTILE_AXIS,
            "summary": "none",
            "hidden": measure is None or not measure.headline,
        }
    part = _AT_PERCENTILE.fullmatch(name)
    in_summary = part is None or int(part["percentile"]) == HEADLINE_PERCENTILE
    return {
        "step_metric": "trainer/global_step",  # Lightning's x-axis
        "summary": direction(name) if in_summary else "none",
        "hidden": part is not None,
    }


def curve_name(stage: str, kind: str, explainer: str) -> str:
    """The metric that holds a measure over percentiles.

    Example:
        >>> curve_name("test", "f1", "saliency")
        'test/f1_curve/saliency'
    """
    return f"{stage}/{kind}_curve/{explainer}"


def curves(scalars: Mapping[str, float]) -> dict[int, dict[str, float]]:
    """Rearrange scalars of percentiles into points of curves, by increasing percentile.

    Scalars of single anomaly types and those without a percentile are left out.

    Example:
        >>> curves({"test/auc": 0.9, "test/f1/saliency/p98": 0.5, "test/f1/saliency/p90": 0.25})
        {90: {'test/f1_curve/saliency': 0.25}, 98: {'test/f1_curve/saliency': 0.5}}
    """
    points: dict[int, dict[str, float]] = {}
    for name, value in scalars.items():
        part = _AT_PERCENTILE.fullmatch(name)
        if part is not None and part["anomaly_type"] is None:
            curve = curve_name(part["stage"], part["kind"], part["explainer"])
            points.setdefault(int(part["percentile"]), {})[curve] = value
    return dict(sorted(points.items()))
