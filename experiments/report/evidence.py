"""What the measures of explanations are worth: intervals, chance levels and tests, computed once a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from experiments.report.comparison import Comparison
from experiments.report.figures.detection import MAX_FPR
from experiments.report.groups import Group, ScoreKind
from experiments.runs.results import Floats
from metrics.functional import oriented
from metrics.functional.chance import best_of_several_p_value, chance_corrected
from metrics.functional.detection import bootstrap_auroc
from metrics.functional.references import REFERENCES
from metrics.functional.uncertainty import (
    bootstrap_mean,
    holm,
    over_seeds,
)

MEASURES = {"f1": "F1", "frame": "frame-based faithfulness", "segment": "segment-based faithfulness"}
"""The measures of explanations, all better when higher, and what sentences call them."""

_NO_BOUND = (
    "The oracle knows the annotation, not the frames that lower the model's error most, so it is no upper bound of "
    "faithfulness: values above 1 are possible."
)

ORACLE = {
    "f1": "The oracle has the best F1 that as many frames can have.",
    "frame": _NO_BOUND,
    "segment": _NO_BOUND,
}
"""What a chance-corrected value of 1 means, for each measure."""

NO_EXPLAINER = {"f1": ("random_frames", "all_frames"), "frame": ("random_frames",), "segment": ("random_frames",)}
"""References that an explanation worth its name is above; all frames are no choice where they are replaced."""


@dataclass(frozen=True)
class Estimate:
    """A mean over clips and runs.

    Attributes:
        mean: The mean.
        sd: Standard deviation between runs that differ by seed, NaN for a single run.
        low: Lower end of the 95 % bootstrap interval over clips.
        high: Upper end.
    """

    mean: float
    sd: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class ChanceTest:
    """A measure of one model and explainer beside what chance gives; NaN where runs don't hold it.

    Attributes:
        percentile: Of the peak threshold.
        value: The measure.
        chance: Its mean under circular shifts of the curves.
        references: Value of random frames, of all frames and of an oracle.
        p_value: Permutation p-value against circular shifts, one-sided.
        p_holm: The same after Holm's correction over the model's explainers.
        excess: 95 % bootstrap intervals over clips of the value minus that of what needs no explainer, by the
            reference's name: random frames, and for F1 all frames too. Replacing all frames is beyond any
            explanation's reach.
    """

    percentile: int
    value: Estimate
    chance: float
    references: Mapping[str, float]
    p_value: float
    p_holm: float = math.nan
    excess: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def corrected(self) -> float:
        """Where the value lies between chance (0) and the annotation's oracle (1).

        As many frames have no higher F1 than the oracle. Faithfulness may be, for the oracle knows the
        annotation and not the frames that lower the model's error most; the value is above 1 then.
        """
        return float(chance_corrected(*map(torch.tensor, (self.value.mean, self.chance, self.references["oracle"]))))


def detection_estimates(group: Group, kind: ScoreKind = "score") -> tuple[Estimate, Estimate]:
    """A group's AUC and partial AUC of the anomaly score or the masked score; NaN where there is none."""
    return group.once(("detection", kind), lambda: _detection_estimates(group, kind))


def level_estimates(comparison: Comparison) -> tuple[str, Estimate, Estimate] | None:
    """What the level of the clips alone detects: "louder" or "quieter", and its AUC and partial AUC.

    That is whether the anomalous clips are louder or quieter than normal ones. None where a class is missing, or no
    run holds the levels.
    """
    return comparison.once(("level",), lambda: _level_estimates(comparison))


def chance_tests(comparison: Comparison, measure: str) -> dict[tuple[str, str], ChanceTest]:
    """Tests at the percentile that tables show, by the group's label and explainer."""
    return comparison.once(("chance", measure), lambda: _chance_tests(comparison, measure, best=False))


def best_chance_tests(comparison: Comparison, measure: str) -> dict[tuple[str, str], ChanceTest]:
    """Tests at each one's best percentile; their p-values allow for its choice."""
    return comparison.once(("best", measure), lambda: _chance_tests(comparison, measure, best=True))


def _detection_estimates(group: Group, kind: ScoreKind) -> tuple[Estimate, Estimate]:
    areas, found = group.aucs(kind), group.scores(kind)
    if found is None or np.isnan(areas).any():
        return Estimate(math.nan), Estimate(math.nan)
    _, low, high = bootstrap_auroc(*found, max_fprs=(1.0, MAX_FPR))
    auc, pauc = (
        Estimate(float(of_area.mean()), _sd(of_area), float(low[i]), float(high[i]))
        for i, of_area in enumerate(areas.T)
    )
    return auc, pauc


def _level_estimates(comparison: Comparison) -> tuple[str, Estimate, Estimate] | None:
    clips = next((run.clips for run in comparison.runs.values() if run.clips.levels is not None), None)
    if clips is None or clips.levels is None or len(set(clips.labels.tolist())) < 2:
        return None
    levels = torch.from_numpy(clips.levels)
    scores = oriented(levels, torch.from_numpy(clips.labels))
    interval = bootstrap_auroc(scores.numpy(), clips.labels, max_fprs=(1.0, MAX_FPR))
    areas = np.stack([interval.mean, interval.low, interval.high]).T.tolist()
    auc, pauc = (Estimate(mean, low=low, high=high) for mean, low, high in areas)
    return "louder" if scores is levels else "quieter", auc, pauc


def _chance_tests(comparison: Comparison, measure: str, best: bool) -> dict[tuple[str, str], ChanceTest]:
    tests: dict[tuple[str, str], ChanceTest] = {}
    for label, group in comparison.measured(measure).items():
        of_group = {
            name: _chance_test(group, measure, name, None if best else comparison.at)
            for name in group.explainers
            if np.isfinite(group.means(measure, name)).any()
        }
        adjusted = holm([test.p_value for test in of_group.values()])
        for (name, test), p_holm in zip(of_group.items(), adjusted, strict=True):
            tests[label, name] = ChanceTest(**{**vars(test), "p_holm": float(p_holm)})
    return tests


def _chance_test(group: Group, measure: str, explainer: str, position: int | None) -> ChanceTest:
    """At a position among the percentiles, or at the best one."""
    if position is None:
        at = int(np.argmax(group.means(measure, explainer).mean(axis=0)))
        null = group.null(measure, explainer)
        p_value = best_of_several_p_value(null) if null is not None else math.nan
    else:
        at = position
        p_value = float(group.p_value(measure, explainer, at))
    return ChanceTest(
        percentile=group.percentiles[at],
        value=_estimate(group.clip_values(measure, explainer)[:, :, at]),
        chance=_mean(group.means(f"{measure}_chance", explainer)[:, at]),
        references={name: _mean(group.reference(measure, name)[:, at]) for name in REFERENCES},
        p_value=p_value,
        excess={name: _excess(group, measure, explainer, name, at) for name in NO_EXPLAINER[measure]},
    )


def _excess(group: Group, measure: str, explainer: str, reference: str, at: int) -> tuple[float, float]:
    """Interval of an explainer's value minus a reference's on the same clips."""
    differences = group.clip_values(measure, explainer) - group.reference_clip_values(measure, reference)
    _, low, high = bootstrap_mean(over_seeds(differences[:, :, at]))
    return float(low), float(high)


def _estimate(values: Floats) -> Estimate:
    """Of the values (R, N) of runs and clips."""
    mean, low, high = bootstrap_mean(over_seeds(values))
    return Estimate(float(mean), _sd(values.mean(axis=1)), float(low), float(high))


def _sd(of_runs: Floats) -> float:
    return float(np.std(of_runs, ddof=1)) if len(of_runs) > 1 else math.nan


def _mean(values: Floats | Sequence[float]) -> float:
    return float(np.mean(values))
