"""Tables of the measures of explanations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from experiments.report import published
from experiments.report.comparison import Comparison
from experiments.report.evidence import MEASURES, ORACLE, ChanceTest, Estimate, best_chance_tests, chance_tests
from experiments.report.figures.style import explainer_label, readable
from experiments.report.groups import Group
from experiments.report.published_curves import published_curve
from experiments.report.tables.table import (
    Cell,
    Row,
    Table,
    capitalised,
    estimate_cells,
    interval_cells,
    named_rows,
    no_width,
    number_cells,
    p_cells,
    shown_percentile,
    without_empty_columns,
)
from lightning_modules.wording import counted

Tests = Mapping[tuple[str, str], ChanceTest]

SHORT = {"f1": "F1", "frame": "Frame", "segment": "Segment"}
"""The measures as columns are headed."""

_NULL = (
    "Chance: mean over circular shifts of each clip's curve; p: permutation test against these shifts, one-sided, "
    "with Holm's correction over a model's explainers"
)


def overview_table(comparison: Comparison) -> Table:
    """F1 and faithfulness at one percentile with their tests against chance."""
    measures = [measure for measure in MEASURES if comparison.measured(measure)]
    header = ["Explainer", "Model"]
    for measure in measures:
        extra = ["Chance"] if measure == "f1" else []
        header += [SHORT[measure], *extra, f"{SHORT[measure]} p"]

    def row_columns(explainer: str, labels: list[str]) -> list[list[Cell]]:
        columns = []
        for measure in measures:
            tests = [chance_tests(comparison, measure).get((label, explainer)) for label in labels]
            columns.append(number_cells([_mean(test) for test in tests]))
            if measure == "f1":
                columns.append(number_cells([test.chance if test else math.nan for test in tests], mark_best=False))
            columns.append(p_cells([test.p_holm if test else math.nan for test in tests]))
        return columns

    table = Table(
        title="F1 and faithfulness",
        note=f"At the {shown_percentile(comparison)}: frames at or above it on a clip's curve are peaks. Means over "
        f"{clips_behind(comparison)}. Frame and segment: faithfulness.{_null_note(comparison)}",
        header=tuple(header),
        groups=_groups(comparison, row_columns),
        names=2,
        name="explanations",
        brief=("Explainer", "Model", "F1", "Chance", "F1 p", "Frame", "Segment"),
    )
    return without_empty_columns(table, keep=[SHORT[measure] for measure in measures])


def measure_table(comparison: Comparison, measure: str, best: bool = False) -> Table:
    """One measure with interval, chance, references and test, at the tables' percentile or at each one's best."""
    tests = best_chance_tests(comparison, measure) if best else chance_tests(comparison, measure)
    short = SHORT[measure]
    header = [
        "Explainer", "Model", *(["Percentile"] if best else []), short, "95 %", "Chance", "Corrected", "p", "p (Holm)",
        "Random frames", "All frames", "Oracle", "Published",
    ]  # fmt: skip

    def row_columns(explainer: str, labels: list[str]) -> list[list[Cell]]:
        found = [tests.get((label, explainer)) or _no_test(comparison) for label in labels]
        groups = [comparison.groups[label] for label in labels]
        facts = [
            published_curve(group, measure, explainer).get(test.percentile, math.nan)
            for group, test in zip(groups, found, strict=True)
        ]
        return [
            *([[Cell(str(test.percentile)) for test in found]] if best else []),
            estimate_cells([test.value for test in found]),
            interval_cells([(test.value.low, test.value.high) for test in found]),
            number_cells([test.chance for test in found], mark_best=False),
            number_cells([test.corrected for test in found]),
            p_cells([test.p_value for test in found]),
            p_cells([test.p_holm for test in found]),
            *(
                number_cells([test.references[name] for test in found], mark_best=False)
                for name in ("random_frames", "all_frames", "oracle")
            ),
            number_cells(facts, mark_best=False),
        ]

    where = "the best percentile of each" if best else f"the {shown_percentile(comparison)}"
    choice = "; p allows for the choice of the percentile" if best else ""
    name = MEASURES[measure]
    table = Table(
        title=f"{capitalised(name)} at {where}",
        note=f"Means over {counted(len(comparison.first_explained.clip_names(measure)), 'clip')};{_spread_note(tests)} "
        f"95 % is the bootstrap interval (BCa) over clips."
        f"{no_width([(test.value.low, test.value.high) for test in tests.values()])}"
        f"{_null_note(comparison, choice)}{_corrected_note(tests, measure)}",
        header=tuple(header),
        groups=_groups(comparison, row_columns),
        names=2,
        name=f"{measure}{'_best' if best else ''}",
        brief=(),
    )
    return without_empty_columns(table, keep=(short,))


def anomaly_type_table(comparison: Comparison) -> Table:
    """F1 at one percentile by type of anomaly, with its chance level and what is published."""
    groups = comparison.measured("f1")
    found = next(iter(groups.values())).clip_types("f1")
    types = sorted(set(found))
    columns = [f"{readable(kind) or 'unknown'} ({found.count(kind)})" for kind in types]
    at = comparison.at

    def row_columns(explainer: str, labels: list[str]) -> list[list[Cell]]:
        cells = []
        for kind in types:
            values = [comparison.groups[label].means("f1", explainer, kind)[:, at] for label in labels]
            chance = [comparison.groups[label].means("f1_chance", explainer, kind)[:, at] for label in labels]
            facts = [_published_of_type(comparison.groups[label], explainer, kind) for label in labels]
            cells += [
                estimate_cells([_spread(value) for value in values]),
                number_cells([float(value.mean()) for value in chance], mark_best=False),
                number_cells(facts if comparison.percentile == 98 else [math.nan] * len(facts), mark_best=False),
            ]
        return cells

    table = Table(
        title="F1 by type of anomaly",
        note=f"At the {shown_percentile(comparison)}; in brackets the number of annotated clips.",
        header=("Explainer", "Model", *(f"{name}{part}" for name in columns for part in ("", " chance", " published"))),
        groups=_groups(comparison, row_columns),
        names=2,
        name="f1_by_type",
        brief=("Explainer", "Model", *columns),
    )
    return without_empty_columns(table, keep=columns)


def clips_behind(comparison: Comparison) -> str:
    """How many clips the measures rest on."""
    annotated, explained = (
        max((len(group.clip_names(measure)) for group in comparison.explained.values()), default=0)
        for measure in ("f1", "frame")
    )
    if not explained or annotated == explained:
        return counted(annotated, "annotated clip")
    if not annotated:
        return f"{counted(explained, 'explained clip')}, none of them annotated"
    return f"{counted(annotated, 'annotated clip')} (F1) and {counted(explained, 'explained clip')} (faithfulness)"


def _null_note(comparison: Comparison, choice: str = "") -> str:
    """How chance and p-values come about, where the runs have them."""
    known = any(group.measured(f"{measure}_chance") for group in comparison.explained.values() for measure in MEASURES)
    return f" {_NULL}{choice}." if known else ""


def _corrected_note(tests: Tests, measure: str) -> str:
    """What 0 and 1 of the corrected value are, where there is one."""
    if all(math.isnan(test.corrected) for test in tests.values()):
        return ""
    return f" Corrected: (value − chance) / (oracle − chance). {ORACLE[measure]}"


def _spread_note(tests: Tests) -> str:
    several = any(not math.isnan(test.value.sd) for test in tests.values())
    return " ± is the standard deviation between seeds, where there are several;" if several else ""


def _groups(
    comparison: Comparison, row_columns: Callable[[str, list[str]], list[list[Cell]]]
) -> tuple[tuple[Row, ...], ...]:
    """A group of rows an explainer, in it a row for each model that has it."""
    groups = []
    for explainer in comparison.explainers:
        labels = [label for label, group in comparison.explained.items() if explainer in group.explainers]
        groups.append(named_rows(explainer_label(explainer), labels, row_columns(explainer, labels)))
    return tuple(groups)


def _mean(test: ChanceTest | None) -> float:
    return test.value.mean if test else math.nan


def _no_test(comparison: Comparison) -> ChanceTest:
    assert comparison.percentile is not None
    references = dict.fromkeys(("random_frames", "all_frames", "oracle"), math.nan)
    return ChanceTest(comparison.percentile, Estimate(math.nan), math.nan, references, math.nan)


def _spread(of_runs: np.ndarray) -> Estimate:
    return Estimate(float(of_runs.mean()), float(of_runs.std(ddof=1)) if len(of_runs) > 1 else math.nan)


def _published_of_type(group: Group, explainer: str, kind: str) -> float:
    if not published.is_planer(group):
        return math.nan
    return published.F1_BY_TYPE.get((group.objective, explainer), {}).get(kind, math.nan)
