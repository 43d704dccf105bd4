"""What two models differ by on each of several machines, and over all of them.

Every machine is a comparison of its own, on its own clips. What differs between machines is estimated from them too, so
that a summary is about machines like these, not about their clips (`metrics.functional.uncertainty.random_effects`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from experiments.report.comparison import Comparison, EvaluationSet, Model
from experiments.report.evidence import CONTROL, Evidence, same_seeds, where
from experiments.report.figures.style import readable
from experiments.report.table import Cell, Row, Table, cells, interval_cells, number_cells, signed_text
from experiments.report.tables import shown_percentile
from explainers.registry import explainer_label
from lightning_modules.wording import counted, join
from metrics.functional import anomaly_auroc
from metrics.functional.detection import bootstrap_auroc_difference
from metrics.functional.uncertainty import LEAST_MACHINES, Floats, random_effects
from metrics.measures import AREAS, MEASURES

AREA = "auc"
"""The measure of detection, which no explainer has."""

SUMMARY = "All machines"
"""Stands for the machine in the rows that summarise them."""

_TABLE = ["part", "first", "second", "measure"]
_VALUES = ["first_mean", "second_mean", "difference", "low", "high", "n_clips"]
_COLUMNS = [*_TABLE, "explainer", "machine", *_VALUES, "spread"]

_NORMAL_QUANTILE = 1.959964
"""Half the width of a 95 % interval in standard errors."""

_EXPLAINED = (
    ("difference", "Difference: the second model minus the first, averaged over the seeds that both have."),
    ("95 %", "95 %: bootstrap interval of the difference over clips."),
    (
        SUMMARY.lower(),
        f"{SUMMARY}: random-effects meta-analysis (Paule and Mandel; 95 %: interval of Hartung and Knapp), with "
        "standard errors from the intervals of the machines; missing where one has no width.",
    ),
    (
        "sd between machines",
        "SD between machines: standard deviation of the differences beyond what these intervals explain.",
    ),
)

Compared = Mapping[EvaluationSet, tuple[Comparison, Evidence]]


@dataclass(frozen=True, eq=False)
class MachineTable:
    """A table over machines, and the rows behind it.

    Attributes:
        measure: Its measure.
        table: One group per explainer with a row per machine.
        rows: Those rows of `machine_differences`.
        heading: What a figure of the rows shows on its axis.
    """

    measure: str
    table: Table
    rows: pd.DataFrame
    heading: str


def machine_differences(compared: Compared) -> pd.DataFrame:
    """The difference of two models on each machine and, from three machines on, over all.

    Args:
        compared: The comparison of each test set, with its evidence.

    Returns:
        One row per part of the test sets, pair of models (first and second, their labels), measure (`AREA`, or one with
        a chance level, over chance), explainer ("" for `AREA`) and machine, or `SUMMARY`: first_mean, second_mean,
        difference (second minus first), low and high (95 %), n_clips and, of a summary, spread, the standard deviation
        between machines.
    """
    frames = [
        _of_comparison(*of_set).assign(part=test_set.part, machine=test_set.machine)
        for test_set, of_set in compared.items()
    ]
    rows = pd.concat(frames, ignore_index=True).reindex(columns=_COLUMNS)
    summaries = [
        dict(zip([*_TABLE, "explainer"], key, strict=True)) | summary
        for key, of_key in rows.groupby([*_TABLE, "explainer"], sort=False)
        if (summary := _summary(of_key)) is not None
    ]
    return pd.concat([rows, pd.DataFrame(summaries, columns=_COLUMNS)], ignore_index=True) if summaries else rows


def _of_comparison(comparison: Comparison, evidence: Evidence) -> pd.DataFrame:
    """The differences of all pairs of models on one test set."""
    frames = []
    for first, second in comparison.pairs():
        pair = {"first": first.label, "second": second.label}
        if comparison.has_roc:
            frames.append(_area_row(comparison, first, second).assign(**pair))
        frames.append(where(evidence.paired, **pair, over_chance=True).dropna(subset="difference"))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_COLUMNS)


def _area_row(comparison: Comparison, first: Model, second: Model) -> pd.DataFrame:
    """The difference of the areas under the ROC, paired by clip and seed as explanations are."""
    labels = comparison.first.clips.sort_values("name")["label"].to_numpy()
    first_scores, second_scores = (
        np.array([model.runs[i].clips.sort_values("name")["score"] for i in chosen])
        for model, chosen in zip((first, second), same_seeds(first, second), strict=True)
    )
    found = bootstrap_auroc_difference(first_scores, second_scores, labels)
    means = {"first_mean": _mean_area(first_scores, labels), "second_mean": _mean_area(second_scores, labels)}
    ends = {"difference": float(found.mean), "low": float(found.low), "high": float(found.high)}
    return pd.DataFrame([{"measure": AREA, "explainer": "", **means, **ends, "n_clips": len(labels)}])


def _mean_area(scores: Floats, labels: Floats) -> float:
    """Mean area over runs of scores (R, N)."""
    return float(np.mean([anomaly_auroc(torch.tensor(run), torch.tensor(labels)) for run in scores]))


def _summary(rows: pd.DataFrame) -> dict[str, float | str] | None:
    """The random-effects summary of one difference, None of too few machines or where an interval has no width."""
    errors = (rows["high"] - rows["low"]) / (2 * _NORMAL_QUANTILE)
    if len(rows) < LEAST_MACHINES or not (errors > 0).all():
        return None
    found = random_effects(rows["difference"], errors)
    ends = {"difference": found.mean, "low": found.low, "high": found.high, "spread": found.spread}
    return {"machine": SUMMARY, **ends, "n_clips": rows["n_clips"].sum()}


def machine_tables(compared: Compared, rows: pd.DataFrame) -> list[MachineTable]:
    """One table per measure, pair of models and part of the test sets.

    A terminal shows detection and the first measure of each family.

    Args:
        compared: The comparison of each test set, with its evidence.
        rows: `machine_differences` of them.
    """
    comparison = next(iter(compared.values()))[0]
    order = [AREA, *comparison.headline]
    shown = {AREA, *{MEASURES[measure].family: measure for measure in reversed(comparison.headline)}.values()}
    parts = list(dict.fromkeys(rows["part"]))
    pairs = list(rows.groupby(["first", "second"], sort=False).groups)
    in_order = rows.sort_values(["measure", "part"], kind="stable", key=lambda of: of.map([*order, *parts].index))
    tables = []
    for (part, first, second, measure), of_table in in_order.groupby(_TABLE, sort=False):
        number = f"_{pairs.index((first, second)) + 1}" if len(pairs) > 1 else ""
        label = _label(measure)
        groups = tuple(_group(str(name), group) for name, group in of_table.groupby("explainer", sort=False))
        header: tuple[str, ...] = (
            "Explainer",
            "Machine",
            "Clips",
            first,
            second,
            "Difference",
            "95 %",
            "SD between machines",
        )
        if measure == AREA:  # which no explainer has
            header, groups = header[1:], tuple(tuple(row[1:] for row in group) for group in groups)
        table = Table(
            title=f"{label} by machine{f', {readable(part)}' if part else ''}: {second} against {first}",
            note=" ".join(filter(None, [_how(comparison, measure), _missing_summary(of_table), _mark(compared, part)])),
            header=tuple(header),
            groups=groups,
            names=len(header) - 6,
            name="_".join(filter(None, ["machines", measure, part])) + number,
            explained=_EXPLAINED,
            is_detail=measure not in shown,
        )
        tables.append(MachineTable(measure, table, of_table, f"{label}, {second} minus {first}"))
    return tables


def _label(measure: str) -> str:
    return AREAS[AREA] if measure == AREA else f"{MEASURES[measure].label} over chance"


def _how(comparison: Comparison, measure: str) -> str:
    """What the values of a measure are."""
    if measure == AREA:
        return "Paired by clip and seed."
    at = shown_percentile(comparison)
    return f"At the {at}, over chance: each clip's value minus its own chance level. Paired by clip and seed."


def _missing_summary(rows: pd.DataFrame) -> str:
    """Why there is no summary over machines, "" where there is any."""
    n_machines = rows.loc[rows["machine"] != SUMMARY, "machine"].nunique()
    if SUMMARY in set(rows["machine"]):
        return ""
    if n_machines >= LEAST_MACHINES:
        return "No summary: an interval without a width does not say how uncertain its difference is."
    return (
        f"No summary over {counted(n_machines, 'machine')}: how much a difference varies between machines can be "
        f"estimated from {LEAST_MACHINES} machines on."
    )


def machine_sentences(compared: Compared, rows: pd.DataFrame) -> list[str]:
    """For how many explainers the first measure differs, over all machines or on each, and why there is no summary."""
    comparison = next(iter(compared.values()))[0]
    if not comparison.headline:
        return []
    of_measure = where(rows, measure=comparison.headline[0])
    of_measure = of_measure[of_measure["explainer"] != CONTROL]
    found = []
    for (part, first, second), group in of_measure.groupby(["part", "first", "second"], sort=False):
        summary, machines = where(group, machine=SUMMARY), group.loc[group["machine"] != SUMMARY, "machine"]
        counts = []
        for machine, of_machine in (summary if len(summary) else group).groupby("machine", sort=False):
            numbers = {"higher": int((of_machine["low"] > 0).sum()), "lower": int((of_machine["high"] < 0).sum())}
            said = [f"{verdict} for {number}" for verdict, number in numbers.items() if number]
            place = f"over {counted(machines.nunique(), 'machine')}" if machine == SUMMARY else f"on {machine}"
            counts.append(f"{place} {join(said) or 'different for none'} of {counted(len(of_machine), 'explainer')}")
        of_part = f", {readable(part)}" if part else ""
        found.append(
            f"{_label(comparison.headline[0])} at the {shown_percentile(comparison)}{of_part}, {second} against "
            f"{first}, by 95 % intervals: {join(counts)}."
        )
    return [*found, *filter(None, [_missing_summary(rows)])]


def _group(explainer: str, rows: pd.DataFrame) -> tuple[Row, ...]:
    """The rows of one explainer, machines in their order and the summary last."""
    name = explainer_label(explainer) if explainer else "–"
    columns = [
        [Cell(name)] * len(rows),
        [Cell(machine) for machine in rows["machine"]],
        cells(rows["n_clips"], "{:.0f}".format),
        cells(rows["first_mean"], _text),
        cells(rows["second_mean"], _text),
        cells(rows["difference"], signed_text),
        interval_cells(rows["low"], rows["high"]),
        number_cells(rows["spread"]),
    ]
    return tuple(zip(*columns, strict=True))


def _text(value: float) -> str:
    return signed_text(value).removeprefix("+")


def _mark(compared: Compared, part: str) -> str:
    """What to know of the test sets and networks behind a table."""
    marks = [comparison.mark for found, (comparison, _) in compared.items() if found.part == part]
    return "".join(dict.fromkeys(marks)).strip()
