"""What constructed numbers are said to mean."""

from dataclasses import replace

import pytest

from experiments.report.evidence import ChanceTest, Estimate
from experiments.report.pairing import PairedTest
from experiments.report.verdicts import (
    Verdict,
    against_chance,
    chance_sentence,
    claim_sentence,
    control_differs,
    control_sentence,
    paired,
    paired_sentence,
    scale_sentence,
    smallest_p_value,
)

NAN = float("nan")
REFERENCES = {"random_frames": 0.4, "all_frames": 0.5, "oracle": 1.0}


def chance(value, p_value, p_holm=None):
    return ChanceTest(98, Estimate(value), 0.4, REFERENCES, p_value, p_value if p_holm is None else p_holm)


def pair(difference, p_holm, width=0.05, n_clips=46):
    low, high = difference - width, difference + width
    return PairedTest(0.5, 0.5 + difference, difference, low, high, p_holm, n_clips, p_holm)


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        (chance(0.6, 0.001), Verdict.HIGHER),
        (chance(0.6, 0.01, p_holm=0.06), Verdict.OPEN),
        (chance(0.2, 0.99), Verdict.OPEN),
        (chance(0.6, NAN), Verdict.UNKNOWN),
    ],
)
def test_above_chance_only_after_correction(test, verdict):
    assert against_chance(test) is verdict


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        (pair(0.12, 0.003), Verdict.HIGHER),
        (pair(-0.12, 0.003), Verdict.LOWER),
        (pair(0.12, 0.06), Verdict.OPEN),
        (pair(0.12, 0.003, width=0.2), Verdict.OPEN),
        (pair(0.12, NAN), Verdict.UNKNOWN),
    ],
)
def test_a_difference_needs_the_test_and_the_interval(test, verdict):
    assert paired(test) is verdict


def test_chance_in_words():
    tests = {"Error map": chance(0.612, 0.0002), "Saliency": chance(0.41, 0.34), "Grad-CAM": chance(0.42, 0.21)}
    assert chance_sentence("MAE", "F1", tests) == (
        "MAE: F1 is above chance for Error map (0.612 against 0.400, p < 0.001); "
        "it is not distinguishable from chance for Saliency and Grad-CAM (p ≥ 0.210)."
    )
    assert chance_sentence("AE", "F1", {"Saliency": chance(0.41, 0.34)}) == (
        "AE: F1 is not distinguishable from chance for Saliency (p = 0.340)."
    )
    assert chance_sentence("AE", "F1", {"Saliency": chance(0.41, NAN)}) == ""


def test_paired_in_words():
    tests = {"Error map": pair(0.12, 0.003), "Saliency": pair(-0.2, 0.01), "Grad-CAM": pair(0.01, 0.7)}
    assert paired_sentence("MAE", "AE", "F1", tests) == (
        "MAE's F1 is higher than AE's for Error map (+0.120 [0.070, 0.170], p = 0.003); "
        "it is lower than AE's for Saliency (−0.200 [−0.250, −0.150], p = 0.010); "
        "it is not distinguishable from AE's for Grad-CAM (p = 0.700)."
    )


def test_too_few_clips_are_told():
    sentence = paired_sentence("MAE", "AE", "F1", {"Error map": pair(0.3, 0.0625, n_clips=5)})
    assert sentence.endswith("5 clips are too few for any difference to be significant.")
    assert "too few" not in paired_sentence("MAE", "AE", "F1", {"Error map": pair(0.3, 0.06, n_clips=6)})
    assert smallest_p_value(6, 1) < 0.05 < smallest_p_value(5, 1)


@pytest.mark.parametrize(
    ("tests", "conclusion"),
    [
        ([pair(0.1, 0.01), pair(0.2, 0.01)], "These runs support it throughout."),
        ([pair(0.1, 0.01), pair(0.2, 0.5)], "These runs support it in part and leave the rest open."),
        ([pair(0.1, 0.01), pair(-0.2, 0.01)], "These runs support it in part and contradict it in part."),
        ([pair(-0.1, 0.01), pair(0.2, 0.5)], "These runs contradict it where they say anything."),
        ([pair(0.1, 0.5), pair(0.2, 0.5)], "These runs neither support nor contradict it."),
    ],
)
def test_what_the_claim_is_worth(tests, conclusion):
    sentence = claim_sentence("MAE", "AE", {"F1": dict(zip(("Error map", "Saliency"), tests, strict=True))})
    assert sentence.endswith(conclusion)


def test_the_claim_counts_explainers():
    tests = {"Error map": pair(0.12, 0.003), "Saliency": pair(0.01, 0.5), "Grad-CAM": pair(-0.3, 0.001)}
    sentence = claim_sentence("MAE", "AE", {"F1": tests, "frame-based faithfulness": {}})
    assert (
        "MAE against AE: F1 is higher for 2 of 3 explainers, significantly for 1, and significantly lower for 1. "
        in sentence
    )
    assert "faithfulness" not in sentence
    assert claim_sentence("MAE", "AE", {"F1": {}}) == ""


def test_control_in_words():
    calm = {"AE's F1": chance(0.4, 0.3), "MAE's F1": chance(0.4, 0.03)}
    assert control_sentence(calm) == (
        "The random map, a control, is at chance in AE's F1 and MAE's F1 (p ≥ 0.030), as it should be."
    )
    alarm = {**calm, "MAE's F1": chance(0.6, 0.001)}
    assert control_sentence(alarm).startswith(
        "The random map, a control that explains nothing, is above chance in MAE's F1 (p = 0.002): don't trust"
    )
    assert control_sentence({"AE's F1": chance(0.4, NAN)}) == ""


def test_above_shifted_curves_and_yet_below_random_frames():
    of_f1 = {
        "Grad-CAM": {"random_frames": (-0.2, -0.1), "all_frames": (-0.3, -0.2)},
        "Saliency": {"random_frames": (0.1, 0.2), "all_frames": (-0.1, 0.1)},
        "GradSHAP": {"random_frames": (0.1, 0.2), "all_frames": (-0.2, 0.1)},
        "Error map": {"random_frames": (0.2, 0.3), "all_frames": (0.1, 0.2)},
    }
    tests = {name: replace(chance(0.45, 0.001), excess=excess) for name, excess in of_f1.items()}
    assert chance_sentence("MAE", "F1", tests).endswith(
        "Above its own shifted curves is not above everything: Grad-CAM is below random frames (0.400) and every frame "
        "(0.500); Saliency and GradSHAP are not distinguishable from every frame (0.500)."
    )
    assert "everything" not in chance_sentence("MAE", "F1", {"Error map": tests["Error map"]})
    # What is at chance anyway is not said to be above anything.
    assert "everything" not in chance_sentence("MAE", "F1", {"Grad-CAM": replace(tests["Grad-CAM"], p_holm=0.5)})


def test_p_values_that_round_to_one_are_one():
    tests = {"Error map": pair(0.0, 1.0), "Saliency": pair(0.0, 0.9999)}
    assert paired_sentence("MAE", "AE", "F1", tests).endswith("for Error map and Saliency (p = 1).")
    assert paired_sentence("MAE", "AE", "F1", {"Saliency": pair(0.0, 0.9994)}).endswith("Saliency (p = 0.999).")


def test_the_random_map_warns_by_itself():
    assert control_differs(replace(pair(-0.012, 0.03, width=0.005), p_holm=0.2))
    assert not control_differs(pair(-0.012, 0.2, width=0.005))
    assert not control_differs(pair(-0.012, 0.001))
    assert not control_differs(None)
    assert "by −0.012 [−0.017, −0.007] (p < 0.001)" in scale_sentence(
        "MAE", "AE", "segment-based faithfulness", pair(-0.012, 0.0001, width=0.005)
    )
