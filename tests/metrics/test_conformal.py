"""Conformal p-values and thresholds: by hand, and what they promise about normal scores that are new."""

import math

import numpy as np
import pytest

from metrics.functional import conformal_p_values, conformal_threshold, needed_scores, smallest_alpha


def test_p_values_by_hand():
    normal = [3.0, 1.0, 2.0, 2.0]
    assert conformal_p_values([0.0, 1.0, 2.0, 2.5, 3.0, 9.0], normal).tolist() == [1.0, 1.0, 0.8, 0.4, 0.4, 0.2]


@pytest.mark.parametrize(
    ("alpha", "threshold"),
    # 9 scores: the ⌊10 alpha⌋-th highest of 9, 8, …, 1
    [(0.05, math.inf), (0.1, 9.0), (0.19, 9.0), (0.2, 8.0), (0.3, 7.0), (0.9, 1.0), (1.0, -math.inf)],
)
def test_threshold_by_hand(alpha, threshold):
    assert conformal_threshold(np.arange(1.0, 10.0), alpha) == threshold


def test_threshold_does_not_depend_on_rounding():
    assert conformal_threshold(np.arange(1.0, 100.0), 0.29) == 71  # 0.29 * 100 is 28.999999999999996


@pytest.mark.parametrize("n", [1, 9, 20, 99, 100])
def test_scores_exceed_the_threshold_where_their_p_value_is_at_most_alpha(n):
    draws = np.random.default_rng(n)
    normal, scores = draws.integers(0, 40, n), draws.integers(-5, 45, 500)  # with ties
    for alpha in (0.01, 0.05, 0.1, 0.29, 0.5, 0.97):
        exceeds = scores > conformal_threshold(normal, alpha)
        assert (exceeds == (conformal_p_values(scores, normal) <= alpha + 1e-12)).all()


@pytest.mark.parametrize("alpha", [0.5, 0.3, 0.1, 0.07, 0.05, 0.01, 0.001, 0.29])
def test_fewer_scores_than_needed_promise_nothing(alpha):
    n = needed_scores(alpha)
    assert conformal_threshold(np.zeros(n), alpha) == 0
    assert conformal_threshold(np.zeros(n - 1), alpha) == math.inf
    assert smallest_alpha(n) <= alpha + 1e-12


@pytest.mark.parametrize("n", [20, 99])
@pytest.mark.parametrize("ties", [False, True])
def test_p_values_of_new_normal_scores_are_uniform_or_conservative(n, ties):
    """10,000 draws of n + 1 exchangeable scores; a share has a standard error of at most 0.005."""
    draws = np.random.default_rng(n).standard_t(2, size=(10_000, n + 1))
    if ties:
        draws = np.round(draws)
    p = np.array([conformal_p_values(row[:1], row[1:])[0] for row in draws])
    for alpha in (0.05, 0.1, 0.25, 0.5, 0.75):
        expected = math.floor(alpha * (n + 1)) / (n + 1)
        share = (p <= alpha).mean()
        assert share <= expected + 0.015
        assert ties or share >= expected - 0.015
    assert p.min() == pytest.approx(1 / (n + 1))


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_false_alarms_over_random_halves_of_normal_scores(alpha):
    """The mean over 200 halves is what half of the scores promise, within four standard errors of all scores."""
    scores = np.random.default_rng(0).gamma(2.0, size=80)
    order = np.random.default_rng(1)
    rates = []
    for _ in range(200):
        shuffled = order.permutation(scores)
        rates.append((shuffled[40:] > conformal_threshold(shuffled[:40], alpha)).mean())
    expected = math.floor(alpha * 41) / 41
    assert np.mean(rates) == pytest.approx(expected, abs=4 * np.std(rates) / math.sqrt(200))
