"""Peak frames, against numpy's percentile."""

import numpy as np
import pytest
import torch

from metrics.functional import frame_curve, select_peaks
from metrics.functional.peaks import pointing_accuracy
from metrics.functional.shifts import values_under_shifts


def test_frame_curve_sums_signed_values_over_frequency():
    maps = torch.tensor([[[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]])
    assert frame_curve(maps).tolist() == [[5.0, 3.0, -3.0]]


def test_threshold_between_two_frames_takes_the_upper():
    # Of 0, 1, 2, 3, 4 the 80th percentile is 3.2 and the 75th is 3 itself.
    curve = torch.tensor([[3.0, 0.0, 4.0, 2.0, 1.0]])
    assert select_peaks(curve, 80).tolist() == [[False, False, True, False, False]]
    assert select_peaks(curve, 75).tolist() == [[True, False, True, False, False]]


@pytest.mark.parametrize("n_frames", [1, 2, 313, 400, 401])
def test_agrees_with_numpy(n_frames):
    rng = np.random.default_rng(n_frames)
    percentiles = [0, 50, 97.5, 99.9, 100, *range(90, 100)]
    curves = np.concatenate([rng.normal(size=(5, n_frames)), rng.integers(0, 6, (5, n_frames))])
    peaks = select_peaks(torch.tensor(curves), percentiles).numpy()
    for curve, marked in zip(curves, peaks, strict=True):
        for percentile, frames in zip(percentiles, marked, strict=True):
            np.testing.assert_array_equal(frames, curve >= np.percentile(curve, percentile))


def test_float32_rounding_changes_nothing():
    curves = torch.from_numpy(np.random.default_rng(0).normal(1e3, 1e-2, (20, 401))).float()
    percentiles = list(range(90, 100))
    assert torch.equal(select_peaks(curves, percentiles), select_peaks(curves.double(), percentiles))
    scored = (curves.double() - curves.double().mean(1, keepdim=True)) / curves.double().std(1, keepdim=True)
    assert torch.equal(select_peaks(curves, percentiles), select_peaks(scored, percentiles))


def test_decimal_percentile_on_a_whole_rank():
    # 64.4 % of 500 steps is rank 322 exactly, which floating-point multiplication misses by 6e-14.
    assert select_peaks(torch.arange(501.0), 64.4).sum() == 501 - 322


def test_shapes_of_one_and_several_percentiles():
    curves = torch.rand(3, 2, 50)
    assert select_peaks(curves, 98).shape == (3, 2, 50)
    assert torch.equal(select_peaks(curves, [90, 98])[..., 1, :], select_peaks(curves, 98))


def test_every_frame_of_a_constant_curve_is_a_peak():
    assert select_peaks(torch.zeros(1, 7), 98).all()


def test_rejects_curves_without_percentiles():
    with pytest.raises(ValueError, match="NaN"):
        select_peaks(torch.tensor([[0.0, torch.nan]]), 98)
    with pytest.raises(ValueError, match="no frame"):
        select_peaks(torch.empty(2, 0), 98)
    with pytest.raises(ValueError, match="percentile: 101"):
        select_peaks(torch.rand(1, 3), [90, 101])


def test_pointing_accuracy_and_its_chance_level():
    """Of three peaks one is among the two annotated frames of eight; over all shifts a quarter of them is."""
    peaks = torch.tensor([[[True, False, False, True, False, True, False, False]]])
    annotation = torch.tensor([[False, False, False, True, True, False, False, False]])
    under_shifts = values_under_shifts(pointing_accuracy, peaks, annotation)
    # Peaks 0, 3 and 5, moved by 0, 1, … 7 frames: how many of them are in frames 3 and 4.
    assert under_shifts[0, 0].mul(3).tolist() == pytest.approx([1, 1, 0, 1, 1, 0, 1, 1])
    assert under_shifts.mean().item() == pytest.approx(2 / 8)
