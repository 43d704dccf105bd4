"""Agreement with values computed by the authors' published code, where they are at hand."""

import ast
import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.backbones.skip_cae_transformer import SkipCAETransformer
from metrics import FaithfulnessScore, SegmentFScore

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


@pytest.mark.parametrize("kind", ["noise", "smooth", "informative"])
def test_f1_of_the_annotated_clips(kind):
    with (SHARED / "planer" / "annotations.csv").open(newline="") as file:
        intervals = {row["Spectrogram File Name"]: row["Labels in Spectrogram"] for row in csv.DictReader(file)}
    with np.load(SHARED / "golden" / "f1_46clips.npz") as golden:
        names, curves, expected = golden["files"], golden[f"curves_{kind}"], golden[f"f1_{kind}"]
    annotation = torch.zeros(curves.shape, dtype=torch.bool)
    for i, name in enumerate(names):
        for first, end in ast.literal_eval(intervals[name]):
            annotation[i, first:end] = True
    metric = SegmentFScore()
    metric.update(torch.from_numpy(curves), annotation)
    assert annotation.any(1).sum() == 46
    np.testing.assert_array_equal(metric.per_clip()[1][:, 0], expected)


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
    for kind, ours in zip(metric.kinds, values.unbind(1), strict=True):
        np.testing.assert_allclose(ours, reference[f"faithfulness_{kind}_{explainer}"], rtol=0, atol=1e-4)
