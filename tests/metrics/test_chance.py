"""Chance levels and p-values, against brute force and enumeration."""

import time
from itertools import combinations, product

import numpy as np
import pytest
import torch
from metrics_reference import f1_precision_recall
from scipy.stats import kstest

from metrics.functional import (
    chance_corrected,
    chance_levels,
    circular_shift_f1,
    draw_shifts,
    n_peaks,
    oracle_f1,
    permutation_p_value,
    random_frames_f1,
    reference_f1,
    reference_frames,
    segment_f1,
    select_peaks,
    shift_frames,
    spread_frames,
)


def clip(*marked, length):
    """One clip, (1, length) bool, with these frames marked."""
    out = torch.zeros(1, length, dtype=torch.bool)
    out[0, list(marked)] = True
    return out


def boards(n_clips, n_frames=400, seed=0):
    """Annotations like those of the planer: runs of one to five seconds, one or two a clip."""
    rng = np.random.default_rng(seed)
    annotation = torch.zeros(n_clips, n_frames, dtype=torch.bool)
    for of_clip in annotation:
        for _ in range(rng.integers(1, 3)):
            start, seconds = rng.integers(0, n_frames // 40), rng.integers(1, 6)
            of_clip[40 * start : 40 * (start + seconds)] = True
    return annotation


def all_choices(n_frames, count):
    """Every way to mark `count` frames, (C, 1, T)."""
    return torch.cat([clip(*chosen, length=n_frames) for chosen in combinations(range(n_frames), count)]).unsqueeze(1)


@pytest.mark.parametrize("n_frames", [20, 23, 24])
def test_all_shifts_agree_with_rolling(n_frames):
    generator = torch.Generator().manual_seed(n_frames)
    peaks = torch.rand(3, 4, n_frames, generator=generator) < 0.15
    annotation = torch.rand(3, n_frames, generator=generator) < 0.2
    null = circular_shift_f1(peaks, annotation, 5)
    assert null.shape == (3, 4, n_frames)
    for shift in range(n_frames):
        expected = segment_f1(peaks.roll(shift, -1), annotation.unsqueeze(1), 5)
        assert torch.equal(null[..., shift], expected), shift


def test_a_shifted_curve_has_shifted_peaks():
    """Against the protocol written with numpy: the curve is shifted, its percentile taken anew."""
    curve, annotation = np.random.default_rng(1).normal(size=83), np.arange(83) % 50 > 40
    null = circular_shift_f1(select_peaks(torch.tensor(curve)[None], [90, 97]), torch.tensor(annotation)[None], 40)
    for shift, percentile in product(range(83), (90, 97)):
        expected = f1_precision_recall(np.roll(curve, shift), annotation, percentile, 40)[0]
        assert null[0, (90, 97).index(percentile), shift] == expected


def test_all_shifts_of_a_test_set_take_a_moment():
    peaks = select_peaks(torch.rand(46, 400), list(range(90, 100)))
    annotation = boards(46)
    start = time.process_time()
    circular_shift_f1(peaks, annotation)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("marked", "length", "frames_per_second"),
    [
        ((0, 1), 8, 2),
        ((0, 3, 7), 8, 3),
        ((4,), 7, 3),  # the last frame is in no second
        ((1, 6), 8, 2.5),  # seconds of 3, 2 and 3 frames
        ((0, 9), 10, 7),
        ((3, 8), 9, 7),
        (tuple(range(6)), 6, 2),
        ((), 6, 2),
        ((5,), 6, 4),
    ],
)
def test_random_frames_and_oracle_agree_with_enumeration(marked, length, frames_per_second):
    annotation = clip(*marked, length=length)
    counts = list(range(1, length + 1))
    expected = [segment_f1(all_choices(length, count), annotation, frames_per_second) for count in counts]
    mean, best = (torch.stack([f1.mean() if k else f1.max() for f1 in expected]) for k in (1, 0))
    random = random_frames_f1(annotation, counts, frames_per_second)
    torch.testing.assert_close(random, mean[None], rtol=0, atol=1e-12)
    torch.testing.assert_close(oracle_f1(annotation, counts, frames_per_second), best[None], rtol=0, atol=1e-12)


def test_expected_f1_of_long_clips_neither_overflows_nor_cancels():
    """A minute: the number of ways to choose the frames has more digits than a float64 takes."""
    annotation = boards(1, n_frames=2_400)
    counts = [1, 240]
    random = random_frames_f1(annotation, counts)
    generator = torch.Generator().manual_seed(0)
    for column, count in enumerate(counts):
        peaks = torch.rand(200, 2_400, generator=generator).argsort(-1) < count
        f1 = segment_f1(peaks, annotation)
        assert random[0, column].item() == pytest.approx(f1.mean().item(), abs=4 * f1.std().item() / 200**0.5 + 1e-9)


def test_references_stand_in_their_order():
    annotation = torch.cat([clip(0, 1, 2, 3, length=12), clip(5, length=12)])
    random, everything, oracle = reference_f1(annotation, [50, 90], 4).unbind(1)
    assert torch.equal(random, random_frames_f1(annotation, [6, 2], 4))
    assert everything.tolist() == [[0.5, 0.5], [0.5, 0.5]]  # a precision of a third
    # Six frames do not fit into a positive second of four.
    assert oracle[0].tolist() == pytest.approx([2 / 3, 1])


def test_frames_spread_over_the_annotation_and_then_over_the_rest():
    annotation = clip(*range(4, 12), length=16)
    marked = [row.nonzero().squeeze(1).tolist() for row in spread_frames(annotation, [1, 2, 4, 8, 10, 16])[0]]
    assert marked[:4] == [[8], [6, 10], [5, 7, 9, 11], list(range(4, 12))]
    # The eight other frames are 0 to 3 and 12 to 15, whose halves' middles are 2 and 14.
    assert marked[4:] == [[2, *range(4, 12), 14], list(range(16))]
    for count in range(17):
        assert spread_frames(annotation, [count]).sum() == count


def test_reference_frames_are_as_many_as_peaks_and_the_clips_own():
    annotation = boards(3, n_frames=80)
    index = torch.tensor([5, 2**40, 6])
    frames = reference_frames(annotation, [90, 98], index)
    assert frames.sum(-1)[:, 0].tolist() == frames.sum(-1)[:, 2].tolist() == [[8, 2]] * 3
    assert frames[:, 1].all()
    assert not (frames[:, 0, 1] & ~frames[:, 0, 0]).any(), "fewer frames are some of the more"
    assert torch.equal(reference_frames(annotation, [90, 98], index.flip(0)).flip(0)[:, 0], frames[:, 0])
    assert not torch.equal(frames[0, 0], frames[2, 0])
    assert not torch.equal(reference_frames(annotation, [90, 98], index, seed=1)[:, 0], frames[:, 0])


def test_drawn_shifts_depend_on_seed_and_clip_only_and_are_uniform():
    index = torch.arange(3000)
    shifts = draw_shifts(index, n_frames=11, shifts=4)
    assert torch.equal(draw_shifts(index[5:8], 11, 4), shifts[5:8])
    assert not torch.equal(draw_shifts(index, 11, 4, seed=1), shifts)
    assert all(len(set(row)) == 4 for row in shifts.tolist())
    counts = torch.bincount(shifts.flatten(), minlength=11)
    assert counts[0] == 0
    assert (counts[1:] - 1200).abs().max() < 5 * 1200**0.5
    assert draw_shifts(index, 11, 0).shape == (3000, 0)
    with pytest.raises(ValueError, match="shifts: 11 of 11 frames"):
        draw_shifts(index, 11, 11)


def test_shifting_frames_is_rolling():
    frames = torch.rand(2, 3, 7)
    shifts = torch.tensor([[0, 1, 5], [2, 6, 3]])
    shifted = shift_frames(frames, shifts)
    for b, s in product(range(2), range(3)):
        assert torch.equal(shifted[b, s], frames[b].roll(int(shifts[b, s]), -1))


def test_p_value_agrees_with_all_picks():
    null = torch.rand(4, 5, generator=torch.Generator().manual_seed(3))
    null[:, 0] += 0.5
    means = np.array([np.mean(picks) for picks in product(*null.tolist())])
    expected = (means >= null[:, 0].mean().item() - 1e-9).mean()
    assert 0.02 < expected < 0.5
    assert permutation_p_value(null, draws=100_000) == pytest.approx(expected, abs=0.006)


def test_ties_count_for_chance():
    """Equal means are ties, though their sums may be rounded otherwise."""
    assert permutation_p_value(torch.full((7, 3), 0.1)) == 1
    assert permutation_p_value(torch.tensor([[0.1, 0.2, 0.3], [0.2, 0.3, 0.1], [0.3, 0.1, 0.2]])) > 0.5
    assert permutation_p_value(torch.tensor([[1.0, 0.0]] * 40), draws=99) == 0.01, "never 0"


def test_p_value_is_repeatable_and_undefined_without_values():
    null = torch.rand(6, 9)
    assert permutation_p_value(null, seed=2) == permutation_p_value(null.float(), seed=2)
    null[3, 4] = torch.nan
    assert np.isnan(permutation_p_value(null))
    assert np.isnan(permutation_p_value(torch.zeros(0, 5)))
    with pytest.raises(ValueError, match=r"null \(6, 1\)"):
        permutation_p_value(torch.rand(6, 1))
    with pytest.raises(ValueError, match="draws: 0"):
        permutation_p_value(torch.rand(6, 2), draws=0)


def curves_of(kind, n_clips, n_frames, seed):
    """Curves that know nothing of the annotation: white, or in bursts of half a second."""
    curves = torch.randn(n_clips, n_frames, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    width = {"white": 1, "bursts": 21}[kind]
    return curves.unfold(1, width, 1).mean(-1) if width > 1 else curves


@pytest.mark.parametrize("kind", ["white", "bursts"])
@pytest.mark.parametrize("sampled", [False, True])
def test_p_values_of_random_curves_are_uniform(kind, sampled):
    p_values = []
    for seed in range(300):
        curves = curves_of(kind, 12, 200, seed)
        annotation = boards(12, n_frames=curves.shape[1], seed=1000 + seed)
        peaks = select_peaks(curves, [95])
        null = circular_shift_f1(peaks, annotation)[:, 0]
        if sampled:
            drawn = draw_shifts(torch.arange(12), curves.shape[1], shifts=4, seed=seed)
            null = torch.cat([null[:, :1], null.gather(1, drawn)], dim=1)
        p_values.append(permutation_p_value(null, draws=999))
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_curves_that_point_at_the_anomaly_are_significant():
    annotation = boards(20)
    curves = curves_of("white", 20, 400, seed=0) + 1.5 * annotation
    null = circular_shift_f1(select_peaks(curves, [98]), annotation)[:, 0]
    assert permutation_p_value(null) < 0.001


def test_correction_goes_from_chance_to_the_oracle():
    value, chance, oracle = (torch.tensor(row) for row in ([0.3, 0.9, 0.1, 0.5], [0.3] * 4, [0.9, 0.9, 0.9, 0.3]))
    corrected = chance_corrected(value, chance, oracle)
    assert corrected[:3].tolist() == pytest.approx([0, 1, -1 / 3])
    assert corrected[3].isnan()


def test_chance_levels_by_hand():
    """Two seconds of two frames, the first annotated. Three of four frames: both seconds, whatever is drawn."""
    levels = chance_levels(clip(0, length=4), [0, 50, 75], frames_per_second=2)
    assert [n_peaks(p, 4) for p in (0, 50, 75)] == [4, 2, 1]
    # Of two frames: within the first second once in six draws, within the second once, else both (F1 2/3).
    assert levels["random_frames"].tolist() == pytest.approx([2 / 3, 1 / 6 + 4 / 6 * 2 / 3, 1 / 2])
    # A run of two starts at frame 0 (F1 1), at 2 (F1 0), or at 1 or 3 (both seconds).
    assert levels["random_run"].tolist() == pytest.approx([2 / 3, (1 + 2 * 2 / 3) / 4, 1 / 2])
    assert levels["all_frames"].tolist() == pytest.approx([2 / 3] * 3)
    assert levels["oracle"].tolist() == pytest.approx([2 / 3, 1, 1])


def test_rejects_shapes_that_do_not_match():
    with pytest.raises(ValueError, match="do not fit together"):
        circular_shift_f1(torch.ones(2, 3, 10, dtype=torch.bool), torch.ones(2, 9, dtype=torch.bool))
    with pytest.raises(ValueError, match="frames_per_second: 0"):
        circular_shift_f1(torch.ones(2, 3, 10, dtype=torch.bool), torch.ones(2, 10, dtype=torch.bool), 0)
    with pytest.raises(ValueError, match="percentile: 101"):
        chance_levels(clip(0, length=4), [101])
    with pytest.raises(ValueError, match="n_frames: 0"):
        n_peaks(90, 0)
