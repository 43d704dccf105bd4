"""Tables of paired comparisons."""

from __future__ import annotations

import math

from experiments.report.comparison import Comparison
from experiments.report.evidence import MEASURES
from experiments.report.figures.style import explainer_label
from experiments.report.groups import Group
from experiments.report.pairing import PairedTest, explainer_tests, paired_tests, pairs
from experiments.report.published_curves import published_curve
from experiments.report.tables.explanations import SHORT
from experiments.report.tables.table import (
    MISSING,
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

_OVER_CHANCE = ("Over chance", "Over chance 95 %", "Over chance p (Holm)")

_NOTE = (
    "Over chance, in the page and files: the same of each clip's value minus its own chance level, the mean over "
    "circular shifts of its curve on the same model; that takes out what models differ by where nothing is explained, "
    "but not a scale that stretches what is above chance."
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
        over_chance = paired_tests(comparison, first, second, measure, over_chance=True)
        further = zip(*_over_chance_columns([over_chance.get(explainer) for explainer in tests]),
                      number_cells(facts, mark_best=False), strict=True)  # fmt: skip
        groups.append(tuple((*row, *cells) for row, cells in zip(rows, further, strict=True)))
    shared = {seed for seed in first.seeds if seed is not None} & set(second.seeds)
    paired_by = f"clip and seed ({len(shared)} shared)" if shared else "clip"
    table = Table(
        title=f"{second.label} against {first.label}",
        note=f"At the {shown_percentile(comparison)}, paired by {paired_by}. Difference: {second.label} minus "
        f"{first.label}. {_TESTS.format(family='explainers')}.{_over_chance_note(comparison)}",
        header=(
            "Measure",
            "Explainer",
            first.label,
            second.label,
            "Difference",
            "95 %",
            "p",
            "p (Holm)",
            *_OVER_CHANCE,
            "Published",
        ),
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


def _over_chance_columns(tests: list[PairedTest | None]) -> list[list[Cell]]:
    """Difference, interval and corrected p-value of values over their own chance levels, missing without these."""
    found = [(math.nan,) * 4 if test is None else (test.difference, test.low, test.high, test.p_holm) for test in tests]
    return [
        [Cell(MISSING) if math.isnan(of[0]) else Cell(signed_text(of[0]), numbers=(("", of[0]),)) for of in found],
        interval_cells([(low, high) for _, low, high, _ in found]),
        p_cells([p_holm for *_, p_holm in found]),
    ]


def _over_chance_note(comparison: Comparison) -> str:
    known = any(comparison.measured(f"{measure}_chance") for measure in MEASURES)
    return f" {_NOTE}" if known else ""


def _published_difference(comparison: Comparison, groups: tuple[Group, Group], measure: str, explainer: str) -> float:
    """What the paper's curves differ by, second minus first, where they are of these two objectives."""
    assert comparison.percentile is not None
    first, second = (
        published_curve(group, measure, explainer).get(comparison.percentile, math.nan) for group in groups
    )
    return second - first if groups[0].objective != groups[1].objective else math.nan
