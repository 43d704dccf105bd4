"""The comparison in sentences: what was compared, what the numbers are, and what they allow to be said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from experiments.report import published
from experiments.report.cautions import cautions, detection_cautions, missing_in_words
from experiments.report.comparison import Comparison
from experiments.report.evidence import (
    MEASURES,
    ChanceTest,
    Estimate,
    best_chance_tests,
    chance_tests,
    detection_estimates,
    level_estimates,
)
from metrics.measures import MAX_FPR
from experiments.report.figures.style import explainer_label, readable
from experiments.report.groups import Group
from experiments.report.pairing import PairedTest, explainer_tests, paired_tests, pairs
from experiments.report.tables.table import interval_text, no_width, ordinal
from experiments.report.verdicts import (
    Verdict,
    chance_sentence,
    claim_sentence,
    control_differs,
    control_sentence,
    difference_text,
    paired,
    paired_sentence,
    scale_sentence,
)
from lightning_modules.wording import counted, join

T = TypeVar("T")

_CONTROL = "random"


def summarise(comparison: Comparison) -> list[str]:
    """What was compared and how it is to be read, then what was found."""
    return [*preface(comparison), *findings(comparison)]


def preface(comparison: Comparison) -> list[str]:
    """Sentences that come before any number: the runs and clips, what the numbers don't say, and what is missing."""
    return [
        clips_in_words(comparison),
        *unfinished_in_words(comparison),
        *cautions(comparison),
        *detection_cautions(comparison),
        *missing_in_words(comparison),
    ]


def findings(comparison: Comparison) -> list[str]:
    """Sentences on detection and explanations."""
    sentences = []
    if comparison.first.clips.has_roc:
        sentences.append(_detection(comparison))
    if comparison.measured("f1"):
        sentences.append(_best_explainers(comparison))
    sentences += _claims(comparison)
    sentences += _against_chance(comparison)
    return sentences + _masked_error(comparison)


def clips_in_words(comparison: Comparison) -> str:
    """Which runs were tested on how many clips of which kind."""
    groups = join([_with_runs(group) for group in comparison.groups.values()])
    clips = comparison.first.clips
    n_anomalous = int(clips.labels.sum())
    types = join([f"{n} {readable(kind) or 'of unknown type'}" for kind, n in sorted(comparison.anomaly_types.items())])
    of_types = f" ({types})" if n_anomalous else ""
    together = "were tested on the same" if len(comparison.runs) > 1 else "was tested on"
    provenance = comparison.provenance
    made = f" {provenance.mark} {provenance.description}" if provenance else ""
    return (
        f"{groups} {together} {counted(len(clips.names), 'clip')}: {len(clips.names) - n_anomalous} normal and "
        f"{n_anomalous} anomalous{of_types}; {int(clips.annotated.sum())} have annotated intervals.{made}"
    )


def unfinished_in_words(comparison: Comparison) -> list[str]:
    """A sentence on the runs of studies that are not tested yet, none where all are."""
    n_unfinished = len(comparison.unfinished)
    if not n_unfinished:
        return []
    names = join([str(run) for run in comparison.unfinished[:3]])
    more = f" and {n_unfinished - 3} more" if n_unfinished > 3 else ""
    are = "is" if n_unfinished == 1 else "are"
    return [f"{names}{more} {are} not tested yet and left out."]


def _with_runs(group: Group) -> str:
    if group.runs[0].membership is not None:
        return f"{group.label} ({counted(len(group.runs), 'seed')})"
    folder = str(group.runs[0].folder)
    return group.label if folder in group.label else f"{group.label} ({folder})"


def _detection(comparison: Comparison) -> str:
    areas = {label: detection_estimates(group) for label, group in comparison.groups.items()}
    areas = {label: of_group for label, of_group in areas.items() if not math.isnan(of_group[0].mean)}
    auc = join([f"{_with_interval(auc)} for {label}" for label, (auc, _) in areas.items()])
    pauc = join([f"{pauc.mean:.3f} for {label}" for label, (_, pauc) in areas.items()])
    found = [(estimate.low, estimate.high) for of_group in areas.values() for estimate in of_group]
    return (
        f"The AUC is {auc}; the partial AUC up to a false-positive rate of {MAX_FPR:g} is {pauc}.{no_width(found)}"
        f"{_level(comparison, {label: auc for label, (auc, _) in areas.items()})}"
    )


def _level(comparison: Comparison, areas: Mapping[str, Estimate]) -> str:
    """What the level alone detects, and which models do not do better; nothing where it is not known."""
    found = level_estimates(comparison)
    if found is None:
        return ""
    side, auc, _ = found
    not_above = [label for label, area in areas.items() if f"{area.mean:.3f}" <= f"{auc.mean:.3f}"]
    no_better = f", which {join(not_above)} {'does' if len(not_above) == 1 else 'do'} not exceed" if not_above else ""
    return f" The level of the clips alone ({side} is more anomalous) has an AUC of {_with_interval(auc)}{no_better}."


def _best_explainers(comparison: Comparison) -> str:
    parts = []
    for label in comparison.measured("f1"):
        tests = {name: test for (of, name), test in best_chance_tests(comparison, "f1").items() if of == label}
        tests = {name: test for name, test in tests.items() if name != _CONTROL} or tests
        name, test = max(tests.items(), key=lambda item: item[1].value.mean)
        parts.append(
            f"{test.value.mean:.3f} for {label} ({explainer_label(name)} at the {ordinal(test.percentile)} percentile)"
        )
    n_clips = len(comparison.first_explained.clip_names("f1"))
    return f"Against the annotation of {counted(n_clips, 'clip')}, the highest F1 is {join(parts)}."


def _claims(comparison: Comparison) -> list[str]:
    """Models set against each other: the paper's claim first, then each measure."""
    if not comparison.percentiles:
        return []
    sentences = []
    for first, second in pairs(comparison):
        found = [_of_measure(comparison, first, second, measure) for measure in MEASURES]
        if (first.objective, second.objective) == ("AE", "MAE"):
            of_paper = {
                of.name: {name: test for name, test in of.tests.items() if name in published.EXPLAINERS} for of in found
            }
            sentences.append(claim_sentence(second.label, first.label, of_paper))
        for of in found:
            said = paired_sentence(second.label, first.label, of.name, _labelled(of.tests))
            if of.differing_control is not None:
                said = f"{scale_sentence(second.label, first.label, of.measure, of.differing_control)} {said}"
            sentences.append(said)
    return list(filter(None, sentences))


@dataclass(frozen=True)
class _Compared:
    """Two models in one measure, over chance where the random map tells them apart.

    Attributes:
        measure: What the measure is called.
        name: The same, and that it is over chance if it is.
        tests: By explainer, the control left out.
        differing_control: The raw test of the random map if it tells the models apart.
    """

    measure: str
    name: str
    tests: Mapping[str, PairedTest]
    differing_control: PairedTest | None


def _of_measure(comparison: Comparison, first: Group, second: Group, measure: str) -> _Compared:
    tests, name = paired_tests(comparison, first, second, measure), MEASURES[measure]
    control = tests.get(_CONTROL)
    differing = control if control_differs(control) else None
    if differing is not None:
        tests, name = paired_tests(comparison, first, second, measure, over_chance=True), f"{name} over chance"
    explained = {explainer: test for explainer, test in tests.items() if explainer != _CONTROL}
    return _Compared(MEASURES[measure], name, explained, differing)


def _against_chance(comparison: Comparison) -> list[str]:
    sentences = []
    controls: dict[str, ChanceTest] = {}
    for measure, name in MEASURES.items() if comparison.percentiles else ():
        tests = chance_tests(comparison, measure)
        for label in comparison.explained:
            of_group = {of: test for (model, of), test in tests.items() if model == label}
            if _CONTROL in of_group:
                controls[f"{label}'s {name}"] = of_group.pop(_CONTROL)
            sentences.append(chance_sentence(label, name, _labelled(of_group)))
    return list(filter(None, [*sentences, control_sentence(controls)]))


def _masked_error(comparison: Comparison) -> list[str]:
    """Whether the masked error map beats the plain one, for each measure."""
    sentences = []
    for measure, name in MEASURES.items() if comparison.percentiles else ():
        tests = explainer_tests(comparison, "error_map", "masked_error_map", measure)
        parts = []
        for label, test in tests.items():
            verdict = paired(test)
            if verdict is not Verdict.UNKNOWN:
                said = verdict.value if verdict is not Verdict.OPEN else "not distinguishable"
                parts.append(f"{said} for {label} ({difference_text(test)})")
        if parts:
            sentences.append(f"Against the plain error map, the masked error map's {name} is {join(parts)}.")
    return sentences


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} {interval_text(estimate.low, estimate.high)}"


def _labelled(tests: Mapping[str, T]) -> dict[str, T]:
    return {explainer_label(name): test for name, test in tests.items()}
