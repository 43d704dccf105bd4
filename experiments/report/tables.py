"""The comparison as tables, for the terminal and the page alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.figures import MAX_FPR, detection_areas
from experiments.figures.style import explainer_label, readable
from experiments.report.comparison import Comparison
from experiments.results import ClipValues

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    Attributes:
        text: What it says.
        best: Whether it is the best of its group, to be set in bold.
    """

    text: str
    best: bool = False


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Rows in groups within which runs are compared.

    Attributes:
        title: What the table shows.
        note: On what it rests and how to read it.
        header: Names of the columns.
        groups: Rows, the first `names` cells of which are names, the others numbers.
        names: Number of columns that hold names.
    """

    title: str
    note: str
    header: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    names: int


def all_tables(comparison: Comparison) -> list[Table]:
    """Every table that the runs have results for."""
    tables = [detection_table(comparison)]
    if comparison.measures:
        tables.append(explanation_table(comparison))
    if comparison.f1:
        tables.append(anomaly_type_table(comparison))
    return tables


def detection_table(comparison: Comparison) -> Table:
    """AUC and partial AUC, one row a run."""
    areas = [detection_areas(run.clips) for run in comparison.runs.values()]
    columns = [_numbers(column) for column in zip(*areas, strict=True)]
    names = [(Cell(label), Cell(str(run.folder))) for label, run in comparison.runs.items()]
    labels = comparison.first.clips.labels
    return Table(
        title="Detection",
        note=f"{int((labels == 0).sum())} normal and {int(labels.sum())} anomalous test clips. "
        f"pAUC: partial AUC up to a false-positive rate of {MAX_FPR:g}, standardised (McClish). Chance is 0.5.",
        header=("Model", "Run", "AUC", "pAUC"),
        groups=(tuple((*name, *values) for name, *values in zip(names, *columns, strict=True)),),
        names=2,
    )


def explanation_table(comparison: Comparison) -> Table:
    """Best F1, and F1 and faithfulness at one percentile; runs next to each other, explainer by explainer."""
    percentile = comparison.percentile
    assert percentile is not None
    f1, faithfulness = comparison.f1, comparison.faithfulness
    kinds = [kind for kind in ("frame", "segment") if any(values.defined(kind) for values in faithfulness.values())]
    header = ["Explainer", "Model", *(["Best F1", f"F1 p{percentile}"] if f1 else [])]
    header += [f"{kind.capitalize()} p{percentile}" for kind in kinds]

    groups = []
    for explainer in comparison.explainers:
        columns = []
        if f1:
            columns.append(_best_f1([f1.get(label) for label in comparison.runs], explainer))
            columns.append(_numbers(_at(comparison, f1, "f1", explainer)))
        columns += [_numbers(_at(comparison, faithfulness, kind, explainer)) for kind in kinds]
        groups.append(_group(explainer_label(explainer), comparison, columns))
    return Table(
        title="F1 and faithfulness",
        note=f"Means over {_explained(comparison)}. Best F1: highest over percentiles "
        f"{_span(comparison.measures)}, with its percentile. Frame and segment: faithfulness. "
        f"p{percentile}: frames at or above the {percentile}th percentile of a clip's curve are peaks.",
        header=tuple(header),
        groups=tuple(groups),
        names=2,
    )


def anomaly_type_table(comparison: Comparison) -> Table:
    """F1 at one percentile by type of anomaly."""
    percentile, f1 = comparison.percentile, comparison.f1
    first = next(iter(f1.values()))
    types = sorted(set(first.anomaly_types))
    counts = [first.anomaly_types.count(kind) for kind in types]
    groups = []
    for explainer in comparison.explainers:
        columns = [_numbers(_at(comparison, f1, "f1", explainer, kind)) for kind in types]
        groups.append(_group(explainer_label(explainer), comparison, columns))
    return Table(
        title="F1 by type of anomaly",
        note=f"At the {percentile}th percentile; in brackets the number of annotated clips.",
        header=(
            "Explainer",
            "Model",
            *(f"{readable(kind) or 'unknown'} ({n})" for kind, n in zip(types, counts, strict=True)),
        ),
        groups=tuple(groups),
        names=2,
    )


def measured_at(
    values: ClipValues | None, kind: str, explainer: str, percentile: int, anomaly_type: str | None
) -> float:
    """A measure's mean over clips at one percentile, NaN where there is none."""
    if values is None or explainer not in values.explainers:
        return math.nan
    mean = values.mean(kind, explainer, anomaly_type)
    return float(mean[values.percentiles.index(percentile)])


def best_f1(values: ClipValues, explainer: str) -> tuple[float, int]:
    """The highest mean F1 of an explainer over percentiles, and its percentile."""
    mean = values.mean("f1", explainer)
    best = int(np.argmax(mean))
    return float(mean[best]), values.percentiles[best]


def _at(
    comparison: Comparison,
    values: dict[str, ClipValues],
    kind: str,
    explainer: str,
    anomaly_type: str | None = None,
) -> list[float]:
    percentile = comparison.percentile
    assert percentile is not None
    return [measured_at(values.get(label), kind, explainer, percentile, anomaly_type) for label in comparison.runs]


def _best_f1(values: Sequence[ClipValues | None], explainer: str) -> list[Cell]:
    found = [
        best_f1(of_run, explainer) if of_run is not None and explainer in of_run.explainers else (math.nan, 0)
        for of_run in values
    ]
    cells = _numbers([value for value, _ in found])
    return [
        Cell(f"{cell.text} (p{percentile})", cell.best) if percentile else cell
        for cell, (_, percentile) in zip(cells, found, strict=True)
    ]


def _numbers(values: Sequence[float]) -> list[Cell]:
    """Numbers with three decimals, the highest marked if what is shown differs."""
    texts = [MISSING if math.isnan(value) else f"{value:.3f}" for value in values]
    shown = {text for text in texts if text != MISSING}
    best = max(shown, key=float) if len(shown) > 1 else None
    return [Cell(text, text == best) for text in texts]


def _group(name: str, comparison: Comparison, columns: Sequence[Sequence[Cell]]) -> tuple[Row, ...]:
    """One row a run, the group's name on the first only."""
    names = [(Cell(name if i == 0 else ""), Cell(label)) for i, label in enumerate(comparison.runs)]
    return tuple((*name_cells, *values) for name_cells, *values in zip(names, *columns, strict=True))


def _explained(comparison: Comparison) -> str:
    """How many clips the measures rest on."""
    annotated, explained = (
        len(next(iter(values.values())).names) if values else 0 for values in (comparison.f1, comparison.faithfulness)
    )
    if not explained or annotated == explained:
        return f"{annotated} annotated clips"
    if not annotated:
        return f"{explained} explained clips, none of them annotated"
    return f"{annotated} annotated clips (F1) and {explained} explained clips (faithfulness)"


def _span(measures: Sequence[ClipValues]) -> str:
    percentiles = {percentile for values in measures for percentile in values.percentiles}
    return f"{min(percentiles)} to {max(percentiles)}"
