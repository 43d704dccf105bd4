"""The comparison in sentences: what was compared, what the numbers are, and what they allow to be said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from experiments.figures import MAX_FPR
from experiments.figures.style import explainer_label, readable
from experiments.report import published
from experiments.report.comparison import Comparison
from experiments.report.evidence import (
    MEASURES,
    ChanceTest,
    Estimate,
    best_chance_tests,
    chance_tests,
    detection_estimates,
    explainer_tests,
    paired_tests,
    pairs,
)
from experiments.report.groups import Group
from experiments.report.tables.table import interval_text, ordinal
from experiments.report.verdicts import (
    Verdict,
    chance_sentence,
    claim_sentence,
    control_sentence,
    difference_text,
    join,
    paired,
    paired_sentence,
)

T = TypeVar("T")

_CONTROL = "random"


def summarise(comparison: Comparison) -> list[str]:
    """Sentences on the clips, detection and explanations."""
    sentences = [clips_in_words(comparison), *unfinished_in_words(comparison)]
    if comparison.first.clips.has_both_classes:
        sentences.append(_detection(comparison))
    if comparison.measured("f1"):
        sentences.append(_best_explainers(comparison))
    sentences += _claims(comparison)
    sentences += _against_chance(comparison)
    sentences += _masked_error(comparison)
    return [*sentences, *_cautions(comparison)]


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
        f"{groups} {together} {len(clips.names)} clips: {len(clips.names) - n_anomalous} normal and "
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
        return f"{group.label} ({len(group.runs)} seed{'s' if len(group.runs) > 1 else ''})"
    folder = str(group.runs[0].folder)
    return group.label if folder in group.label else f"{group.label} ({folder})"


def _detection(comparison: Comparison) -> str:
    areas = {label: detection_estimates(group) for label, group in comparison.groups.items()}
    auc = join([f"{_with_interval(auc)} for {label}" for label, (auc, _) in areas.items()])
    pauc = join([f"{pauc.mean:.3f} for {label}" for label, (_, pauc) in areas.items()])
    return f"The AUC is {auc}; the partial AUC up to a false-positive rate of {MAX_FPR:g} is {pauc}."


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
    return f"Against the annotation of {n_clips} clips, the highest F1 is {join(parts)}."


def _claims(comparison: Comparison) -> list[str]:
    """Models set against each other: the paper's claim first, then each measure."""
    if not comparison.percentiles:
        return []
    sentences = []
    for first, second in pairs(comparison):
        tests = {name: paired_tests(comparison, first, second, measure) for measure, name in MEASURES.items()}
        if (first.objective, second.objective) == ("AE", "MAE"):
            of_paper = {
                name: {explainer: test for explainer, test in found.items() if explainer in published.EXPLAINERS}
                for name, found in tests.items()
            }
            sentences.append(claim_sentence(second.label, first.label, of_paper))
        sentences += [
            paired_sentence(second.label, first.label, name, _labelled(found)) for name, found in tests.items() if found
        ]
    return list(filter(None, sentences))


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


def _cautions(comparison: Comparison) -> list[str]:
    """What the numbers do not say."""
    seeds = [len(group.runs) for group in comparison.groups.values()]
    if max(seeds) == 1:
        text = "Every number is that of one training run and says nothing of the spread between runs."
    else:
        text = (
            "± is the standard deviation between training runs that differ by seed; intervals and p-values are over "
            "clips, for the runs at hand, and say nothing of other seeds or machines."
        )
    groups = comparison.measured("f1").values()
    tested = any(group.measured("f1_chance") for group in groups)
    if groups and not tested:
        text += (
            " Frames drawn at random reach an F1 well above 0, so F1 is not to be read against 0; these runs hold no "
            "chance level: run faithful-aad test again to have it."
        )
    return [text]


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.mean:.3f} {interval_text(estimate.low, estimate.high)}"


def _labelled(tests: Mapping[str, T]) -> dict[str, T]:
    return {explainer_label(name): test for name, test in tests.items()}
