"""The curves of the paper's Figures 4 and 5, read off the published vector graphics (± 0.0005)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from experiments.report.groups import Group
from experiments.report.published import F1_BY_TYPE, is_planer

_FILE = Path(__file__).with_name("published_curves.csv")
_PERCENTILE_OF_TYPES = 98


def published_curve(group: Group, measure: str, explainer: str, anomaly_type: str | None = None) -> Mapping[int, float]:
    """What the paper reports for a group's objective, value by percentile.

    Args:
        group: Runs of the AE or the MAE; others have no published curve.
        measure: "f1", "frame" or "segment"; others are not in the paper.
        explainer: The explainer.
        anomaly_type: Clips of this type only, for which the paper has F1 at one percentile; all by default.

    Returns:
        Empty where the paper has nothing to compare with, as for recordings of other machines than the planer.
    """
    if not is_planer(group):
        return {}
    if anomaly_type is not None:
        of_types = F1_BY_TYPE.get((group.objective, explainer), {}) if measure == "f1" else {}
        return {_PERCENTILE_OF_TYPES: of_types[anomaly_type]} if anomaly_type in of_types else {}
    return _curves().get((measure, group.objective, explainer), {})


@cache
def _curves() -> dict[tuple[str, str, str], dict[int, float]]:
    curves: dict[tuple[str, str, str], dict[int, float]] = {}
    with _FILE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = row["measure"], row["objective"], row["explainer"]
            curves.setdefault(key, {})[int(row["percentile"])] = float(row["value"])
    return curves
