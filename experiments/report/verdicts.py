"""What numbers allow to be said, in words: the only place that decides what is distinguishable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum

from experiments.report.evidence import ChanceTest, PairedTest
from experiments.report.tables.table import interval_text, p_text, signed_text
from metrics.functional.uncertainty import holm

LEVEL = 0.05
"""Significance level of every test, after Holm's correction."""


class Verdict(Enum):
    """What a test says."""

    HIGHER = "higher"
    LOWER = "lower"
    OPEN = "not distinguishable"
    UNKNOWN = "not tested"


def against_chance(test: ChanceTest) -> Verdict:
    """Whether a measure is above its chance level; the test is one-sided, so it is never found to be lower."""
    if math.isnan(test.p_holm):
        return Verdict.UNKNOWN
    return Verdict.HIGHER if test.p_holm < LEVEL else Verdict.OPEN


def paired(test: PairedTest) -> Verdict:
    """Whether the second is higher or lower than the first.

    Both the signed-rank test and the bootstrap interval of the difference have to say so: the first alone may follow
    many small differences against a few large ones.
    """
    if math.isnan(test.p_holm):
        return Verdict.UNKNOWN
    if test.p_holm < LEVEL and test.low > 0:
        return Verdict.HIGHER
    if test.p_holm < LEVEL and test.high < 0:
        return Verdict.LOWER
    return Verdict.OPEN


def smallest_p_value(n_clips: int, tests: int) -> float:
    """The smallest p-value, after Holm's correction, that a signed-rank test over so few clips can give.

    Example:
        >>> smallest_p_value(n_clips=3, tests=1)
        0.25
    """
    return min(1.0, tests * 2.0 ** (1 - n_clips))


def chance_sentence(model: str, measure: str, tests: Mapping[str, ChanceTest]) -> str:
    """Which explainers of a model are above chance.

    Args:
        model: The model's label.
        measure: What the measure is called.
        tests: By the explainer's label.
    """
    found = _by_verdict({name: against_chance(test) for name, test in tests.items()})
    parts = []
    above = [
        f"{name} ({tests[name].value.mean:.3f} against {tests[name].chance:.3f}, {_p(tests[name].p_holm)})"
        for name in found[Verdict.HIGHER]
    ]
    if above:
        parts.append(f"is above chance for {join(above)}")
    if found[Verdict.OPEN]:
        names = _with_p({name: tests[name].p_holm for name in found[Verdict.OPEN]})
        parts.append(f"is not distinguishable from chance for {names}")
    return f"{model}: {measure} {'; it '.join(parts)}." if parts else ""


def control_sentence(tests: Mapping[str, ChanceTest]) -> str:
    """What the random map, a control that explains nothing, says about the tests themselves.

    Args:
        tests: By what was measured, as in "AE's F1". They are a family of their own for Holm's correction.
    """
    known = {name: test.p_value for name, test in tests.items() if not math.isnan(test.p_value)}
    if not known:
        return ""
    adjusted = dict(zip(known, holm(list(known.values())).tolist(), strict=True))
    above = {name: p_value for name, p_value in adjusted.items() if p_value < LEVEL}
    if above:
        return (
            f"The random map, a control that explains nothing, is above chance in {_with_p(above)}: don't trust the "
            "other p-values before this is understood."
        )
    lowest = p_text(min(known.values()))
    return f"The random map, a control, is at chance in {join(list(known))} (p ≥ {lowest}), as it should be."


def paired_sentence(second: str, first: str, measure: str, tests: Mapping[str, PairedTest]) -> str:
    """For which explainers a measure is higher with the second model, lower, or neither.

    Args:
        second: Label of the model whose values are counted positive.
        first: Label of the other.
        measure: What the measure is called.
        tests: By the explainer's label.
    """
    found = _by_verdict({name: paired(test) for name, test in tests.items()})
    parts = [
        f"is {verdict.value} than {first}'s for {join([_effect(name, tests[name]) for name in found[verdict]])}"
        for verdict in (Verdict.HIGHER, Verdict.LOWER)
        if found[verdict]
    ]
    if found[Verdict.OPEN]:
        names = _with_p({name: tests[name].p_holm for name in found[Verdict.OPEN]})
        parts.append(f"is not distinguishable from {first}'s for {names}")
    if not parts:
        return ""
    sentence = f"{second}'s {measure} {'; it '.join(parts)}."
    n_clips = next(iter(tests.values())).n_clips
    if smallest_p_value(n_clips, 1) >= LEVEL:
        sentence += f" {n_clips} clips are too few for any difference to be significant."
    return sentence


def claim_sentence(second: str, first: str, tests: Mapping[str, Mapping[str, PairedTest]]) -> str:
    """How a comparison bears on the paper's claim that the MAE explains better than the AE, measure by measure.

    Args:
        second: The MAE's label.
        first: The AE's label.
        tests: By measure, as sentences call it, and explainer; the paper's explainers only.
    """
    parts, verdicts = [], []
    for measure, of_measure in tests.items():
        found = [paired(test) for test in of_measure.values()]
        if found:
            verdicts += found
            higher = sum(test.difference > 0 for test in of_measure.values())
            against = found.count(Verdict.LOWER)
            parts.append(
                f"{measure} is higher for {higher} of {len(found)} explainers, significantly for "
                f"{found.count(Verdict.HIGHER) or 'none'}"
                + (f", and significantly lower for {against}" if against else "")
            )
    if not parts:
        return ""
    return (
        f"The paper's claim is that the MAE explains better than the AE, for every explainer. {second} against "
        f"{first}: {'; '.join(parts)}. {_conclusion(verdicts)}."
    )


def difference_text(test: PairedTest) -> str:
    """A difference and its interval, as in "+0.120 [0.050, 0.190]"."""
    return f"{signed_text(test.difference)} {interval_text(test.low, test.high)}"


def join(parts: Sequence[str]) -> str:
    """Parts of an enumeration.

    Example:
        >>> join(["one", "two", "three"])
        'one, two and three'
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _conclusion(verdicts: Sequence[Verdict]) -> str:
    higher, lower = verdicts.count(Verdict.HIGHER), verdicts.count(Verdict.LOWER)
    if higher == len(verdicts):
        return "These runs support it throughout"
    if higher and lower:
        return "These runs support it in part and contradict it in part"
    if higher:
        return "These runs support it in part and leave the rest open"
    if lower:
        return "These runs contradict it where they say anything"
    return "These runs neither support nor contradict it"


def _by_verdict(verdicts: Mapping[str, Verdict]) -> dict[Verdict, list[str]]:
    return {verdict: [name for name, of_name in verdicts.items() if of_name is verdict] for verdict in Verdict}


def _effect(name: str, test: PairedTest) -> str:
    return f"{name} ({difference_text(test)}, {_p(test.p_holm)})"


def _with_p(p_values: Mapping[str, float]) -> str:
    """Names and the p-value of one, or the lowest of several."""
    lowest = p_text(min(p_values.values()))
    return f"{join(list(p_values))} (p {'=' if len(p_values) == 1 else '≥'} {lowest})"


def _p(p_value: float) -> str:
    text = p_text(p_value)
    return f"p {text[0]} {text[1:]}" if text[0] == "<" else f"p = {text}"
