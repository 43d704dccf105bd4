"""The steps of splicing: joins, filters, stretches and draws that can be worked out by hand."""

import numpy as np
import pytest

from datamodules.frontend import LogMelFrontEnd
from datamodules.splicing.choice import draw_intervals, draw_pools, pair
from datamodules.splicing.sound import (
    FRONT_END,
    FrameDeviation,
    background,
    equalise,
    insert,
    matching_gain,
    most_deviating,
)

RATE = 16_000


def test_the_fades_of_unrelated_sounds_keep_their_power():
    ones, zeros = np.ones(10), np.zeros(10)
    of_host = insert(ones, zeros[:6], start=2, fade=3)
    of_piece = insert(zeros, ones[:6], start=2, fade=3)
    np.testing.assert_allclose(of_host**2 + of_piece**2, 1)
    # sin(π/2 · (k + ½) / 3) for k = 0, 1, 2
    fade = [np.sin(np.pi / 12), np.sin(np.pi / 4), np.sin(5 * np.pi / 12)]
    np.testing.assert_allclose(of_piece, [0, 0, *fade, *fade[::-1], 0, 0])


def test_there_is_no_fade_where_there_is_no_join():
    np.testing.assert_array_equal(insert(np.zeros(6), np.ones(3), start=3, fade=1)[-1], 1)
    np.testing.assert_array_equal(insert(np.zeros(4), np.ones(4), start=0, fade=2), 1)


def test_equalise_amplifies_only_the_bands_with_gain():
    time = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 4000 * time)
    centres = LogMelFrontEnd(FRONT_END).mel.mel_scale.fb.argmax(0) * RATE / 1024
    gain = np.where(centres.numpy() > 2000, -12.0, 0.0)
    np.testing.assert_allclose(equalise(low + high, RATE, gain), low + 10 ** (-12 / 20) * high, atol=1e-3)


def test_gains_bring_the_donor_to_its_host_within_their_limit():
    host, donor = np.float32([-20, -20, -20]), np.float32([-25, -19, -60])
    assert matching_gain(host, donor).tolist() == [5, -1, 12]


def test_strokes_that_fill_most_of_a_clip_are_not_its_background():
    clip = np.full((2, 100), -30.0)
    clip[1, :70] = 0
    assert background(clip).tolist() == [-30, -30]


@pytest.mark.parametrize("level", [0, 20])
def test_the_frames_of_a_burst_deviate_however_loud_the_background(level):
    rng = np.random.default_rng(0)
    training = [rng.normal(size=(16, 200)) for _ in range(4)]
    deviation = FrameDeviation(training)
    clip = rng.normal(size=(16, 200)) + level
    clip[:, 80:120] += 10
    distance = deviation(clip)
    assert (distance[80:120] > deviation.threshold).all()
    assert (np.delete(distance, np.s_[80:120]) > deviation.threshold).mean() < 0.1
    assert most_deviating(distance, deviation.threshold, [40]) == [80]


def test_stretches_of_a_donor_do_not_overlap_and_half_of_each_deviates():
    distance = np.zeros(30)
    distance[4:9], distance[20:25] = 9, 5
    assert most_deviating(distance, 1, [5, 5]) == [4, 20]
    # The second could only overlap the first, or lie where a fifth of it deviates.
    assert most_deviating(np.where(distance == 5, 0, distance), 1, [5, 5]) is None
    assert most_deviating(distance, 1, [31]) is None


@pytest.mark.parametrize("seconds", [4, 5, 10])
def test_every_second_is_as_likely_to_be_inside_a_piece(seconds):
    rng = np.random.default_rng(0)
    covered = np.zeros(seconds)
    for _ in range(800):
        intervals = draw_intervals(seconds, rng)
        edges = [0, *(edge for interval in intervals for edge in interval), seconds]
        assert (np.diff(edges[1:-1]) > 0).all()
        assert 1 <= sum(end - start for start, end in intervals) < seconds
        for start, end in intervals:
            covered[start:end] += 1
    share = covered / 800
    np.testing.assert_allclose(share, share.mean(), atol=4.5 * 0.5 / np.sqrt(800))


def test_pools_of_normal_clips_are_disjoint(data_error):
    pools = draw_pools(range(11), 2, np.random.default_rng(0))
    assert [len(pool) for pool in (pools.normal, pools.hosts, pools.control_hosts, pools.control_donors)] == [
        4,
        2,
        2,
        3,
    ]
    dealt = [*pools.normal, *pools.hosts, *pools.control_hosts, *pools.control_donors]
    assert sorted(dealt) == list(range(11))
    with data_error("clips=3", "12 normal test clips", "there are 11", "at most 2"):
        draw_pools(range(11), 3, np.random.default_rng(0))


def test_donors_minimise_the_sum_of_distances():
    distance = np.float32([[1, 2, 9], [1, 5, 9]])
    assert pair(distance, np.ones((2, 3), dtype=bool)) == [1, 0]
    assert pair(distance, np.array([[True, True, True], [False, True, False]])) == [0, 1]
    assert pair(distance, np.array([[True, False, False], [True, False, False]])) is None
