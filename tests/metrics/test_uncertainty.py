"""Intervals and tests against SciPy and by hand."""

import itertools

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.metrics import roc_auc_score

from metrics.functional.chance import best_of_several_p_value
from metrics.functional.detection import bootstrap_auroc, bootstrap_auroc_difference
from metrics.functional.uncertainty import (
    bootstrap_mean,
    compare_paired,
    holm,
    over_seeds,
    random_effects,
    resampling_blocks,
    resampling_weights,
    signed_rank_p_value,
)


@pytest.fixture
def skewed():
    """Values of 46 clips, most of them small."""
    return np.random.default_rng(1).exponential(0.2, 46)


def test_interval_is_scipys(skewed):
    mean, low, high = bootstrap_mean(skewed, draws=20_000)
    reference = stats.bootstrap(
        (skewed,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    plain = stats.bootstrap(
        (skewed,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert mean == pytest.approx(skewed.mean())
    assert (low, high) == pytest.approx(reference, abs=0.002)
    assert abs(high - plain.high) > 0.004  # so the tolerance tells the two methods apart


def test_interval_covers_as_often_as_it_says():
    generator = np.random.default_rng(3)
    samples = generator.normal(size=(400, 30))
    hits = [low <= 0 <= high for _, low, high in (bootstrap_mean(sample, 0.8, draws=500) for sample in samples)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.06)


def test_columns_share_the_draws_and_keep_their_shape(skewed):
    columns = np.stack([skewed, -skewed, np.full(46, 0.3), np.where(np.arange(46) == 7, np.nan, skewed)], axis=1)
    mean, low, high = bootstrap_mean(columns.reshape(46, 2, 2), draws=2000)
    alone = bootstrap_mean(skewed, draws=2000)
    assert mean.shape == low.shape == high.shape == (2, 2)
    assert (low[0, 0], high[0, 0]) == pytest.approx((float(alone.low), float(alone.high)))
    assert (low[0, 1], high[0, 1]) == pytest.approx((-float(alone.high), -float(alone.low)))
    assert mean[1, 0] == low[1, 0] == high[1, 0] == pytest.approx(0.3)
    assert np.isnan([mean[1, 1], low[1, 1], high[1, 1]]).all()


def test_same_seed_same_interval(skewed):
    assert bootstrap_mean(skewed, seed=4) == bootstrap_mean(skewed, seed=4)
    assert bootstrap_mean(skewed, seed=4) != bootstrap_mean(skewed, seed=5)


def test_seeds_are_averaged_before_clips_are_drawn(skewed):
    # Two seeds whose clips deviate in opposite directions: nothing is left that drawing clips could spread.
    runs = np.stack([skewed, 1 - skewed])
    _, low, high = bootstrap_mean(over_seeds(runs))
    assert low == high == pytest.approx(0.5)


def test_no_clip_has_no_interval():
    assert np.isnan(bootstrap_mean(np.empty((0, 3)))).all()


@pytest.mark.parametrize(("options", "word"), [({"confidence": 95}, "confidence"), ({"draws": 0}, "draws")])
def test_bad_settings_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        bootstrap_mean([0.1, 0.2], **options)


def test_signed_rank_is_scipys_without_ties():
    differences = np.random.default_rng(5).normal(0.3, 1, 40)
    assert signed_rank_p_value(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_signed_rank_counts_every_sign_where_there_are_ties():
    differences = np.array([0.5, 0.5, -0.25, 0.25, 1.0, -0.5, 0.75, 0.0])
    ranks = stats.rankdata(np.abs(differences[:7]))
    sums = [np.dot(ranks, signs) for signs in itertools.product([0, 1], repeat=7)]
    observed = ranks[differences[:7] > 0].sum()
    expected = 2 * min(np.mean(np.array(sums) >= observed), np.mean(np.array(sums) <= observed))
    assert signed_rank_p_value(differences) == pytest.approx(expected)


def test_signed_rank_goes_on_smoothly_to_many_clips():
    differences = np.random.default_rng(6).normal(0.1, 1, 301)
    exact, approximate = signed_rank_p_value(differences[:300]), stats.wilcoxon(differences[:300]).pvalue
    assert exact == pytest.approx(approximate, rel=0.02)
    assert signed_rank_p_value(differences) == stats.wilcoxon(differences).pvalue


def test_signed_rank_of_nothing():
    assert signed_rank_p_value([0.0, 0.0, 1e-15]) == 1.0
    assert np.isnan(signed_rank_p_value([0.1, np.nan]))


def test_paired_comparison_averages_seeds_within_clips():
    generator = np.random.default_rng(7)
    first, second = generator.uniform(size=(3, 20)), generator.uniform(size=(3, 20)) + 0.2
    found = compare_paired(first, second)
    differences = second.mean(0) - first.mean(0)
    assert found.difference == pytest.approx(differences.mean())
    assert found.p_value == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)
    assert (found.low, found.high) == pytest.approx([float(end) for end in bootstrap_mean(differences)[1:]])
    assert found.n_clips == 20


def test_different_clips_cannot_be_paired():
    with pytest.raises(ValueError, match="20 and 19 clips"):
        compare_paired(np.zeros(20), np.zeros(19))


def test_holm_by_hand():
    # Sorted: 0.01 × 4, 0.025 × 3, 0.03 × 2 (0.06, so not below the 0.075 before), 0.5 × 1.
    assert holm([0.03, 0.01, 0.5, 0.025]) == pytest.approx([0.075, 0.04, 0.5, 0.075])


def test_holm_leaves_out_what_is_not_there_and_stops_at_one():
    assert holm([0.4, np.nan, 0.8]) == pytest.approx([0.8, np.nan, 0.8], nan_ok=True)
    assert holm([0.6, 0.9]).max() == 1.0
    assert len(holm([])) == 0


@pytest.fixture
def scores():
    """Scores of 60 normal and 15 anomalous clips, some tied."""
    generator = np.random.default_rng(8)
    labels = np.repeat([0, 1], [60, 15])
    return np.round(generator.normal(1.2 * labels, 1), 1), labels


@pytest.mark.parametrize("max_fpr", [1.0, 0.1, 0.25])
def test_areas_of_drawn_clips_are_scikit_learns(scores, max_fpr):
    metrics = pytest.importorskip("sklearn.metrics")
    values, labels = scores
    mean, low, high = (area[1] for area in bootstrap_auroc(values, labels, [0.5, max_fpr]))
    area = None if max_fpr == 1 else max_fpr
    assert mean == pytest.approx(metrics.roc_auc_score(labels, values, max_fpr=area))
    generator = np.random.default_rng(9)
    drawn = [
        metrics.roc_auc_score(
            labels, np.concatenate([generator.choice(values[:60], 60), generator.choice(values[60:], 15)]), max_fpr=area
        )
        for _ in range(500)
    ]
    assert (low, high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)


def test_area_of_several_runs_is_the_mean_of_theirs(scores):
    values, labels = scores
    other = -values
    found = bootstrap_auroc(np.stack([values, other]), labels)
    assert found.mean == pytest.approx([0.5])
    # The same clips are drawn for both runs, so what one gains the other loses.
    assert [*found.low, *found.high] == pytest.approx([0.5, 0.5])


def test_area_needs_both_classes():
    with pytest.raises(ValueError, match="one class"):
        bootstrap_auroc([1.0, 2.0], [1, 1])


def test_best_of_several_by_counting_all_arrangements():
    null = np.random.default_rng(10).uniform(size=(4, 3, 5))
    observed = null[..., 0].mean(0).max()
    all_means = [np.mean([null[i, :, s] for i, s in enumerate(picks)], 0).max()
                 for picks in itertools.product(range(5), repeat=4)]  # fmt: skip
    expected = np.mean(np.array(all_means) >= observed - 1e-9)
    assert best_of_several_p_value(null, draws=40_000) == pytest.approx(expected, abs=0.01)


def test_best_of_several_does_not_reward_the_choice():
    # Ten independent measures of nothing: the best alone would look significant far more often than 5 %.
    generator = np.random.default_rng(11)
    p_values = [best_of_several_p_value(generator.normal(size=(8, 10, 30)), draws=300) for _ in range(200)]
    assert np.mean(np.array(p_values) <= 0.05) < 0.1
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_samples_do_not_depend_on_how_many_are_drawn_at_a_time():
    whole = resampling_weights(7, 10, (3, 1))
    blocks = list(resampling_blocks(7, 10, (3, 1), at_once=4))
    assert [len(block) for block in blocks] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    np.testing.assert_allclose(whole.sum(1), 1)


def test_area_difference_resamples_the_same_clips_for_both_models():
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    first = np.array([[1.0, 2, 3, 4, 5, 3.5, 2.5], [1, 2, 3, 4, 5, 4.5, 2.5]])
    second = np.array([[1.0, 2, 3, 4, 5, 4.5, 3.5]])
    found = bootstrap_auroc_difference(first, second, labels, draws=200)
    # Anomalies beat 4 + 3 + 2 and 4 + 4 + 2 of 12 pairs in the first, 4 + 4 + 3 in the second.
    assert found.mean == pytest.approx(11 / 12 - (9 / 12 + 10 / 12) / 2)
    normal, anomalous = (next(resampling_blocks(size, 200, (0, i), 200)) for i, size in enumerate((4, 3)))
    differences = []
    for weights in np.hstack([normal, anomalous]):
        areas = [roc_auc_score(labels, run, sample_weight=weights) for run in (*first, *second)]
        differences.append(areas[2] - (areas[0] + areas[1]) / 2)
    assert [found.low, found.high] == pytest.approx(np.quantile(differences, [0.025, 0.975]))
    same = bootstrap_auroc_difference(first, first, labels, draws=50)
    assert (same.low, same.mean, same.high) == (0, 0, 0)


def test_random_effects_of_equal_errors_by_hand():
    # The sample variance, 0.01, is that between machines and that of each, 0.05²; the mean's is a third of it.
    mean, low, high, spread = random_effects([0.0, 0.1, 0.2], [0.05, 0.05, 0.05])
    assert (mean, spread) == pytest.approx((0.1, 0.0075**0.5), abs=1e-6)
    half = 4.302653 * (0.01 / 3) ** 0.5  # Student's t with 2 degrees of freedom
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-6)


def test_random_effects_are_not_more_certain_than_the_machines():
    # Differences that agree by accident: no variance between machines, and the error of three equally certain ones.
    mean, low, high, spread = random_effects([0.1, 0.1, 0.1], [0.3, 0.3, 0.3])
    assert (mean, spread) == pytest.approx((0.1, 0))
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.302653 * 0.3 / 3**0.5, abs=1e-6)


def test_random_effects_of_unequal_errors_solve_paule_and_mandels_equation():
    effects, errors = np.array([0.02, 0.3, -0.1, 0.12]), np.array([0.02, 0.1, 0.04, 0.05])

    def weighted(variance):
        weights = 1 / (errors**2 + variance)
        mean = (weights * effects).sum() / weights.sum()
        return mean, (weights * (effects - mean) ** 2).sum(), weights.sum()

    variance = optimize.brentq(lambda variance: weighted(variance)[1] - 3, 0, 1)
    mean, residual, total = weighted(variance)
    found = random_effects(effects, errors)
    assert (found.mean, found.spread) == pytest.approx((mean, variance**0.5), abs=1e-5)
    half = stats.t.ppf(0.975, 3) * (residual / 3 / total) ** 0.5
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), abs=1e-4)


@pytest.mark.parametrize(
    ("effects", "errors", "said"), [([0.1, 0.2], [0.1, 0.1], "2 machines"), ([0, 0, 0], [1, 0, 1], "not all are")]
)
def test_random_effects_need_three_machines_and_their_errors(effects, errors, said):
    with pytest.raises(ValueError, match=said):
        random_effects(effects, errors)
