"""What the measures of explanations are worth: intervals, chance levels and tests, computed once a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from experiments.figures.detection import MAX_FPR
from experiments.report.comparison import Comparison
from experiments.report.groups import Group, ScoreKind
from experiments.results import Floats
from metrics.functional.chance import best_of_several_p_value, chance_corrected
from metrics.functional.detection_uncertainty import bootstrap_auroc
from metrics.functional.references import REFERENCES
from metrics.functional.uncertainty import (
    bootstrap_mean,
    compare_paired,
    holm,
    over_seeds,
)

MEASURES = {"f1": "F1", "frame": "frame-based faithfulness", "segment": "segment-based faithfulness"}
"""The measures of explanations, all better when higher, and what sentences call them."""


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
    """

    percentile: int
    value: Estimate
    chance: float
    references: Mapping[str, float]
    p_value: float
    p_holm: float = math.nan

    @property
    def corrected(self) -> float:
        """Where the value lies between chance (0) and an oracle (1)."""
        return float(chance_corrected(*map(torch.tensor, (self.value.mean, self.chance, self.references["oracle"]))))


@dataclass(frozen=True)
class PairedTest:
    """A measure of two models or explainers on the same clips.

    Attributes:
        first: Mean of the first.
        second: Mean of the second.
        difference: Second minus first.
        low: Lower end of the difference's 95 % bootstrap interval over clips.
        high: Upper end.
        p_value: Of Wilcoxon's signed-rank test over clips, two-sided.
        n_clips: Number of clips.
        p_holm: The p-value after Holm's correction over the tests made together.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    n_clips: int
    p_holm: float = math.nan


def detection_estimates(group: Group, kind: ScoreKind = "score") -> tuple[Estimate, Estimate]:
    """A group's AUC and partial AUC of the anomaly score or the masked score; NaN where there is none."""
    return group.once(("detection", kind), lambda: _detection_estimates(group, kind))


def chance_tests(comparison: Comparison, measure: str) -> dict[tuple[str, str], ChanceTest]:
    """Tests at the percentile that tables show, by the group's label and explainer."""
    return comparison.once(("chance", measure), lambda: _chance_tests(comparison, measure, best=False))


def best_chance_tests(comparison: Comparison, measure: str) -> dict[tuple[str, str], ChanceTest]:
    """Tests at each one's best percentile; their p-values allow for its choice."""
    return comparison.once(("best", measure), lambda: _chance_tests(comparison, measure, best=True))


def paired_tests(comparison: Comparison, first: Group, second: Group, measure: str) -> dict[str, PairedTest]:
    """Two models compared clip by clip at the percentile that tables show, by explainer.

    Runs are paired by seed where both have the seed. P-values are corrected over the explainers.
    """
    key = ("paired", first.label, second.label, measure)
    return comparison.once(key, lambda: _paired_tests(comparison, first, second, measure))


def explainer_tests(comparison: Comparison, first: str, second: str, measure: str) -> dict[str, PairedTest]:
    """Two explainers of the same model compared clip by clip, by the group's label; corrected over the groups."""
    tests = {}
    for label, group in comparison.measured(measure).items():
        values = [group.clip_values(measure, name)[:, :, comparison.at] for name in (first, second)]
        if all(np.isfinite(of_explainer).any() for of_explainer in values):
            tests[label] = _compare(*values)
    return _corrected(tests)


def pairs(comparison: Comparison) -> list[tuple[Group, Group]]:
    """The groups to set against each other: each MAE against the AE of the same settings, or the only AE.

    Without both objectives, two explained groups are compared as they come.
    """
    explained = list(comparison.explained.values())
    plain = [group for group in explained if group.objective == "AE"]
    found = []
    for group in explained:
        if group.objective == "MAE":
            same = [other for other in plain if other.settings == group.settings]
            partner = same or plain
            found += [(partner[0], group)] if len(partner) == 1 else []
    return found or ([(explained[0], explained[1])] if len(explained) == 2 else [])


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
    )


def _paired_tests(comparison: Comparison, first: Group, second: Group, measure: str) -> dict[str, PairedTest]:
    tests = {}
    for name in comparison.explainers:
        values = [group.clip_values(measure, name)[rows, :, comparison.at]
                  for group, rows in zip((first, second), _same_seeds(first, second), strict=True)]  # fmt: skip
        if all(np.isfinite(of_group).any() for of_group in values):
            tests[name] = _compare(*values)
    return _corrected(tests)


def _same_seeds(first: Group, second: Group) -> tuple[list[int], list[int]]:
    """Positions of the runs whose seed both have, or of all runs where no seed is shared."""
    shared = [seed for seed in first.seeds if seed is not None and seed in second.seeds]
    if not shared:
        return list(range(len(first.runs))), list(range(len(second.runs)))
    return [first.seeds.index(seed) for seed in shared], [second.seeds.index(seed) for seed in shared]


def _compare(first: Floats, second: Floats) -> PairedTest:
    found = compare_paired(first, second)
    return PairedTest(float(first.mean()), float(second.mean()), *found)


def _corrected(tests: dict[str, PairedTest]) -> dict[str, PairedTest]:
    adjusted = holm([test.p_value for test in tests.values()])
    return {
        name: PairedTest(**{**vars(test), "p_holm": float(p_holm)})
        for (name, test), p_holm in zip(tests.items(), adjusted, strict=True)
    }


def _estimate(values: Floats) -> Estimate:
    """Of the values (R, N) of runs and clips."""
    mean, low, high = bootstrap_mean(over_seeds(values))
    return Estimate(float(mean), _sd(values.mean(axis=1)), float(low), float(high))


def _sd(of_runs: Floats) -> float:
    return float(np.std(of_runs, ddof=1)) if len(of_runs) > 1 else math.nan


def _mean(values: Floats | Sequence[float]) -> float:
    return float(np.mean(values))
