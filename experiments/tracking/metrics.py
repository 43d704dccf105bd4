"""What logged scalars mean to Weights & Biases: their direction, whether they are shown, and the curves they make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

PERCENTILE_AXIS = "percentile"
"""The metric that curves over percentiles are drawn against."""

HEADLINE_PERCENTILE = 98
"""The percentile whose values stand in the table of runs, the one of the paper's per-type comparison."""

Direction = Literal["min", "max"]

# A scalar's name behind its stage, and which end of its values is the good one; the first pattern that fits holds.
# A chance level has no good end, and what fits no pattern is no measure (the epoch, the learning rate).
DIRECTIONS: tuple[tuple[str, Direction | None], ...] = (
    ("loss*", "min"),
    ("*_chance/*", None),
    ("*_corrected/*", "max"),
    ("*_pvalue/*", "min"),
    ("*auc_level*", None),  # of the clips, not of the model
    ("auc*", "max"),
    ("pauc*", "max"),
    ("f1/*", "max"),
    ("precision/*", "max"),
    ("recall/*", "max"),
    ("faithfulness_*/*", "max"),
    ("deletion_area/*", "min"),  # the error that is left
    ("insertion_area/*", "max"),  # the error that is back
    ("convergence_delta/*", "min"),
    ("sanity/*", "min"),  # rank correlation with a randomised model's map, infidelity, sensitivity
)

_SHOWN_CURVES = ("f1", "faithfulness_frame", "faithfulness_segment")

_AT_PERCENTILE = re.compile(
    r"(?P<stage>val|test)/(?P<kind>[^/]+)/(?P<explainer>[^/]+)/p(?P<percentile>\d+)(?P<anomaly_type>/.+)?"
)


@dataclass(frozen=True)
class Definition:
    """How Weights & Biases treats a metric.

    Attributes:
        summary: The value that stands for the run: `min` or `max` over its history, the last one for None.
        in_summary: Whether the run's summary, hence the table of runs, has the metric at all.
        hidden: Whether W&B leaves it out of the charts that it draws by itself.
    """

    summary: Direction | None = None
    in_summary: bool = True
    hidden: bool = False

    @property
    def operation(self) -> str | None:
        """The argument `summary` of ``define_metric``."""
        return self.summary if self.in_summary else "none"


def direction(name: str) -> Direction | None:
    """Which end of a scalar's values is the good one, None if neither is.

    Example:
        >>> direction("val/loss"), direction("test/f1/saliency/p98"), direction("test/f1_chance/saliency/p98")
        ('min', 'max', None)
    """
    rest = name.partition("/")[2]
    return next((good for pattern, good in DIRECTIONS if fnmatchcase(rest, pattern)), None)


def define(name: str) -> Definition:
    """How Weights & Biases is to treat a scalar.

    Over a thousand scalars belong to an explainer and a percentile. Their charts would bury the others, and the
    curves show the same, so they are hidden; the table of runs has those of one percentile.

    Example:
        >>> define("test/auc")
        Definition(summary='max', in_summary=True, hidden=False)
        >>> define("test/f1/error_map/p90")
        Definition(summary='max', in_summary=False, hidden=True)
    """
    part = _AT_PERCENTILE.fullmatch(name)
    if part is None:
        return Definition(direction(name))
    return Definition(direction(name), in_summary=int(part["percentile"]) == HEADLINE_PERCENTILE, hidden=True)


def curve_name(stage: str, kind: str, explainer: str) -> str:
    """The metric that holds a measure over percentiles.

    Example:
        >>> curve_name("test", "f1", "saliency")
        'test/f1_curve/saliency'
    """
    return f"{stage}/{kind}_curve/{explainer}"


def define_curve(name: str) -> Definition:
    """How Weights & Biases is to treat a curve: its last point is no summary of it, and few kinds are shown."""
    kind = name.split("/")[1].removesuffix("_curve")
    return Definition(in_summary=False, hidden=kind not in _SHOWN_CURVES)


def curves(scalars: Mapping[str, float]) -> dict[int, dict[str, float]]:
    """Rearrange scalars of percentiles into points of curves, by percentile in rising order.

    Scalars of single anomaly types are left out, as is whatever has no percentile.

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
