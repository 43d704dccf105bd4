"""Segment counts and scores, by hand and against brute force."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from metrics_reference import f1_precision_recall

from metrics.functional import (
    segment_counts,
    segment_f1,
    segment_mask,
    segment_precision,
    segment_recall,
    segment_scores,
    select_peaks,
)
from metrics.functional.segments import segment_edges


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


@pytest.mark.parametrize(
    ("n_frames", "sample_rate", "hop", "n_seconds", "uncounted"),
    [
        (400, 20_000, 500, 10, 0),
        (401, 20_000, 500, 10, 1),
        (312, 16_000, 512, 10, 0),  # 9.984 s: the tenth second is 0.984 s long
        (313, 16_000, 512, 10, 0),  # the last frame is at 9.984 s
        (329, 16_000, 512, 11, 0),  # 10.528 s
        (328, 16_000, 512, 10, 15),  # 10.496 s, frames from 10.016 s on are in no second
        (60, 20_000, 500, 2, 0),  # exactly half a second is not shorter than half a second
        (59, 20_000, 500, 1, 19),
        (431, 22_050, 512, 10, 0),  # 43.066 frames per second
        (442, 22_050, 512, 10, 11),
        (1001, 44_100, 441, 10, 1),
        (700, 24_414, 610, 17, 19),  # 40.023 frames per second: the 18th second begins with frame 681
    ],
)
def test_a_frame_is_in_the_second_of_its_time(n_frames, sample_rate, hop, n_seconds, uncounted):
    """Reckoned in whole samples, frame by frame."""
    seconds = [k * hop // sample_rate for k in range(n_frames)]
    edges = segment_edges(n_frames, sample_rate / hop)
    assert len(edges) == n_seconds + 1
    assert edges[-1] == n_frames - uncounted
    for second, (first, end) in enumerate(pairwise(edges)):
        assert [k for k, of_frame in enumerate(seconds) if of_frame == second] == list(range(first, end))


def test_frames_after_the_last_second_count_neither_for_nor_against():
    annotation = frames(0, length=81)
    assert segment_scores(frames(0, 80, length=81), annotation).flatten().tolist() == [1, 1, 1]
    assert segment_scores(frames(80, length=81), annotation).flatten().tolist() == [0, 0, 0]
    assert segment_scores(frames(0, length=81), frames(0, 80, length=81)).flatten().tolist() == [1, 1, 1]
    assert segment_mask(frames(80, length=81), frames(80, length=81)).sum() == 0


def test_a_clip_shorter_than_half_a_second_is_one_second():
    assert segment_edges(19, 40) == (0, 19)
    assert segment_f1(frames(0, length=19), frames(18, length=19)).item() == 1


def test_a_second_is_forty_frames_by_default():
    assert segment_f1(frames(39, length=80), frames(0, length=80)).item() == 1
    assert segment_f1(frames(40, length=80), frames(0, length=80)).item() == 0


@pytest.mark.parametrize("peaks", [frames(), frames(2)])
@pytest.mark.parametrize("annotation", [frames(), frames(8)])
def test_undefined_is_zero(peaks, annotation):
    assert segment_scores(peaks, annotation, 4).flatten().tolist() == [0, 0, 0]


def test_mask_is_whole_segments_cut_to_the_annotation():
    mask = segment_mask(frames(0, 9), frames(2, 3, 4, 5, 8, 9), 4)
    assert mask.nonzero()[:, 1].tolist() == [2, 3, 8, 9]


@pytest.mark.parametrize(("n_frames", "rate"), [(400, 40), (401, 40), (37, 40), (312, 31.25), (328, 31.25)])
def test_agrees_with_brute_force(n_frames, rate):
    rng = np.random.default_rng(n_frames)
    curves = rng.normal(size=(6, n_frames))
    annotation = np.repeat(rng.random((6, n_frames // 20 + 1)) < 0.2, 20, axis=1)[:, :n_frames]
    percentiles = list(range(90, 100))
    peaks = select_peaks(torch.tensor(curves), percentiles)
    scores = segment_scores(peaks, torch.tensor(annotation)[:, None], rate)
    for i in range(6):
        for j, percentile in enumerate(percentiles):
            expected = f1_precision_recall(curves[i], annotation[i], percentile, rate)
            assert tuple(scores[:, i, j].tolist()) == expected


def test_rejects_shapes_that_do_not_match():
    with pytest.raises(ValueError, match="peaks have 10 frames but the annotation has 9"):
        segment_f1(frames(0), frames(0, length=9), 4)
    with pytest.raises(ValueError, match="peaks have 10 frames but the annotation has 1"):
        segment_mask(frames(0), frames(0, length=1), 4)
    with pytest.raises(ValueError, match="frames_per_second: 0"):
        segment_f1(frames(0), frames(0), 0)
