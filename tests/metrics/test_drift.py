"""Unusual values and what most of a recording is like: by hand, and what is promised about new normal sound."""

import numpy as np
import pytest

from metrics.functional import conformal_p_values, count_p_value, majority_p_value, unusualness_p_values


def test_unusual_values_by_hand():
    # The mean of 0, 2, 4 and 10 is 4: distances 4, 2, 0 and 6. Of 0, 2, 4 and 6 it is 3: 3, 1, 1 and 3.
    assert unusualness_p_values([[10.0], [6.0]], [[0.0], [2.0], [4.0]]).tolist() == [0.25, 0.5]
    # Two bands: mean (1, 2); distances (1 + 2)/2, (1 + 2)/2 and (0 + 4)/2.
    assert unusualness_p_values([[1.0, 6.0]], [[0.0, 0.0], [2.0, 0.0]]).tolist() == [pytest.approx(1 / 3)]


@pytest.mark.parametrize("n", [9, 20])
def test_p_values_of_new_normal_spectra_are_uniform(n):
    """4,000 draws of n + 1 exchangeable spectra that share what they have in common; standard errors up to 0.008."""
    draws = np.random.default_rng(n)
    shared = draws.standard_t(2, size=(4_000, 1, 6))
    spectra = shared + draws.standard_t(3, size=(4_000, n + 1, 6)) * (1 + np.arange(6))
    p = np.array([unusualness_p_values(each[:1], each[1:])[0] for each in spectra])
    for rank in (1, n // 4, n // 2):
        assert (p <= (rank + 0.5) / (n + 1)).mean() == pytest.approx(rank / (n + 1), abs=0.02)


def test_most_of_several_p_values_by_hand():
    assert majority_p_value([0.3]) == 0.3
    assert majority_p_value([0.01, 0.4]) == 0.4, "one of two is not most of them"
    assert majority_p_value([0.02, 0.9, 0.03, 0.01, 0.8]) == pytest.approx(0.05), "5/3 of the third"
    assert majority_p_value([0.9, 0.8, 0.7]) == 1.0


@pytest.mark.parametrize("likeness", [0.0, 0.5, 0.9, 1.0])
def test_p_values_of_a_majority_are_valid_however_alike_its_members_are(likeness):
    """Normal quantiles of 9 p-values correlate; a share of 5,000 draws has a standard error of at most 0.007."""
    draws = np.random.default_rng(0)
    common, own = draws.standard_normal((5_000, 1)), draws.standard_normal((5_000, 9))
    values = np.sqrt(likeness) * common + np.sqrt(1 - likeness) * own
    p = (values.argsort(axis=None).argsort() + 1).reshape(values.shape) / values.size
    found = np.array([majority_p_value(each) for each in p])
    for alpha in (0.05, 0.2, 0.5):
        assert (found <= alpha).mean() <= alpha + 0.02


def test_p_values_of_a_majority_are_valid_in_the_worst_case():
    """Five of nine p-values are always small together: a larger share of small p-values than of any member."""
    draws = np.random.default_rng(0)
    alpha = 0.1
    found = np.ones(10_000)
    for draw in range(len(found)):
        p = np.ones(9)
        if draws.random() < alpha:  # each is at most 5 / 9 alpha with a probability of 5 / 9 alpha
            p[draws.permutation(9)[:5]] = draws.uniform(0, 5 / 9 * alpha)
        found[draw] = majority_p_value(p)
    assert (found <= alpha).mean() == pytest.approx(alpha, abs=0.012)


def test_counts_of_unusual_values_by_hand():
    assert count_p_value(0, of=5, n=9, alpha=0.1) == pytest.approx(1)
    assert count_p_value(1, of=1, n=19, alpha=0.05) == pytest.approx(0.05)
    # The three highest of seven are the three new ones: one of 35 choices.
    assert count_p_value(3, of=3, n=4, alpha=0.2) == pytest.approx(1 / 35)
    # Both exceed the second highest of four: of 15 choices of two ranks of six, those of the three highest.
    assert count_p_value(2, of=2, n=4, alpha=0.4) == pytest.approx(3 / 15)


def test_counts_of_unusual_values_among_new_normal_ones():
    """20,000 draws of 20 normal and 8 new values; a share has a standard error of at most 0.003."""
    values = np.random.default_rng(0).standard_normal((20_000, 28))
    p = np.array([conformal_p_values(row[20:], row[:20]) for row in values])
    counts = (p <= 2.5 / 21).sum(axis=1)
    for count in range(5):
        assert (counts >= count).mean() == pytest.approx(count_p_value(count, 8, 20, 2 / 21), abs=0.012)
