"""Tables of detection."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.report import published
from experiments.report.comparison import Comparison
from experiments.report.evidence import Estimate, detection_estimates, level_estimates
from metrics.measures import MAX_FPR
from experiments.report.figures.style import readable
from experiments.report.groups import Group, ScoreKind
from experiments.report.tables.table import (
    MISSING,
    Cell,
    Row,
    Table,
    estimate_cells,
    interval_cells,
    no_width,
    number_cells,
    without_empty_columns,
)

_AREAS = ("AUC", "pAUC")
_INTERVAL = "95 %"


def detection_table(comparison: Comparison) -> Table:
    """AUC and partial AUC of the scores, one row a group, and what is published of the same systems."""
    groups = list(comparison.groups.values())
    header, columns = ["Model", "Runs"], []
    intervals: list[tuple[float, float]] = []
    kinds: tuple[tuple[ScoreKind, str], ...] = (("score", ""), ("masked_score", ", masked error"))
    for kind, of_kind in kinds:
        found = [detection_estimates(group, kind) for group in groups]
        for area, estimates in zip(_AREAS, zip(*found, strict=True), strict=True):
            header += [f"{area}{of_kind}", f"{area}{of_kind} {_INTERVAL}"]
            intervals += [(e.low, e.high) for e in estimates]
            columns += [estimate_cells(estimates), interval_cells(intervals[-len(estimates) :])]
    planer = all(published.is_planer(group) for group in groups)
    for i, area in enumerate(_AREAS):
        header.append(f"Published {area}")
        columns.append(
            number_cells([_published(group, i) if planer else math.nan for group in groups], mark_best=False)
        )
    level = level_estimates(comparison)
    baseline: tuple[Row, ...] = ()
    level_note = ""
    if level is not None:
        side, *areas = level
        intervals += [(e.low, e.high) for e in areas]
        baseline = (_level_row(side, areas, len(header)),)
        level_note = (
            " Level alone: the score is the root mean square of the recording in dB (the mean of a spectrogram file), "
            "with the sign that gives an AUC of at least 0.5."
        )
    names = [(Cell(group.label), Cell(_runs(group))) for group in groups]
    rows = tuple((*name, *values) for name, *values in zip(names, *columns, strict=True))
    others = _published_alone(groups, len(header)) if planer and comparison.first.clips.has_roc else ()
    labels = comparison.first.clips.labels
    undefined = ", so the AUC is undefined" if len(set(labels.tolist())) == 1 else ""
    table = Table(
        title="Detection",
        note=f"{int((labels == 0).sum())} normal and {int(labels.sum())} anomalous test clips{undefined}. "
        f"pAUC: partial AUC up to a false-positive rate of {MAX_FPR:g}, standardised (McClish). Chance is 0.5."
        f"{level_note}{_spread(groups)}{no_width(intervals)}{_published_note(comparison) if planer else ''}",
        header=tuple(header),
        groups=tuple(group for group in (rows, baseline, others) if group),
        names=2,
        name="detection",
        brief=("Model", "Runs", "AUC", "pAUC", "AUC, masked error"),
    )
    return without_empty_columns(table, keep=_AREAS)


def detection_type_table(comparison: Comparison) -> Table:
    """AUC by type of anomaly."""
    groups = list(comparison.groups.values())
    types = sorted(comparison.anomaly_types)
    single = 1 in comparison.anomaly_types.values()
    columns = [estimate_cells([_area_of_type(group, kind) for group in groups]) for kind in types]
    return Table(
        title="AUC by type of anomaly",
        note="Clips of one type against all normal clips; in brackets the number of anomalous clips."
        + single
        * " The AUC of a single clip is the share of normal clips with a lower score: it says little of its type.",
        header=("Model", *(f"{readable(kind) or 'unknown'} ({comparison.anomaly_types[kind]})" for kind in types)),
        groups=(tuple((Cell(group.label), *values) for group, *values in zip(groups, *columns, strict=True)),),
        names=1,
        name="detection_by_type",
        brief=(),
    )


def ablation_table(comparison: Comparison) -> Table | None:
    """AUC by mask ratio and patch size (Table 2), None unless several masks were compared."""
    by_mask = {
        mask: group
        for group in comparison.groups.values()
        if group.objective == "MAE" and (mask := published.mask(group)) is not None
    }
    if len(by_mask) < 2:
        return None
    ratios = sorted({ratio for ratio, _ in by_mask}, reverse=True)
    sizes = sorted({size for _, size in by_mask})
    columns = [estimate_cells([_auc(by_mask.get((ratio, size))) for ratio in ratios]) for size in sizes]
    facts = [number_cells([published.ABLATION.get((ratio, size), math.nan) for ratio in ratios]) for size in sizes]
    planer = all(published.is_planer(group) for group in by_mask.values())
    names = [Cell(f"{ratio:.0%}".replace("%", " %")) for ratio in ratios]
    return without_empty_columns(
        Table(
            title="AUC by mask ratio and patch size",
            note="MAE; a patch is a square of mel bands and frames."
            f"{_spread(list(by_mask.values()))}{_published_note(comparison) if planer else ''}",
            header=(
                "Mask ratio",
                *(f"{size} × {size}" for size in sizes),
                *(f"Published {size} × {size}" for size in sizes if planer),
            ),
            groups=(tuple(zip(names, *columns, *(facts if planer else []), strict=True)),),
            names=1,
            name="mask_ablation",
        )
    )


def _level_row(side: str, areas: Sequence[Estimate], columns: int) -> Row:
    """AUC and partial AUC of the level; no other column is about it."""
    values = [estimate_cells([area], mark_best=False) + interval_cells([(area.low, area.high)]) for area in areas]
    numbers = [cell for of_area in values for cell in of_area]
    rest = [Cell(MISSING)] * (columns - 2 - len(numbers))
    return (Cell(f"Level alone ({side})"), Cell(MISSING), *numbers, *rest)


def _auc(group: Group | None) -> Estimate:
    return Estimate(math.nan) if group is None else detection_estimates(group)[0]


def _area_of_type(group: Group, kind: str) -> Estimate:
    areas = group.aucs("score", kind)[:, 0]
    return Estimate(float(areas.mean()), float(areas.std(ddof=1)) if len(areas) > 1 else math.nan)


def _runs(group: Group) -> str:
    if group.runs[0].membership is None:
        return str(group.runs[0].folder)
    return "1 seed" if len(group.runs) == 1 else f"{len(group.runs)} seeds"


def _spread(groups: Sequence[Group]) -> str:
    several = any(len(group.runs) > 1 for group in groups)
    deviation = " ± is the standard deviation between seeds;" if several else ""
    return (
        f"{deviation} {_INTERVAL} intervals: bootstrap over clips."
        if deviation
        else (f" {_INTERVAL}: bootstrap interval over clips.")
    )


def _published(group: Group, area: int) -> float:
    value = published.DETECTION.get(published.detection_system(group) or "", (None, None))[area]
    return math.nan if value is None else value


def _published_alone(groups: Sequence[Group], columns: int) -> tuple[Row, ...]:
    """The published systems that no group is a version of."""
    ours = {published.detection_system(group) for group in groups}
    rows = []
    for system, areas in published.DETECTION.items():
        if system not in ours:
            facts = number_cells([math.nan if area is None else area for area in areas], mark_best=False)
            empty = [Cell(MISSING)] * (columns - 4)
            rows.append((Cell(system), Cell("published"), *empty, *facts))
    return tuple(rows)


def _published_note(comparison: Comparison) -> str:
    """Whether the published numbers are of the same clips."""
    labels = comparison.first.clips.labels
    same = (int((labels == 0).sum()), dict(comparison.anomaly_types)) == (
        published.NORMAL_TEST_CLIPS,
        published.ANOMALOUS_CLIPS,
    )
    if same:
        return " Published: on the same test clips, one training run."
    return f" Published: on the {published.NORMAL_TEST_CLIPS:,} normal and 105 anomalous clips of the real planer."
