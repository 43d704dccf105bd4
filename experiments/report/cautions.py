"""What the numbers of a comparison don't say, to be read before they are, and what its runs don't hold."""

from __future__ import annotations

from experiments.report.comparison import Comparison
from experiments.report.evidence import MEASURES
from experiments.wording import join


def cautions(comparison: Comparison) -> list[str]:
    """What is to be known of the networks, and what the spread of seeds, the intervals and the p-values are about."""
    networks = [
        f"{label} ({run.folder}): {run.caution}. Finish it and run faithful-aad test again."
        for label, run in comparison.runs.items()
        if run.caution
    ]
    return [*networks, _spread(comparison)]


def _spread(comparison: Comparison) -> str:
    seeds = {label: len(group.runs) for label, group in comparison.groups.items()}
    once = [label for label, number in seeds.items() if number == 1]
    over_clips = (
        "intervals and p-values are over clips, for the runs at hand, and say nothing of other seeds or machines."
    )
    if len(once) == len(seeds):
        subject = "The model was" if len(seeds) == 1 else "Every model was"
        return (
            f"{subject} trained once: one training run says nothing of how far results vary from training to training; "
            f"{over_clips}"
        )
    single = (
        f" Of {join(once)} there is one run, so nothing is known of how results vary between its seeds." if once else ""
    )
    return f"± is the standard deviation between training runs that differ by seed; {over_clips}{single}"


def missing_in_words(comparison: Comparison) -> list[str]:
    """Why measures, chance levels and p-values are missing, and what adds them; nothing where all are there."""
    if not comparison.explained:
        if comparison.detectors == comparison.groups:
            return []
        return [
            "There are no measures of explanations, because no test clip was explained: give faithful-aad test clips "
            "with annotations (--data.annotations), or have it explain all anomalous ones (clips: anomalous of "
            "AttributionMaps)."
        ]
    return [*_without_annotation(comparison), *_without_chance(comparison)]


def _without_annotation(comparison: Comparison) -> list[str]:
    if comparison.measured("f1"):
        return []
    return [
        "There is no F1 and no segment-based faithfulness, because no explained clip is annotated: name a file of "
        "annotations with --data.annotations and run faithful-aad test again."
    ]


def _without_chance(comparison: Comparison) -> list[str]:
    lacking = [
        name
        for measure, name in MEASURES.items()
        if (measured := comparison.measured(measure))
        and not any(group.measured(f"{measure}_chance") for group in measured.values())
    ]
    if not lacking:
        return []
    against_zero = (
        " Frames drawn at random reach an F1 well above 0, so F1 is not to be read against 0."
        if MEASURES["f1"] in lacking
        else ""
    )
    shifts = ", with shifts of Faithfulness above 0 for faithfulness" if lacking != [MEASURES["f1"]] else ""
    return [
        f"The columns of chance and p are missing for {join(lacking)}, because these runs hold no chance level: run "
        f"faithful-aad test again{shifts}.{against_zero}"
    ]
