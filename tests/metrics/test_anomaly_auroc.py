"""Areas under the ROC of raw scores, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from metrics import AnomalyAUROC
from metrics.functional import anomaly_auroc, anomaly_roc


@pytest.fixture
def run():
    """Scores around 50 as of squared errors in dB², with ties; 15 % anomalous."""
    rng = np.random.default_rng(0)
    labels = (rng.random(1001) < 0.15).astype(int)
    scores = (50 + 3 * rng.normal(size=1001) + 2 * labels).round(1).astype(np.float32)
    return scores, labels


def test_by_hand():
    # Of the four pairs (anomalous, normal) three are in order and one is tied.
    scores, labels = torch.tensor([51.0, 48.0, 49.0, 49.0]), torch.tensor([1, 0, 1, 0])
    assert anomaly_auroc(scores, labels).item() == 3.5 / 4


@pytest.mark.parametrize("max_fpr", [None, 0.1, 0.001, 0.5, 1])
def test_agrees_with_scikit_learn(run, max_fpr):
    scores, labels = run
    value = anomaly_auroc(torch.tensor(scores), torch.tensor(labels), max_fpr)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(roc_auc_score(labels, scores, max_fpr=max_fpr), abs=1e-12)


@pytest.mark.parametrize("max_fpr", [None, 0.1])
def test_batches_of_32_raw_scores(run, max_fpr):
    scores, labels = run
    metric = AnomalyAUROC(max_fpr)
    for start in range(0, len(scores), 32):
        part = slice(start, start + 32)
        metric.update(torch.tensor(scores[part]), torch.tensor(labels[part]))
    expected = roc_auc_score(labels, scores, max_fpr=max_fpr)
    assert 0.5 < expected < 0.9
    assert metric.compute().item() == pytest.approx(expected, abs=1e-12)


def test_any_monotone_scale_gives_the_same(run):
    scores, labels = (torch.tensor(part) for part in run)
    assert anomaly_auroc(scores, labels) == anomaly_auroc(scores.double() * 1e6 - 1e9, labels.bool())


def test_curve_agrees_with_scikit_learn(run):
    scores, labels = run
    fpr, tpr = anomaly_roc(torch.tensor(scores), torch.tensor(labels))
    expected_fpr, expected_tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected_fpr, atol=1e-15)
    np.testing.assert_allclose(tpr, expected_tpr, atol=1e-15)


@pytest.mark.parametrize("max_fpr", [None, 0.1])
def test_all_scores_tied_is_chance(max_fpr):
    value = anomaly_auroc(torch.full((6,), 50.0), torch.tensor([0, 1, 0, 1, 0, 0]), max_fpr)
    assert value.item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [0, 0], "no anomalous clip"),
        ([1.0, 2.0], [1, 1], "no normal clip"),
        ([], [], "no anomalous clip"),
        ([1.0, torch.nan], [0, 1], "NaN"),
        ([1.0, 2.0], [0, 1, 0], "must both be"),
    ],
)
def test_rejects_scores_that_cannot_be_ranked(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        anomaly_auroc(torch.tensor(scores), torch.tensor(labels))


@pytest.mark.parametrize("max_fpr", [0, 1.5, -0.1])
def test_rejects_a_false_positive_rate_out_of_range(max_fpr):
    with pytest.raises(ValueError, match="max_fpr"):
        AnomalyAUROC(max_fpr)
    with pytest.raises(ValueError, match="max_fpr"):
        anomaly_auroc(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), max_fpr)
