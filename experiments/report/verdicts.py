"""What numbers allow to be said, in words: the only place that decides what is distinguishable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

from experiments.report.evidence import ChanceTest
from experiments.report.pairing import PairedTest
from experiments.report.tables.table import interval_text, p_text, signed_text
from lightning_modules.wording import counted, join
from metrics.functional.uncertainty import holm

LEVEL = 0.05
"""Significance level of every test, after Holm's correction."""

_ONE = 0.9995
"""P-values that three decimals show as 1."""

_REFERENCES = {"random_frames": "random frames", "all_frames": "every frame"}


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
    return _of_interval(test.low, test.high) if test.p_holm < LEVEL else Verdict.OPEN


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
    sentence = f"{model}: {measure} {'; it '.join(parts)}." if parts else ""
    return sentence + _not_above_references({name: tests[name] for name in found[Verdict.HIGHER]})


def _not_above_references(above: Mapping[str, ChanceTest]) -> str:
    """Which explainers are above their own shifted curves, and yet not above what needs no explainer at all."""
    names: dict[str, list[str]] = {}
    for verdict, said in ((Verdict.LOWER, "below"), (Verdict.OPEN, "not distinguishable from")):
        for name, test in above.items():
            references = [
                f"{_REFERENCES[reference]} ({test.references[reference]:.3f})"
                for reference, (low, high) in test.excess.items()
                if _of_interval(low, high) is verdict
            ]
            if references:
                names.setdefault(f"{said} {join(references)}", []).append(name)
    if not names:
        return ""
    parts = [f"{join(of_said)} {'is' if len(of_said) == 1 else 'are'} {said}" for said, of_said in names.items()]
    return f" Above its own shifted curves is not above everything: {'; '.join(parts)}."


def _of_interval(low: float, high: float) -> Verdict:
    """What the interval of a difference says alone."""
    if math.isnan(low):
        return Verdict.UNKNOWN
    return Verdict.HIGHER if low > 0 else Verdict.LOWER if high < 0 else Verdict.OPEN


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
            f"The random map, a control that explains nothing, is above chance in {join(list(above))} "
            f"({_p(min(above.values()))}{' or more' if len(above) > 1 else ''}): don't trust the "
            "other p-values before this is understood."
        )
    return f"The random map, a control, is at chance in {_with_p(known)}, as it should be."


def control_differs(test: PairedTest | None) -> bool:
    """Whether the random map, which explains neither of two models, still tells them apart.

    It warns and claims nothing, so its p-value is not corrected: a family would make the warning come too late.
    """
    return test is not None and paired(replace(test, p_holm=test.p_value)) in {Verdict.HIGHER, Verdict.LOWER}


def scale_sentence(second: str, first: str, measure: str, control: PairedTest) -> str:
    """The warning that a measure differs between two models whatever is explained."""
    return (
        f"Mind the scale of {measure}: the random map, which explains nothing, differs between {second} and {first} by "
        f"{difference_text(control)} ({_p(control.p_value)}), so that raw differences are in part the models' own. "
        "What follows is over chance: of each clip's value its own chance level is taken off first."
    )


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
        too_few = "is too few" if n_clips == 1 else "are too few"
        sentence += f" {counted(n_clips, 'clip')} {too_few} for any difference to be significant."
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
    lowest = min(p_values.values())
    bound = f"p ≥ {p_text(lowest)}" if len(p_values) > 1 and 0.001 <= lowest < _ONE else _p(lowest)
    return f"{join(list(p_values))} ({bound})"


def _p(p_value: float) -> str:
    """A p-value in a sentence; nothing is above 1, so one that rounds to it is it."""
    if p_value >= _ONE:
        return "p = 1"
    text = p_text(p_value)
    return f"p {text[0]} {text[1:]}" if text[0] == "<" else f"p = {text}"
