"""What the numbers of a comparison don't say, to be read before they are, and what its runs don't hold."""

from __future__ import annotations

import numpy as np

from experiments.report.comparison import Comparison
from experiments.report.evidence import MEASURES, detection_estimates
from experiments.report.groups import Group, ScoreKind
from experiments.runs.folder import TEST_UNFINISHED
from experiments.runs.results import Run
from lightning_modules.wording import counted, join

_FAR_BELOW_HALF = 0.4
"""AUC below which, if its interval does not reach 0.5, a reason is to be looked for."""

_ALL_FRAMES_F1 = 0.95
"""F1 of all frames from which on annotations leave explanations nothing to find."""


def cautions(comparison: Comparison) -> list[str]:
    """What is to be known of the networks, and what the spread of seeds, the intervals and the p-values are about."""
    networks = [
        f"{label} ({run.folder}): {run.caution}. "
        f"{'Finish it and run' if 'training unfinished' in run.caution else 'Run'} faithful-aad test again."
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


def detection_cautions(comparison: Comparison) -> list[str]:
    """Why there is no AUC, or why one is suspicious; empty where all is well."""
    classes = set(comparison.first.clips.labels.tolist())
    sentences = []
    if len(classes) == 1:
        missing = "anomalous" if classes == {0} else "normal"
        sentences.append(f"The test set has no {missing} clips, so AUC and partial AUC are undefined.")
    for label, run in comparison.runs.items():
        sentences += _odd_scores(label, run)
    for label, group in comparison.groups.items():
        sentences += _inverted(label, group)
    return sentences


def _odd_scores(label: str, run: Run) -> list[str]:
    scores = run.clips.scores
    undefined = np.flatnonzero(np.isnan(scores))
    if undefined.size:
        return [
            f"{counted(undefined.size, 'clip')} of {label}, such as {run.clips.names[undefined[0]]}, "
            f"{'has a score that is' if undefined.size == 1 else 'have scores that are'} not a number, so its AUC is "
            "undefined: look at the clip and at the training loss, and test with --trainer.precision 32-true."
        ]
    if len(scores) > 1 and (scores == scores[0]).all():
        return [f"Every clip has the same score with {label}: it tells no clip from another."]
    return []


def _inverted(label: str, group: Group) -> list[str]:
    """What to look at where normal clips score higher than anomalous ones, beyond the uncertainty over clips."""
    kinds: tuple[tuple[ScoreKind, str], ...] = (("score", ""), ("masked_score", " of the masked error"))
    found = [(of_kind, detection_estimates(group, kind)[0]) for kind, of_kind in kinds]
    low = [
        f"the AUC{of_kind} is {auc.mean:.3f}" for of_kind, auc in found if auc.mean < _FAR_BELOW_HALF and auc.high < 0.5
    ]
    if not low:
        return []
    return [
        f"With {label} {join(low)}, far below 0.5: normal clips score higher than anomalous ones. Look for the cause "
        "in the labels, in what faithful-aad data describe says of the set, and in --data.reference_level, which "
        "should be near the mean level of the training clips; reversing the score would only hide it."
    ]


def missing_in_words(comparison: Comparison) -> list[str]:
    """Why measures, chance levels and p-values are missing, and what adds them; nothing where all are there."""
    if any(TEST_UNFINISHED in run.caution for run in comparison.runs.values()):
        return []  # the test was stopped, which is the reason
    if not comparison.explained:
        if comparison.detectors == comparison.groups:
            return []
        return [
            "There are no measures of explanations, because no test clip was explained: give faithful-aad test clips "
            "with annotations (--data.annotations), or have it explain all anomalous ones (--attributions.clips "
            "anomalous)."
        ]
    return [*_without_annotation(comparison), *_annotated_throughout(comparison), *_without_chance(comparison)]


def _without_annotation(comparison: Comparison) -> list[str]:
    if comparison.measured("f1"):
        return []
    return [
        "There is no F1 and no segment-based faithfulness, because no explained clip is annotated: name a file of "
        "annotations with --data.annotations and run faithful-aad test again."
    ]


def _annotated_throughout(comparison: Comparison) -> list[str]:
    """That F1 measures nothing where annotations leave no frame out."""
    every = [group.reference("f1", "all_frames") for group in comparison.measured("f1").values()]
    reached = max((float(values.mean(axis=0)[comparison.at]) for values in every if values.size), default=0.0)
    if not reached >= _ALL_FRAMES_F1:
        return []
    return [
        f"Taking every frame reaches an F1 of {reached:.3f}, because the annotations cover (nearly) whole clips: F1 "
        "says nothing of where explanations point."
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
    shifts = ", with --faithfulness.shifts above 0 for faithfulness" if lacking != [MEASURES["f1"]] else ""
    return [
        f"The columns of chance and p are missing for {join(lacking)}, because these runs hold no chance level: run "
        f"faithful-aad test again{shifts}.{against_zero}"
    ]
