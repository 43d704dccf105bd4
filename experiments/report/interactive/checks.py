"""Sanity checks of explainers as the explorer shows them: one more measure each, over stages or over nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.report.figures.style import readable
from experiments.report.groups import Group
from experiments.report.interactive.measure import Measure, rounded
from experiments.runs.results import Run

_CHECKS = {
    "randomisation": (
        "Sanity: parameter randomisation",
        "Rank correlation of a map with the trained model's when the parameters from the output up to a stage are "
        "random. An explainer that explains the model loses it.",
    ),
    "infidelity": (
        "Sanity: infidelity",
        "How far a map is from predicting what small changes do to the score. Lower is better; it compares only "
        "between maps of one unit.",
    ),
    "max_sensitivity": (
        "Sanity: maximum sensitivity",
        "Largest relative change of a map under a small change of the clip. Lower is steadier.",
    ),
}


def check_measures(groups: Sequence[Group]) -> list[Measure]:
    """The checks that any run has made."""
    found = []
    for check, (label, note) in _CHECKS.items():
        steps = _steps(groups, check)
        if steps:
            names = [readable(step.rpartition(".")[2]) for step in steps]
            found.append(Measure(check, label, note, "stage", names))
    return found


def check_curves(
    groups: Sequence[Group], measures: Sequence[Measure], explainers: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """A record for every group and explainer that was checked, as `explorer_data` has them."""
    for m, measure in enumerate(measures):
        if measure.key not in _CHECKS:
            continue
        steps = _steps(groups, measure.key)
        for g, group in enumerate(groups):
            for e, explainer in enumerate(explainers):
                values = np.array([_means(run, measure.key, explainer, steps) for run in group.runs])
                if np.isfinite(values).any():
                    yield {"m": m, "t": 0, "g": g, "e": e, "v": rounded(values)}


def _steps(groups: Sequence[Group], check: str) -> list[str]:
    """The stages of a check in the order of the files, a single "" for a check without stages."""
    rows = (row for group in groups for run in group.runs for row in run.sanity or [])
    return list(dict.fromkeys(row.step for row in rows if row.check == check))


def _means(run: Run, check: str, explainer: str, steps: Sequence[str]) -> list[float]:
    """Mean over the clips for which a check is defined, at each stage."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in run.sanity or []:
        if (row.check, row.explainer) == (check, explainer) and np.isfinite(row.value):
            values[row.step].append(row.value)
    return [float(np.mean(values[step])) if values[step] else float("nan") for step in steps]
