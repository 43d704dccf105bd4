"""Segment counts and scores, by hand and against brute force."""

import numpy as np
import pytest
import torch
from metrics_reference import f1_precision_recall

from metrics import (
    segment_counts,
    segment_f1,
    segment_mask,
    segment_precision,
    segment_recall,
    segment_scores,
    select_peaks,
)


def frames(*marked, length=10):
    """One clip, (1, length) bool, with these frames marked."""
    out = torch.zeros(1, length, dtype=torch.bool)
    out[0, list(marked)] = True
    return out


def test_counts_by_hand():
    # Segments 0-3, 4-7 and the partial 8-9. Predicted: first and last; positive: first and second.
    peaks, annotation = frames(0, 1, 9), frames(3, 4)
    assert [count.item() for count in segment_counts(peaks, annotation, 4)] == [1, 1, 1]
    assert segment_precision(peaks, annotation, 4).item() == 0.5
    assert segment_recall(peaks, annotation, 4).item() == 0.5
    assert segment_f1(peaks, annotation, 4).item() == 0.5


def test_the_last_partial_segment_counts():
    assert segment_f1(frames(9), frames(8), 4).item() == 1


def test_default_segment_is_forty_frames():
    assert segment_f1(frames(39, length=80), frames(0, length=80)).item() == 1
    assert segment_f1(frames(40, length=80), frames(0, length=80)).item() == 0


@pytest.mark.parametrize("peaks", [frames(), frames(2)])
@pytest.mark.parametrize("annotation", [frames(), frames(8)])
def test_undefined_is_zero(peaks, annotation):
    assert segment_scores(peaks, annotation, 4).flatten().tolist() == [0, 0, 0]


def test_mask_is_whole_segments_cut_to_the_annotation():
    mask = segment_mask(frames(0, 9), frames(2, 3, 4, 5, 8, 9), 4)
    assert mask.nonzero()[:, 1].tolist() == [2, 3, 8, 9]


@pytest.mark.parametrize("n_frames", [400, 401, 37])
def test_agrees_with_brute_force(n_frames):
    rng = np.random.default_rng(n_frames)
    curves = rng.normal(size=(6, n_frames))
    annotation = np.repeat(rng.random((6, n_frames // 20 + 1)) < 0.2, 20, axis=1)[:, :n_frames]
    percentiles = list(range(90, 100))
    peaks = select_peaks(torch.tensor(curves), percentiles)
    scores = segment_scores(peaks, torch.tensor(annotation)[:, None], 40)
    for i in range(6):
        for j, percentile in enumerate(percentiles):
            expected = f1_precision_recall(curves[i], annotation[i], percentile, 40)
            assert tuple(scores[:, i, j].tolist()) == expected


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="peaks have 10 frames but the annotation has 9"):
        segment_f1(frames(0), frames(0, length=9), 4)
    with pytest.raises(ValueError, match="peaks have 10 frames but the annotation has 1"):
        segment_mask(frames(0), frames(0, length=1), 4)
    with pytest.raises(ValueError, match="frames_per_segment: 0"):
        segment_f1(frames(0), frames(0), 0)
