"""Tables of sanity checks, and of deletion and insertion."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from experiments.report.comparison import Comparison
from experiments.report.evidence import Estimate
from experiments.report.figures.style import explainer_label, readable
from experiments.report.groups import Group
from experiments.report.tables.table import (
    Cell,
    Table,
    estimate_cells,
    named_rows,
    number_cells,
    without_empty_columns,
)
from lightning_modules.wording import counted
from metrics.functional.replacement import curve_area

_RANDOMISATION = "randomisation"
_OTHER_CHECKS = {"infidelity": "Infidelity", "max_sensitivity": "Max sensitivity"}


def deletion_table(comparison: Comparison) -> Table | None:
    """Areas under the deletion and insertion curves, None where no run has them."""
    groups = comparison.measured("deletion")
    if not groups:
        return None
    rows = []
    for explainer in comparison.explainers:
        areas = {
            label: [_areas(group, kind, explainer) for kind in ("deletion", "insertion")]
            for label, group in groups.items()
            if np.isfinite(group.clip_values("deletion", explainer)).any()
        }
        if areas:
            deletion, insertion = zip(*areas.values(), strict=True)
            columns = [estimate_cells(deletion, lowest=True), estimate_cells(insertion)]
            rows.append(named_rows(explainer_label(explainer), list(areas), columns))
    n_clips = len(next(iter(groups.values())).clip_names("deletion"))
    return Table(
        title="Deletion and insertion",
        note=f"Areas under the curves of the error that is left, relative to the clip's own, over the share of frames "
        f"replaced by their reconstruction; means over {counted(n_clips, 'explained clip')}. Deletion takes the "
        "highest frames of a curve first: lower is better. Insertion leaves nothing but these: higher is better.",
        header=("Explainer", "Model", "Deletion ↓", "Insertion ↑"),
        groups=tuple(rows),
        names=2,
        name="deletion",
        brief=(),
    )


def sanity_table(comparison: Comparison) -> Table | None:
    """Rank correlations under parameter randomisation, infidelity and maximum sensitivity; None where not checked."""
    checked = {label: group for label, group in comparison.groups.items() if any(run.sanity for run in group.runs)}
    if not checked:
        return None
    found = [row for group in checked.values() for run in group.runs for row in run.sanity or []]
    stages = list(dict.fromkeys(row.step for row in found if row.check == _RANDOMISATION))
    explainers = list(dict.fromkeys(row.explainer for row in found))
    n_clips = len({row.name for row in found})

    def columns(explainer: str, labels: list[str]) -> list[list[Cell]]:
        groups = [checked[label] for label in labels]
        correlations = [
            number_cells([_check(group, explainer, _RANDOMISATION, stage) for group in groups], mark_best=False)
            for stage in stages
        ]
        others = [_scientific([_check(group, explainer, check) for group in groups]) for check in _OTHER_CHECKS]
        return [*correlations, *others]

    table = Table(
        title="Sanity checks",
        note=f"Means over {counted(n_clips, 'checked clip')}. Columns of stages: rank correlation of a map with the "
        "trained model's when the parameters from the output up to that stage are random; an explainer that explains "
        "the model loses it. Infidelity: lower is better, and comparable between explainers of one model only where "
        "their maps are in the same unit. Max sensitivity: largest relative change of a map under a small change of "
        "the clip, lower is steadier.",
        header=("Explainer", "Model", *(_stage(stage) for stage in stages), *_OTHER_CHECKS.values()),
        groups=_rows(list(checked), explainers, columns),
        names=2,
        name="sanity",
        brief=(),
    )
    return without_empty_columns(table)


def _rows(
    labels: list[str], explainers: list[str], columns: Callable[[str, list[str]], list[list[Cell]]]
) -> tuple[tuple[tuple[Cell, ...], ...], ...]:
    return tuple(named_rows(explainer_label(explainer), labels, columns(explainer, labels)) for explainer in explainers)


def _areas(group: Group, kind: str, explainer: str) -> Estimate:
    """The mean over clips of a curve's area, and its spread between runs."""
    values = torch.from_numpy(group.clip_values(kind, explainer))
    of_runs = curve_area(values, group.percentiles_of(kind)).nanmean(dim=1).numpy()
    return Estimate(float(of_runs.mean()), float(of_runs.std(ddof=1)) if len(of_runs) > 1 else math.nan)


def _check(group: Group, explainer: str, check: str, step: str = "") -> float:
    values = [
        row.value
        for run in group.runs
        for row in run.sanity or []
        if (row.explainer, row.check, row.step) == (explainer, check, step) and not math.isnan(row.value)
    ]
    return float(np.mean(values)) if values else math.nan


def _scientific(values: list[float]) -> list[Cell]:
    """Numbers of any size with three digits."""
    return [Cell("–") if math.isnan(value) else Cell(f"{value:.3g}", numbers=(("", value),)) for value in values]


def _stage(step: str) -> str:
    return readable(step.rpartition(".")[2]) or step
