"""A comparison's evidence as tables, for the terminal, the page and files alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from experiments.report import published
from experiments.report.clips_table import clips_table
from experiments.report.comparison import Comparison, Model
from experiments.report.evidence import CONTROL, LEVEL, LEVEL_ALONE, SIGNIFICANCE, Evidence, at_headline, where
from experiments.report.figures.style import readable
from experiments.report.table import (
    MISSING,
    Cell,
    Row,
    Table,
    cells,
    interval_cells,
    named_rows,
    number_cells,
    ordinal,
    p_text,
    signed_text,
)
from experiments.report.training import premature, training_table
from explainers.registry import explainer_label
from explainers.sanity import CHECKS
from lightning_modules.wording import counted, join
from metrics.measures import AREAS, MAX_FPR, MEASURES, REFERENCES, SCORES

Columns = dict[str, list[Cell]]
"""Cells of a group of rows, by the column's heading."""

Explained = tuple[tuple[str, str], ...]

_FAMILY = f"the explainers except the {explainer_label(CONTROL).lower()}, a control, whose p is not corrected"
_PAIRED = (
    ("p", "p: Wilcoxon's signed-rank test over clips, two-sided."),
    ("95 %", "95 %: bootstrap interval (BCa) of the difference over clips, each averaged over its seeds first."),
)
_OVER_CHANCE = (
    "over chance",
    "Over chance: the same for each clip's value minus its own chance level, the mean over circular shifts of its "
    "curve with the same model. This removes what the models differ by wherever maps point; if all values of one model "
    "are larger by a factor, so is what is above chance.",
)


NOT_ABOVE_REFERENCES = "*: not above random frames or all frames, see the table of the measure."


def all_tables(comparison: Comparison, evidence: Evidence) -> dict[str, list[Table]]:
    """Every table that the runs have results for, by section of the page."""
    return {
        "Data": _marked(comparison, [clips_table(comparison)]),
        "Detection": detection_tables(comparison, evidence),
        "Explanations": explanation_tables(comparison, evidence),
        "Training": _marked(comparison, [training_table(comparison)]),
    }


def detection_tables(comparison: Comparison, evidence: Evidence) -> list[Table]:
    """Detection by model, by type of anomaly and by mask."""
    tables: list[Table | None] = [detection_table(comparison, evidence)]
    if comparison.has_roc:
        tables += [detection_type_table(comparison, evidence), ablation_table(comparison, evidence)]
    return _marked(comparison, tables)


def explanation_tables(comparison: Comparison, evidence: Evidence) -> list[Table]:
    """Explanations: the overview, models compared, each measure on its own, and checks."""
    tables: list[Table | None] = []
    if comparison.headline:
        tables += [overview_table(comparison, evidence), *paired_tables(comparison, evidence)]
        tables += [masked_table(comparison, evidence), anomaly_type_table(comparison, evidence)]
        for measure in comparison.headline:
            tables += [measure_table(comparison, evidence, measure, best) for best in (False, True)]
    tables += [area_table(comparison, evidence), checks_table(comparison, evidence)]
    return _marked(comparison, tables)


def _marked(comparison: Comparison, tables: Iterable[Table | None]) -> list[Table]:
    """The tables that there are; each says whether its test set is constructed."""
    return [replace(table, note=f"{table.note}{comparison.mark}") for table in tables if table is not None]


def detection_table(comparison: Comparison, evidence: Evidence) -> Table:
    """AUC and partial AUC of the scores, one row per model, and what is published of the same systems."""
    models = comparison.models
    areas = where(evidence.detection, anomaly_type="")
    columns: Columns = {"Runs": [Cell(_runs(model)) for model in models.values()]}
    for key, score in SCORES.items():
        for area, name in AREAS.items() if key != LEVEL else ():
            found = _by_model(areas, models, score=key, measure=area)
            heading = f"{name}, {score.label}" if score.label else name
            columns[heading] = number_cells(found["mean"], found["sd"], "max")
            columns[f"{heading} 95 %"] = interval_cells(found["low"], found["high"])
    groups = [_rows(models, columns)]
    level = where(areas, model=LEVEL_ALONE)
    level_note = ""
    if len(level):
        numbers = zip(number_cells(level["mean"]), interval_cells(level["low"], level["high"]), strict=True)
        columns_of_areas = (column for name in AREAS.values() for column in (name, f"{name} 95 %"))
        values = dict(zip(columns_of_areas, chain(*numbers), strict=True))
        groups.append((_row(list(columns)[1:], f"Level alone ({evidence.level_side})", MISSING, values),))
        level_note = (
            " Level alone: the score is the root mean square of the recording in dB (the mean of a spectrogram file), "
            "with the sign that gives an AUC of at least 0.5."
        )
    if comparison.has_roc and all(published.is_planer(model) for model in models.values()):
        systems = published.DETECTION.items()
        facts = [(name, dict(zip(AREAS.values(), number_cells(areas), strict=True))) for name, areas in systems]
        groups.append(tuple(_row(list(columns)[1:], name, "published", values) for name, values in facts))
    labels = comparison.first.clips["label"]
    undefined = ", so the AUC is undefined" if labels.nunique() == 1 else ""
    return Table(
        title="Detection",
        note=f"{int((labels == 0).sum())} normal and {int(labels.sum())} anomalous test clips{undefined}. "
        f"pAUC: partial AUC up to a false-positive rate of {MAX_FPR:g}, standardised (McClish). Chance is 0.5."
        f"{level_note}{_spread_note(models.values())}",
        header=("Model", *columns),
        groups=tuple(groups),
        names=2,
        name="detection",
        explained=(("95 %", "95 %: bootstrap interval over clips."), _published_note(comparison)),
        terminal=("Model", "Runs", *AREAS.values(), f"{AREAS['auc']}, {SCORES['masked_score'].label}"),
        keep=tuple(AREAS.values()),
    )


def detection_type_table(comparison: Comparison, evidence: Evidence) -> Table:
    """AUC by type of anomaly."""
    types = comparison.anomaly_types
    columns: Columns = {}
    for kind in sorted(types):
        found = _by_model(evidence.detection, comparison.models, score="score", measure="auc", anomaly_type=kind)
        columns[f"{readable(kind)} ({types[kind]})"] = number_cells(found["mean"], found["sd"], "max")
    single = " The AUC of a single clip is the share of normal clips with a lower score: it says little of its type."
    return Table(
        title="AUC by type of anomaly",
        note="Clips of one type against all normal clips; in brackets the number of anomalous clips."
        + single * (1 in types.values()),
        header=("Model", *columns),
        groups=(_rows(comparison.models, columns),),
        names=1,
        name="detection_by_type",
        is_detail=True,
    )


def ablation_table(comparison: Comparison, evidence: Evidence) -> Table | None:
    """AUC by mask ratio and patch size (Table 2), None unless several masks were compared."""
    models = {
        mask: model
        for model in comparison.models.values()
        if model.objective == "MAE" and (mask := published.mask(model)) is not None
    }
    if len(models) < 2:
        return None
    ratios, sizes = sorted({ratio for ratio, _ in models}, reverse=True), sorted({size for _, size in models})
    planer = all(published.is_planer(model) for model in models.values())
    columns: Columns = {}
    for size in sizes:
        labels = [models[ratio, size].label if (ratio, size) in models else None for ratio in ratios]
        found = _by_model(evidence.detection, labels, score="score", measure="auc", anomaly_type="")
        columns[f"{size} × {size}"] = number_cells(found["mean"], found["sd"], "max")
    for size in sizes if planer else ():
        facts = [published.ABLATION.get((ratio, size), math.nan) for ratio in ratios]
        columns[f"{size} × {size} published"] = number_cells(facts)
    return Table(
        title="AUC by mask ratio and patch size",
        note=f"MAE; a patch is a square of mel bands and frames.{_spread_note(models.values())}",
        header=("Mask ratio", *columns),
        groups=(_rows([f"{100 * ratio:.0f} %" for ratio in ratios], columns),),
        names=1,
        name="mask_ablation",
        explained=(_published_note(comparison),),
    )


def overview_table(comparison: Comparison, evidence: Evidence, with_published: bool = True) -> Table:
    """The headline measures at one percentile with chance levels, tests, verdicts and the paper's values."""
    shown = at_headline(comparison, evidence)

    def columns(explainer: str, labels: list[str]) -> Columns:
        found: Columns = {}
        for measure in comparison.headline:
            rows = _by_model(shown, labels, explainer=explainer, measure=measure)
            label = MEASURES[measure].label
            found[label] = number_cells(rows["mean"], best=MEASURES[measure].direction)
            found[f"{label} chance"] = number_cells(rows["chance"])
            found[f"{label} p (Holm)"] = cells(rows["p_holm"], p_text)
            found[f"{label} verdict"] = _verdict_cells(rows, in_full=False)
        return found

    def published_values(model: Model, explainer: str) -> dict[str, float]:
        at, curve = comparison.percentile or 0, published.published_curve
        return {
            MEASURES[measure].label: curve(model, measure, explainer).get(at, math.nan)
            for measure in comparison.headline
        }

    labels = tuple(MEASURES[measure].label for measure in comparison.headline)
    return _by_explainer(
        comparison,
        columns,
        published_values=published_values if with_published else None,
        title=f"Explanations at the {shown_percentile(comparison)}",
        note=f"Means over {_n_clips(comparison)}; frames at or above the percentile of a clip's curve are peaks.",
        name="explanations",
        explained=(*_chance(comparison), ("*", NOT_ABOVE_REFERENCES)),
        terminal=("Explainer", "Model", labels[0], f"{labels[0]} chance", f"{labels[0]} verdict", *labels[1:]),
        keep=labels,
    )


def measure_table(comparison: Comparison, evidence: Evidence, measure: str, best: bool = False) -> Table:
    """One measure with interval, chance, references, test and verdict.

    Args:
        comparison: The runs.
        evidence: Of the comparison.
        measure: A key of `MEASURES`.
        best: Whether at the best percentile of each model and explainer, instead of the one that tables show.
    """
    entry = MEASURES[measure]
    chosen = where(evidence.best if best else at_headline(comparison, evidence), measure=measure)

    def columns(explainer: str, labels: list[str]) -> Columns:
        rows = _by_model(chosen, labels, explainer=explainer)
        percentiles = [MISSING if np.isnan(percentile) else f"{percentile:.0f}" for percentile in rows["percentile"]]
        return {
            **({"Percentile": list(map(Cell, percentiles))} if best else {}),
            entry.label: number_cells(rows["mean"], rows["sd"], entry.direction),
            "95 %": interval_cells(rows["low"], rows["high"]),
            "Chance": number_cells(rows["chance"]),
            "Corrected": number_cells(rows["corrected"], best="max"),
            "p": cells(rows["p"], p_text),
            "p (Holm)": cells(rows["p_holm"], p_text),
            "Verdict": _verdict_cells(rows, in_full=True),
            **{label: number_cells(rows[name]) for name, label in REFERENCES.items()},
            "Published": number_cells(rows["published"]),
        }

    percentile = "the best percentile of each" if best else f"the {shown_percentile(comparison)}"
    several = " ± is the standard deviation between seeds, where there are several." * bool(chosen["sd"].notna().any())
    return _by_explainer(
        comparison,
        columns,
        title=f"{entry.label} at {percentile}",
        note=f"Means over {counted(comparison.n_clips(measure), 'clip')}.{several}",
        name=f"{measure}{'_best' if best else ''}",
        explained=(
            ("95 %", "95 %: bootstrap interval (BCa) over clips."),
            *_chance(comparison, best),
            ("corrected", f"Corrected: (value − chance) / (oracle − chance). {entry.oracle}"),
        ),
        latex=(
            *("Explainer", "Model", "Percentile", entry.label, "95 %", "Chance", "Corrected", "p (Holm)"),
            *(*REFERENCES.values(), "Published"),
        ),
        keep=(entry.label,),
        is_detail=True,
    )


def anomaly_type_table(comparison: Comparison, evidence: Evidence) -> Table | None:
    """F1 at one percentile by type of anomaly, with its chance level and what is published; None without F1."""
    by_type = where(evidence.explanations, measure="f1", percentile=comparison.percentile)
    by_type = by_type[by_type["anomaly_type"] != ""]
    if by_type.empty:
        return None
    n_clips = by_type.groupby("anomaly_type")["n_clips"].first()
    headings = {kind: f"{readable(str(kind))} ({number})" for kind, number in n_clips.items()}

    def columns(explainer: str, labels: list[str]) -> Columns:
        found: Columns = {}
        for kind, heading in headings.items():
            rows = _by_model(by_type, labels, anomaly_type=kind, explainer=explainer)
            found[heading] = number_cells(rows["mean"], rows["sd"], "max")
            found[f"{heading} chance"] = number_cells(rows["chance"])
        return found

    def published_values(model: Model, explainer: str) -> dict[str, float]:
        at, curve = comparison.percentile or 0, published.published_curve
        return {name: curve(model, "f1", explainer, str(kind)).get(at, math.nan) for kind, name in headings.items()}

    return _by_explainer(
        comparison,
        columns,
        published_values=published_values,
        title="F1 by type of anomaly",
        note=f"At the {shown_percentile(comparison)}; in brackets the number of annotated clips.",
        name="f1_by_type",
        terminal=("Explainer", "Model", *headings.values()),
        latex=("Explainer", "Model", *(column for name in headings.values() for column in (name, f"{name} chance"))),
        keep=tuple(headings.values()),
    )


def paired_tables(comparison: Comparison, evidence: Evidence) -> list[Table]:
    """One table for each pair of models."""
    pairs = [
        (first, second, tests)
        for first, second in comparison.pairs()
        if len(tests := where(evidence.paired, first=first.label, second=second.label))
    ]
    names = [f"paired_{i}" for i in range(1, len(pairs) + 1)] if len(pairs) > 1 else ["paired"]
    return [_paired_table(comparison, *pair, name) for pair, name in zip(pairs, names, strict=False)]


def _paired_table(comparison: Comparison, first: Model, second: Model, tests: pd.DataFrame, name: str) -> Table:
    raw, over_chance = where(tests, over_chance=False), where(tests, over_chance=True)
    columns, groups = {}, []
    for measure in comparison.headline:
        rows = where(raw, measure=measure).set_index("explainer")
        over = where(over_chance, measure=measure).set_index("explainer").reindex(rows.index)
        columns = {
            **_test_cells(rows, first.label, second.label),
            "Over chance": cells(over["difference"], signed_text),
            "Over chance 95 %": interval_cells(over["low"], over["high"]),
            "Over chance p (Holm)": cells(over["p_holm"], p_text),
            "Over chance verdict": [Cell(text) for text in over["verdict"].fillna(MISSING)],
            "Published": number_cells(rows["published"]),
        }
        labels = [explainer_label(name) for name in rows.index]
        groups.append(named_rows(MEASURES[measure].label, labels, columns.values()))
    shared = len({seed for seed in first.seeds if seed >= 0} & set(second.seeds))
    paired_by = f"clip and seed ({shared} shared)" if shared else "clip"
    caution = f" Premature: {reason}." if (reason := premature(first, second)) else ""
    return Table(
        title=f"{second.label} against {first.label}",
        note=f"At the {shown_percentile(comparison)}, paired by {paired_by}. Difference: {second.label} minus "
        f"{first.label}.{caution}",
        header=("Measure", "Explainer", *columns),
        groups=tuple(groups),
        names=2,
        name=name,
        explained=(*_PAIRED, *_verdicts(_FAMILY), _OVER_CHANCE, _published_note(comparison)),
        terminal=("Measure", "Explainer", "Difference", "95 %", "p (Holm)", "Verdict"),
        latex=(
            *("Measure", "Explainer", first.label, second.label, "Difference", "95 %", "p (Holm)", "Verdict"),
            "Published",
        ),
    )


def masked_table(comparison: Comparison, evidence: Evidence) -> Table | None:
    """The masked error map against the error map, None where no model has both."""
    columns, groups = {}, []
    for measure, tests in evidence.masked.groupby("measure", sort=False):
        columns = _test_cells(tests, explainer_label("error_map"), "Masked")
        groups.append(named_rows(MEASURES[str(measure)].label, list(tests["model"]), columns.values()))
    if not groups:
        return None
    return Table(
        title="Masked error map against error map",
        note=f"At the {shown_percentile(comparison)}. Difference: masked error map minus error map.",
        header=("Measure", "Model", *columns),
        groups=tuple(groups),
        names=2,
        name="masked_error_map",
        explained=(*_PAIRED, *_verdicts("the models")),
        terminal=("Measure", "Model", "Difference", "95 %", "p (Holm)", "Verdict"),
    )


def _test_cells(tests: pd.DataFrame, first: str, second: str) -> Columns:
    return {
        first: number_cells(tests["first_mean"]),
        second: number_cells(tests["second_mean"]),
        "Difference": cells(tests["difference"], signed_text),
        "95 %": interval_cells(tests["low"], tests["high"]),
        "p": cells(tests["p"], p_text),
        "p (Holm)": cells(tests["p_holm"], p_text),
        "Verdict": [Cell(text) for text in tests["verdict"]],
    }


def area_table(comparison: Comparison, evidence: Evidence) -> Table | None:
    """Areas under the deletion and insertion curves, None where no run has them."""
    areas = evidence.areas
    if areas.empty:
        return None
    arrows = {"min": "↓", "max": "↑"}

    def columns(explainer: str, labels: list[str]) -> Columns:
        found: Columns = {}
        for measure in areas["measure"].unique():
            rows, entry = _by_model(areas, labels, measure=measure, explainer=explainer), MEASURES[measure]
            found[f"{entry.label} {arrows[entry.direction]}"] = number_cells(rows["mean"], rows["sd"], entry.direction)
        return found

    return _by_explainer(
        comparison,
        columns,
        areas,
        title="Deletion and insertion",
        note="Areas under the curves of the error that is left, relative to the clip's own, over the share of frames "
        f"replaced by their reconstruction; means over {counted(int(areas['n_clips'].max()), 'explained clip')}. "
        "Deletion takes the highest frames of a curve first: lower is better. Insertion leaves nothing but these: "
        "higher is better.",
        name="deletion",
        is_detail=True,
    )


def checks_table(comparison: Comparison, evidence: Evidence) -> Table | None:
    """Rank correlations under parameter randomisation, infidelity and maximum sensitivity; None where not checked."""
    checks = evidence.checks
    if checks.empty:
        return None
    stages = where(checks, check="randomisation")["step"].unique()

    def columns(explainer: str, labels: list[str]) -> Columns:
        rows = where(checks, explainer=explainer).set_index(["check", "step", "model"])["mean"]
        found: Columns = {}
        for stage in stages:
            keys = [("randomisation", stage, label) for label in labels]
            found[readable(stage.rpartition(".")[2]) or stage] = number_cells(rows.get(key, math.nan) for key in keys)
        for check in ("infidelity", "max_sensitivity"):
            numbers = [rows.get((check, "", label), math.nan) for label in labels]
            found[CHECKS[check]] = cells(numbers, "{:.3g}".format)
        return found

    n_clips = len({name for run in comparison.runs.values() if run.sanity is not None for name in run.sanity["name"]})
    return _by_explainer(
        comparison,
        columns,
        checks,
        title="Sanity checks",
        note=f"Means over {counted(n_clips, 'checked clip')}. Columns of stages: rank correlation of a map with the "
        "trained model's when the parameters from the output up to that stage are random; an explainer that explains "
        "the model loses it. Infidelity: lower is better, and comparable between explainers of one model only where "
        "their maps are in the same unit. Maximum sensitivity: largest relative change of a map under a small change "
        "of the clip, lower is steadier.",
        name="sanity",
        is_detail=True,
    )


def shown_percentile(comparison: Comparison) -> str:
    """The percentile that tables show, as in "98th percentile"."""
    return f"{ordinal(comparison.percentile or 0)} percentile"


def _rows(names: Iterable[str], columns: Columns) -> tuple[Row, ...]:
    return tuple(zip(map(Cell, names), *columns.values(), strict=True))


def _row(columns: Collection[str], name: str, second: str, values: Mapping[str, Cell]) -> Row:
    """A row with two names and the values of some of the other columns."""
    return (Cell(name), Cell(second), *(values.get(column, Cell(MISSING)) for column in columns))


def _by_explainer(
    comparison: Comparison,
    columns: Callable[[str, list[str]], Columns],
    rows: pd.DataFrame | None = None,
    *,
    published_values: Callable[[Model, str], dict[str, float]] | None = None,
    explained: Explained = (),
    **presentation: Any,
) -> Table:
    """A table with a group of rows per explainer of `rows`, of all by default, with a row per model that has it.

    `published_values` gives the paper's numbers for a model's objective and an explainer, by column, NaN where missing.
    """
    rows = comparison.explanations if rows is None else rows
    explainers = [name for name in rows["explainer"].unique() if name not in REFERENCES]
    order = {name: i for i, name in enumerate(comparison.explainers)}
    found: Columns = {}
    groups = []
    for explainer in sorted(explainers, key=lambda name: order.get(name, len(order))):
        having = set(where(rows, explainer=explainer)["model"])
        labels = [label for label in comparison.models if label in having]
        found = columns(explainer, labels)
        group = named_rows(explainer_label(explainer), labels, found.values())
        of_objective: dict[str, Model] = {}
        for label in labels:
            of_objective.setdefault(comparison.models[label].objective, comparison.models[label])
        for objective, model in of_objective.items():
            values = published_values(model, explainer) if published_values else {}
            if not all(map(math.isnan, values.values())):
                of_paper = dict(zip(values, number_cells(values.values()), strict=True))
                group += (_row(found, f"{explainer_label(explainer)}, published", objective, of_paper),)
        groups.append(group)
    return Table(
        header=("Explainer", "Model", *found),
        groups=tuple(groups),
        names=2,
        explained=(*explained, _published_note(comparison)),
        **presentation,
    )


def _verdict_cells(rows: pd.DataFrame, in_full: bool) -> list[Cell]:
    """Verdicts with the references that are not exceeded, in full, or as "above", "not" and a star for references.

    Missing where nothing was tested.
    """
    found = []
    for verdict, not_above in zip(rows["verdict"], rows["not_above"], strict=True):
        text = MISSING if pd.isna(verdict) else str(verdict)
        text = text if in_full else text.removesuffix(" chance").removesuffix(" above")
        references = [REFERENCES[name].lower() for name in str(not_above).split()] if not pd.isna(not_above) else []
        if references:
            text += f", not above {join(references)}" if in_full else " *"
        found.append(Cell(text))
    return found


def _by_model(frame: pd.DataFrame, labels: Iterable[str | None], **values: Any) -> pd.DataFrame:
    """The rows of models, of which those without a row are NaN, whose other columns have these values."""
    return where(frame, **values).set_index("model").reindex(list(labels))


def _n_clips(comparison: Comparison) -> str:
    """How many clips the headline measures are over."""
    measures: dict[int, list[str]] = {}
    for measure in comparison.headline:
        measures.setdefault(comparison.n_clips(measure), []).append(MEASURES[measure].in_text)
    if len(measures) == 1:
        return counted(next(iter(measures)), "clip")
    return join([f"{counted(number, 'clip')} ({join(labels)})" for number, labels in measures.items()])


def _chance(comparison: Comparison, best: bool = False) -> Explained:
    """How chance levels, p-values and verdicts are found, where the runs have them."""
    if comparison.explanations["chance"].isna().all():
        return ()
    allowed = ", allowing for the choice of the percentile" if best else ""
    return (
        ("chance", "Chance: mean over circular shifts of each clip's curve."),
        ("p", f"p: permutation test against these shifts, one-sided{allowed}."),
        ("p (holm)", f"p (Holm): p of the permutation test against these shifts, corrected over {_FAMILY}."),
        ("verdict", "Verdict: whether p of the permutation test against these shifts, corrected over explainers, is "
         f"below {SIGNIFICANCE:g}; an explanation above its own shifted curves need not be above random frames or all "
         "frames."),
    )  # fmt: skip


def _verdicts(family: str) -> Explained:
    """How paired tests are corrected and judged."""
    return (
        ("p (holm)", f"p (Holm): p of Wilcoxon's signed-rank test over clips, corrected over {family}."),
        ("verdict", f"Verdict: higher or lower where p (Holm) is below {SIGNIFICANCE:g} and the interval excludes 0, "
         "otherwise open."),
    )  # fmt: skip


def _runs(model: Model) -> str:
    if model.runs[0].membership is None:
        return str(model.runs[0].folder)
    return counted(len(model.runs), "seed")


def _spread_note(models: Iterable[Model]) -> str:
    return " ± is the standard deviation between seeds." if any(len(model.runs) > 1 for model in models) else ""


def _published_note(comparison: Comparison) -> tuple[str, str]:
    """Whether the published numbers are of the same clips, for a table that has any."""
    normal = int((comparison.first.clips["label"] == 0).sum())
    if (normal, comparison.anomaly_types) == (published.NORMAL_TEST_CLIPS, published.ANOMALOUS_CLIPS):
        return "published", "Published: on the same test clips, one training run."
    anomalous = sum(published.ANOMALOUS_CLIPS.values())
    clips = f"{published.NORMAL_TEST_CLIPS:,} normal and {anomalous} anomalous clips of the real planer"
    return "published", f"Published: on the {clips}."
