"""Metrics that keep a row per clip: means, repeats, several processes."""

import pickle

import pytest
import torch
from metrics_toy import N_BANDS, N_CLIPS, N_FRAMES, toy_clips, update_metrics
from torch import nn

from lightning_modules import OneClassSVM
from metrics import AnomalyAUROC, FaithfulnessScore, SegmentFScore

torch.manual_seed(0)
CURVES, ANNOTATION = torch.rand(5, 80), torch.rand(5, 80) < 0.02


class _Half(nn.Module):
    def forward(self, x):
        return x / 2


def test_fscore_is_the_mean_over_clips():
    metric = SegmentFScore([97, 99], frames_per_second=20)
    metric.update(CURVES[:3], ANNOTATION[:3])
    metric.update(CURVES[3:], ANNOTATION[3:])
    of_one = []
    for i in range(5):
        single = SegmentFScore([97, 99], frames_per_second=20)
        single.update(CURVES[i : i + 1], ANNOTATION[i : i + 1])
        of_one.append(single.compute())
    for name, value in metric.compute().items():
        assert value.shape == (2,)
        torch.testing.assert_close(value, torch.stack([one[name] for one in of_one]).mean(0))


def test_a_repeated_clip_counts_once():
    metric = SegmentFScore(frames_per_second=20)
    metric.update(CURVES, ANNOTATION, torch.tensor([7, 3, 9, 1, 4]))
    once = metric.compute()
    metric.update(CURVES[:2], ANNOTATION[:2], torch.tensor([7, 3]))
    assert all(torch.equal(value, once[name]) for name, value in metric.compute().items())
    index, values = metric.per_clip()
    assert index.tolist() == [1, 3, 4, 7, 9]
    assert values.shape == (5, len(metric.measures), 10)


def test_the_order_of_clips_changes_no_digit():
    metric = update_metrics(list(range(N_CLIPS)))
    shuffled = update_metrics([10, 3, 3, 0, 9, 1, 2, 8, 4, 6, 7, 5, 10])
    assert torch.equal(metric["fscore"].per_clip()[1], shuffled["fscore"].per_clip()[1])
    assert torch.equal(metric["auroc"].compute(), shuffled["auroc"].compute())


def test_clips_without_index_are_numbered_in_order():
    metric = AnomalyAUROC()
    metric(torch.tensor([3.0, 1.0]), torch.tensor([1, 0]))
    metric(torch.tensor([2.0, 4.0]), torch.tensor([0, 1]))
    index, values = metric.per_clip()
    assert index.tolist() == [0, 1, 2, 3]
    assert values.tolist() == [[3, 1], [1, 0], [2, 0], [4, 1]]


def test_index_must_fit():
    with pytest.raises(ValueError, match="2 indices for 5 clips"):
        SegmentFScore().update(CURVES, ANNOTATION, torch.tensor([0, 1]))


def test_reset_and_pickling_keep_the_rows_right():
    metric = update_metrics([0, 2])["auroc"]
    assert pickle.loads(pickle.dumps(metric)).compute() == metric.compute()
    metric.reset()
    assert len(metric.per_clip()[0]) == 0


def test_without_clips_means_are_nan():
    metric = SegmentFScore([98])
    assert metric.reduce(metric.per_clip()[1])["f1"].isnan().all()


def test_both_kinds_of_faithfulness_count_the_annotated_clips_where_there_are_any():
    # Halving leaves energy/4: replacing the larger frame of (1, 3) leaves (1 + 2.25)/10, both (0.25 + 2.25)/10.
    metric = FaithfulnessScore([100], frames_per_second=2)
    x = torch.tensor([[[1.0, 3.0]], [[3.0, 1.0]], [[1.0, 0.0]]])
    annotation = torch.tensor([[True, True], [False, True], [False, False]])
    metric.update(_Half(), x, x[:, 0], annotation)
    result = metric.compute()
    assert result["faithfulness_frame"].item() == pytest.approx(0.675)
    assert result["faithfulness_segment"].item() == pytest.approx((0.75 + 0.075) / 2)
    assert metric.per_clip()[0].tolist() == [0, 1]


def test_faithfulness_without_any_annotation_is_frame_based():
    metric = FaithfulnessScore([100], frames_per_second=2)
    x = torch.tensor([[[1.0, 3.0]], [[1.0, 0.0]]])
    metric.update(_Half(), x, x[:, 0], torch.zeros(2, 2, dtype=torch.bool))
    assert metric.compute()["faithfulness_frame"].item() == pytest.approx((0.675 + 0.75) / 2)
    assert metric.compute()["faithfulness_segment"].isnan().all()


@pytest.mark.parametrize("metric", [SegmentFScore, FaithfulnessScore])
@pytest.mark.parametrize("percentiles", [[], [101], [-1], [97.5], [98, 98]])
def test_rejects_bad_percentiles(metric, percentiles):
    with pytest.raises(ValueError, match=r"^percentiles: .*$"):
        metric(percentiles)


@pytest.mark.parametrize("metric", [SegmentFScore, FaithfulnessScore])
def test_rejects_bad_segments(metric):
    with pytest.raises(ValueError, match="frames_per_second: 0"):
        metric(frames_per_second=0)


def test_several_processes_give_what_one_gives(distributed_run):
    expected = update_metrics(list(range(N_CLIPS)))
    for rank in range(3):
        results = torch.load(distributed_run / f"{rank}.pt", weights_only=True)
        assert results.pop("error").startswith("index: needed")
        for name, (value, (index, rows)) in results.items():
            assert index.tolist() == sorted(
                clip["index"] for clip in toy_clips() if clip["annotated"] or name != "faithfulness"
            )
            torch.testing.assert_close(value, expected[name].compute(), rtol=0, atol=1e-6)
            torch.testing.assert_close(rows, expected[name].per_clip()[1], rtol=0, atol=1e-6)
            if name != "faithfulness":
                assert torch.equal(rows, expected[name].per_clip()[1])


def test_a_detector_fitted_by_two_processes_learns_each_clip_once(distributed_run):
    """11 clips on two processes, of which the sampler repeats one."""
    learned = torch.load(distributed_run / "learned.pt", weights_only=True)
    in_order = sorted(toy_clips(), key=lambda clip: clip["index"])
    expected = OneClassSVM(N_BANDS, N_FRAMES).learn(torch.stack([clip["spectrogram"] for clip in in_order]).numpy())
    assert set(learned) == set(expected)
    for name, value in expected.items():
        assert torch.equal(learned[name], value), name
