"""Agreement with values computed by the authors' published code, where they are at hand."""

import ast
import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.backbones import SkipCAETransformer
from metrics import FaithfulnessScore, SegmentFScore
from metrics.functional import chance_levels, circular_shift_f1, permutation_p_value, select_peaks

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
EXPLAINERS = ("error_map", "saliency", "integrated_gradients", "smoothgrad", "grad_cam", "gradient_shap")

pytestmark = pytest.mark.skipif(not (SHARED / "golden").is_dir(), reason="the golden values are not here")


@pytest.fixture(scope="module")
def reference():
    with np.load(SHARED / "golden" / "reference.npz") as file:
        values = {name: torch.from_numpy(file[name]) for name in file.files}
    annotation = torch.zeros(3, 400, dtype=torch.bool)
    for clip, first, end in values["annotations"].tolist():
        annotation[clip, first:end] = True
    return values | {"annotation": annotation}


@pytest.fixture(scope="module")
def backbone():
    weights = torch.load(SHARED / "golden" / "reference_weights.pt", weights_only=True)
    return SkipCAETransformer.from_reference(weights)


@pytest.fixture(scope="module")
def boards():
    """Annotations (46, 400) and golden values of the annotated planer clips."""
    with (SHARED / "planer" / "annotations.csv").open(newline="") as file:
        intervals = {row["Spectrogram File Name"]: row["Labels in Spectrogram"] for row in csv.DictReader(file)}
    with np.load(SHARED / "golden" / "f1_46clips.npz") as file:
        golden = {name: file[name] for name in file.files}
    annotation = torch.zeros(46, 400, dtype=torch.bool)
    for i, name in enumerate(golden["files"]):
        for first, end in ast.literal_eval(intervals[name]):
            annotation[i, first:end] = True
    assert annotation.any(1).sum() == sum(text != "-" for text in intervals.values()) == 46
    return annotation, golden


@pytest.mark.parametrize("kind", ["noise", "smooth", "informative"])
def test_f1_of_the_annotated_clips(boards, kind):
    annotation, golden = boards
    metric = SegmentFScore()
    metric.update(torch.from_numpy(golden[f"curves_{kind}"]), annotation)
    np.testing.assert_array_equal(metric.per_clip()[1][:, 0], golden[f"f1_{kind}"])


@pytest.mark.parametrize("kind", ["noise", "edge", "informative"])
def test_f1_of_the_annotated_clips_at_401_frames(boards, kind):
    """The frame after the tenth second counts neither for nor against, annotated or not, also where it stands out."""
    with np.load(SHARED / "golden" / "f1_401frames.npz") as file:
        assert file["files"].tolist() == boards[1]["files"].tolist()
        curves, expected = torch.from_numpy(file[f"curves_{kind}"]), file[f"f1_{kind}"]
    for last_is_annotated in (False, True):
        annotation = torch.nn.functional.pad(boards[0], (0, 1), value=last_is_annotated)
        metric = SegmentFScore()
        metric.update(curves, annotation)
        np.testing.assert_array_equal(metric.per_clip()[1][:, 0], expected)


def test_chance_levels_of_the_annotated_clips(boards):
    """The published figures are samples of what is computed exactly here."""
    levels = chance_levels(boards[0], range(90, 100))
    random = [0.479, 0.479, 0.476, 0.474, 0.468, 0.460, 0.451, 0.432, 0.395, 0.316]
    run = [0.236, 0.219, 0.220, 0.206, 0.199, 0.187, 0.181, 0.179, 0.163, 0.145]
    np.testing.assert_allclose(levels["random_frames"], random, atol=0.004)
    np.testing.assert_allclose(levels["random_run"], run, atol=0.01)
    np.testing.assert_allclose(levels["all_frames"], 0.481, atol=0.0005)
    assert levels["oracle"].min() > 0.95


@pytest.mark.parametrize(("kind", "significant"), [("informative", True), ("noise", False)])
def test_power_on_the_annotated_clips(boards, kind, significant):
    annotation, golden = boards
    peaks = select_peaks(torch.from_numpy(golden[f"curves_{kind}"]), [98])
    p_value = permutation_p_value(circular_shift_f1(peaks, annotation)[:, 0])
    assert p_value < 0.001 if significant else p_value > 0.1


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_f1_of_the_reference_clips(reference, explainer):
    metric = SegmentFScore()
    metric.update(reference[f"curve_{explainer}"], reference["annotation"])
    np.testing.assert_array_equal(metric.per_clip()[1][:, 0], reference[f"f1_{explainer}"])


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_faithfulness_of_the_reference_clips(reference, backbone, explainer):
    metric = FaithfulnessScore()
    metric.update(backbone, reference["x"], reference[f"curve_{explainer}"], reference["annotation"])
    values = metric.per_clip()[1]
    for measure, ours in zip(metric.measures, values.unbind(1), strict=True):
        np.testing.assert_allclose(ours, reference[f"{measure.key}_{explainer}"], rtol=0, atol=1e-4)
