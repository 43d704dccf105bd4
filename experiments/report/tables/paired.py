"""Tables of paired comparisons."""

from __future__ import annotations

import math

from experiments.figures.style import explainer_label
from experiments.report.comparison import Comparison
from experiments.report.evidence import MEASURES, PairedTest, explainer_tests, paired_tests, pairs
from experiments.report.groups import Group
from experiments.report.published_curves import published_curve
from experiments.report.tables.explanations import SHORT
from experiments.report.tables.table import (
    Cell,
    Row,
    Table,
    interval_cells,
    number_cells,
    p_cells,
    shown_percentile,
    signed_text,
    without_empty_columns,
)

_TESTS = (
    "Frame and segment: faithfulness. p: Wilcoxon's signed-rank test over clips, two-sided; p (Holm): corrected over "
    "the {family}; 95 %: bootstrap interval (BCa) of the difference over clips, each averaged over its seeds first"
)


def paired_tables(comparison: Comparison) -> list[Table]:
    """One table for each pair of models."""
    found = pairs(comparison)
    tables = [_paired_table(comparison, first, second, i if len(found) > 1 else 0) for i, (first, second)
              in enumerate(found, start=1)]  # fmt: skip
    return [table for table in tables if table.groups]


def masked_error_table(comparison: Comparison) -> Table | None:
    """The masked error map against the plain one, None where no model has both."""
    groups = []
    for measure in MEASURES:
        tests = explainer_tests(comparison, "error_map", "masked_error_map", measure)
        groups.append(_rows(SHORT[measure], list(tests), list(tests.values())))
    groups = [group for group in groups if group]
    if not groups:
        return None
    return Table(
        title="Masked error map against error map",
        note=f"At the {shown_percentile(comparison)}. Difference: masked error map minus error map. "
        f"{_TESTS.format(family='models')}.",
        header=("Measure", "Model", "Error map", "Masked", "Difference", "95 %", "p", "p (Holm)"),
        groups=tuple(groups),
        names=2,
        name="masked_error_map",
        brief=("Measure", "Model", "Difference", "95 %", "p (Holm)"),
    )


def _paired_table(comparison: Comparison, first: Group, second: Group, number: int) -> Table:
    groups = []
    for measure in MEASURES:
        tests = paired_tests(comparison, first, second, measure)
        facts = [_published_difference(comparison, (first, second), measure, explainer) for explainer in tests]
        rows = _rows(SHORT[measure], [explainer_label(explainer) for explainer in tests], list(tests.values()))
        groups.append(tuple((*row, fact) for row, fact in zip(rows, number_cells(facts, mark_best=False), strict=True)))
    shared = {seed for seed in first.seeds if seed is not None} & set(second.seeds)
    paired_by = f"clip and seed ({len(shared)} shared)" if shared else "clip"
    table = Table(
        title=f"{second.label} against {first.label}",
        note=f"At the {shown_percentile(comparison)}, paired by {paired_by}. Difference: {second.label} minus "
        f"{first.label}. {_TESTS.format(family='explainers')}.",
        header=("Measure", "Explainer", first.label, second.label, "Difference", "95 %", "p", "p (Holm)", "Published"),
        groups=tuple(group for group in groups if group),
        names=2,
        name=f"paired_{number}" if number else "paired",
        brief=("Measure", "Explainer", "Difference", "95 %", "p (Holm)"),
    )
    return without_empty_columns(table) if table.groups else table


def _rows(name: str, labels: list[str], tests: list[PairedTest]) -> tuple[Row, ...]:
    columns = [
        number_cells([test.first for test in tests], mark_best=False),
        number_cells([test.second for test in tests], mark_best=False),
        [Cell(signed_text(test.difference), numbers=(("", test.difference),)) for test in tests],
        interval_cells([(test.low, test.high) for test in tests]),
        p_cells([test.p_value for test in tests]),
        p_cells([test.p_holm for test in tests]),
    ]
    names = [(Cell(name if i == 0 else ""), Cell(label)) for i, label in enumerate(labels)]
    return tuple((*of_row, *values) for of_row, *values in zip(names, *columns, strict=True))


def _published_difference(comparison: Comparison, groups: tuple[Group, Group], measure: str, explainer: str) -> float:
    """What the paper's curves differ by, second minus first, where they are of these two objectives."""
    assert comparison.percentile is not None
    first, second = (
        published_curve(group, measure, explainer).get(comparison.percentile, math.nan) for group in groups
    )
    return second - first if groups[0].objective != groups[1].objective else math.nan
