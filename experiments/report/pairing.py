"""Models and explainers set against each other on the same clips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from experiments.report.comparison import Comparison
from experiments.report.groups import Group
from experiments.runs.results import Floats
from metrics.functional.uncertainty import compare_paired, holm


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


def paired_tests(
    comparison: Comparison, first: Group, second: Group, measure: str, over_chance: bool = False
) -> dict[str, PairedTest]:
    """Two models compared clip by clip at the percentile that tables show, by explainer.

    Runs are paired by seed where both have the seed. P-values are corrected over the explainers.

    Args:
        comparison: Of which the models are part.
        first: One model.
        second: The other, whose values are counted positive.
        measure: What is compared, a key of `MEASURES`.
        over_chance: Whether each clip's own chance level, of the same model and explainer, is taken off its values
            first. That removes what the models' scales differ by where nothing is explained, though not a scale that
            stretches what is above it.
    """
    key = ("paired", first.label, second.label, measure, over_chance)
    return comparison.once(key, lambda: _paired_tests(comparison, first, second, measure, over_chance))


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


def _paired_tests(
    comparison: Comparison, first: Group, second: Group, measure: str, over_chance: bool
) -> dict[str, PairedTest]:
    tests = {}
    for name in comparison.explainers:
        values = [
            (_over_chance(group, measure, name) if over_chance else group.clip_values(measure, name))[rows][
                :, :, comparison.at
            ]
            for group, rows in zip((first, second), _same_seeds(first, second), strict=True)
        ]
        if all(np.isfinite(of_group).any() for of_group in values):
            tests[name] = _compare(*values)
    return _corrected(tests)


def _over_chance(group: Group, measure: str, explainer: str) -> Floats:
    return group.clip_values(measure, explainer) - group.clip_values(f"{measure}_chance", explainer)


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
