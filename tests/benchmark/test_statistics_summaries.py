"""Summaries of runs, against tables made by hand and against other packages' numbers on a fixed array.

The numbers are of rliable 1.2.0 (arch 7.2.0), scikit-posthocs 0.17.1 and autorank 1.3.0 with scipy 1.17.1 and numpy 2.4.6. rliable takes
higher scores for better and gets ours with the sign flipped.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from benchmark.statistics import (
    Sample,
    friedman,
    iqm,
    performance_profile,
    probability_of_improvement,
    robust,
    stack,
    studentized_range,
)

NAN, INF = math.nan, math.inf
FIXED = np.array(
    [
        [[-1.8, 6.0, 7.0, 1.6, 2.1, -2.4], [5.4, 5.5, 5.0, 14.6, 9.7, 10.6], [-13.2, -15.4, -16.0, -14.2, -7.0, -9.9]],
        [[-1.3, -0.2, -6.1, 7.2, -5.1, 1.2], [21.7, -1.8, 4.0, 7.4, 11.6, 2.4], [-10.2, -9.1, -8.1, -20.9, -5.8, -1.0]],
        [[5.2, -0.6, -0.1, -10.2, 5.4, 10.5], [16.3, -1.9, 10.9, 12.5, 10.6, 18.2], [-15.7, -10.6, -4.0, -2.0, -6.2, -1.7]],
        [[0.6, -7.3, 4.5, -4.5, -10.2, 0.2], [17.1, 12.8, 13.0, 9.0, -4.3, 11.4], [-11.2, -25.2, -15.3, -16.4, -6.7, -11.4]],
        [[7.5, 7.2, -0.6, -3.8, 6.3, 4.5], [15.9, 15.2, 13.5, 18.8, 17.0, 12.9], [-13.5, -17.0, -11.2, -4.8, 0.6, -6.1]],
    ]
)
"""[methods, problems, seeds]"""


def test_scores_of_runs_average_to_delta_m() -> None:
    generator = np.random.default_rng(0)
    values, baseline = generator.uniform(1, 2, (3, 6, 2)), generator.uniform(1, 2, (6, 2))
    scores = Sample(values, baseline, np.array([True, False]), np.array([0, 1])).scores()
    higher = 100 * (baseline[:, 0].mean() - values[..., 0].mean(axis=1)) / baseline[:, 0].mean()
    lower = 100 * (values[..., 1].mean(axis=1) - baseline[:, 1].mean()) / baseline[:, 1].mean()
    assert scores.shape == (3, 6)
    np.testing.assert_allclose(scores.mean(axis=1), (higher + lower) / 2)
    assert scores[0, 0] == pytest.approx(
        50 * (1 - values[0, 0, 0] / baseline[:, 0].mean()) + 50 * (values[0, 0, 1] / baseline[:, 1].mean() - 1)
    )


def test_a_run_that_is_missing_has_no_score() -> None:
    values = np.ones((2, 3, 1))
    values[1, 2] = NAN
    scores = Sample(values, np.ones((3, 1)), np.array([False]), np.array([0])).scores()
    assert np.isnan(scores).tolist() == [[False, False, False], [False, False, True]]


def test_stacked_problems_are_padded_with_nan() -> None:
    stacked = stack([np.ones((2, 1)), np.full((2, 3), 2.0)])
    assert stacked.shape == (2, 2, 3)
    np.testing.assert_array_equal(stacked[0], [[1, NAN, NAN], [2, 2, 2]])
    assert stack([]).shape == (0, 0, 0)


def test_iqm_by_hand() -> None:
    runs = [[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 100.0]]]
    assert iqm(runs).value.tolist() == [4.5]  # 3, 4, 5, 6
    assert iqm([[[1.0, 2.0, 3.0, 4.0, 50.0]]]).value.tolist() == [3.0]  # floor(5 / 4) = 1 off at both ends


def test_iqm_is_that_of_rliable() -> None:
    np.testing.assert_allclose(iqm(FIXED).value, [0.45, -1.37, 2.14, -2.99, 4.33], atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5, 40, 1200])
@pytest.mark.parametrize("kind", ["drawn", "ties", "one run alone"])
def test_the_middle_of_a_draw_is_that_of_its_sorted_runs(size: int, kind: str) -> None:
    generator = np.random.default_rng(size)
    runs = generator.normal(size=(3, size)) * 10.0 ** generator.integers(-3, 3, size)
    runs = runs.round() if kind == "ties" else runs
    counts = generator.multinomial(size, np.full(size, 1 / size), size=20).astype(np.float64)
    if kind == "one run alone":  # no such draw is likely: what is near the quartiles has to be looked for everywhere
        counts[7] = 0.0
        counts[7, size // 2] = size
    cut = size // 4
    sorted_ = [[np.sort(np.repeat(row, draw.astype(int)))[cut : size - cut].mean() for draw in counts] for row in runs]
    np.testing.assert_allclose(robust._middles(runs, counts, cut), sorted_, rtol=1e-11, atol=1e-11)


def test_the_standard_error_of_iqm_is_rliables_for_small_samples() -> None:
    """rliable's bootstrap (20,000 draws) has these; ours times sqrt(6 / 5), as 6 seeds show 5/6 of the variance. Student's t undone."""
    rliable = np.array([0.9561, 1.2787, 1.8154, 1.7825, 1.2162])
    found = iqm(FIXED, draws=20_000)
    wide = iqm(FIXED, draws=20_000, confidence=0.5)
    for row, error in enumerate(rliable * math.sqrt(6 / 5)):
        reaches = [found.high[row] - found.value[row], wide.high[row] - wide.value[row]]
        ratio = reaches[0] / reaches[1]
        freedom = min(np.arange(5, 15.01, 0.01), key=lambda f: abs(scipy.stats.t.ppf(0.975, f) / scipy.stats.t.ppf(0.75, f) - ratio))
        assert reaches[0] / scipy.stats.t.ppf(0.975, freedom) == pytest.approx(error, rel=0.03)


def test_the_middle_half_may_be_without_a_failure_but_has_no_interval_then() -> None:
    found = iqm([[[1.0, 2.0, 3.0, INF]], [[1.0, 2.0, INF, INF]], [[1.0, 2.0, 3.0, 4.0]]])
    assert found.value.tolist() == [2.5, INF, 2.5]
    assert np.isnan(found.low).tolist() == [True, True, False]


def test_probability_of_improvement_by_hand() -> None:
    scores = [[[1.0, 2.0], [1.0, 1.0]], [[1.0, 3.0], [0.0, 2.0]]]
    found = probability_of_improvement(scores, 1)  # problem 0: (0.5 + 1 + 0 + 1) / 4; problem 1: (0 + 1 + 0 + 1) / 4
    np.testing.assert_allclose(found.value, [(0.625 + 0.5) / 2, 0.5])


def test_probability_of_improvement_is_that_of_rliable_and_of_mann_and_whitney() -> None:
    found = probability_of_improvement(FIXED, 0).value
    np.testing.assert_allclose(found, [0.5, 0.5185185185185185, 0.3194444444444444, 0.5555555555555556, 0.24074074074074073])
    whitney = [scipy.stats.mannwhitneyu(FIXED[0, problem], FIXED[4, problem]).statistic / 36 for problem in range(3)]
    assert found[4] == pytest.approx(np.mean(whitney))


def test_a_method_improves_on_itself_with_probability_one_half_and_without_noise() -> None:
    found = probability_of_improvement(np.concatenate([FIXED, FIXED[:1]]), 0)
    assert [found.low[5], found.value[5], found.high[5]] == [0.5, 0.5, 0.5]


def test_runs_that_are_all_better_leave_room_for_luck() -> None:
    """Clopper and Pearson for 6 of 6 and 20 of 20, two-sided."""
    better = np.stack([FIXED[:, :1][0] - 100, FIXED[:, :1][0]])
    found = probability_of_improvement(better, 1)
    assert found.value[0] == found.high[0] == 1.0
    assert found.low[0] == pytest.approx(0.025 ** (1 / 6))
    exact = scipy.stats.binomtest(20, 20).proportion_ci(method="exact").low
    twenty = np.arange(20.0).reshape(1, 2, 10)
    assert probability_of_improvement(np.concatenate([twenty - 50, twenty]), 1).low[0] == pytest.approx(exact)
    assert probability_of_improvement(np.concatenate([twenty + 50, twenty]), 1).high[0] == pytest.approx(1 - exact)


def test_a_failure_loses_and_ties_with_another() -> None:
    found = probability_of_improvement([[[INF, INF]], [[1.0, INF]]], 1)
    assert found.value[0] == pytest.approx(0.25)


def test_a_profile_by_hand() -> None:
    """Problems weigh the same: 1 of 2 and 3 of 4 runs are at most 0."""
    scores = stack([np.array([[-1.0, 1.0]]), np.array([[-1.0, 0.0, INF, -5.0]])])
    found = performance_profile(scores, [-10.0, 0.0, 1e9])
    np.testing.assert_allclose(found.share, [[0.0, (0.5 + 0.75) / 2, (1 + 0.75) / 2]])
    assert found.thresholds.tolist() == [-10.0, 0.0, 1e9]


def test_a_profile_and_its_band_are_those_of_rliable() -> None:
    found = performance_profile(FIXED, [-12.0, -5.0, 0.0, 5.0, 12.0], draws=20_000)
    share = np.array([[4, 6, 8, 11, 17], [1, 7, 11, 14, 17], [1, 4, 10, 10, 15], [3, 8, 10, 13, 15], [2, 4, 7, 9, 12]]) / 18
    low = np.array([[2, 6, 6, 8, 15], [0, 4, 8, 11, 15], [0, 1, 7, 7, 13], [1, 6, 7, 12, 13], [0, 2, 4, 7, 12]]) / 18
    high = np.array([[6, 6, 10, 14, 18], [3, 10, 14, 17, 18], [3, 7, 13, 13, 17], [5, 10, 13, 15, 17], [4, 6, 10, 11, 12]]) / 18
    np.testing.assert_allclose(found.share, share)
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)


def test_friedman_by_hand() -> None:
    """Four blocks in which three methods have the ranks 1 2 3, 1 2 3, 1 3 2 and 2 1 3: chi² = 12 / (4 * 3 * 4) * (25 + 64 + 121) - 48."""
    found = friedman([[1.0, 1.0, 1.0, 2.0], [2.0, 2.0, 3.0, 1.0], [3.0, 3.0, 2.0, 3.0]])
    assert found.mean_ranks.tolist() == [1.25, 2.0, 2.75]
    assert found.statistic == pytest.approx(12 / 48 * (25 + 64 + 121) - 48)
    assert found.critical_difference == pytest.approx(2.343 * math.sqrt(3 * 4 / 24), rel=1e-3)  # q of Demšar 2006, table 5a


def test_friedman_is_that_of_scipy_ties_included() -> None:
    blocks = np.round(FIXED.reshape(5, -1))
    theirs = scipy.stats.friedmanchisquare(*blocks)
    found = friedman(blocks)
    assert (found.statistic, found.p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))


def test_friedman_and_critical_difference_are_those_of_autorank() -> None:
    """autorank's studentized range is of a table with three decimals."""
    found = friedman(FIXED.reshape(5, -1))
    np.testing.assert_allclose(found.mean_ranks, [2.5, 3.0, 3.2777777777777777, 2.388888888888889, 3.8333333333333335])
    assert found.p == pytest.approx(0.03968563914502668)
    assert found.critical_difference == pytest.approx(1.4376509470939354, rel=1e-4)


def test_the_critical_difference_separates_where_scikit_posthocs_does() -> None:
    """posthoc_nemenyi_friedman gives 0.0841005 for the first and last method: 1.33333 is the critical difference at that level."""
    found = friedman(FIXED.reshape(5, -1), alpha=0.08410077)
    assert found.critical_difference == pytest.approx(found.mean_ranks[4] - found.mean_ranks[0], rel=1e-6)


@pytest.mark.parametrize("groups", [2, 3, 10, 55])
def test_the_studentized_range_is_scipys(groups: int) -> None:
    for probability in (0.5, 0.95, 0.999):
        assert studentized_range(probability, groups) == pytest.approx(scipy.stats.studentized_range.ppf(probability, groups, np.inf))


def test_a_failure_ranks_last_and_a_gap_is_not_ranked() -> None:
    found = friedman([[1.0, INF, 1.0], [2.0, INF, 2.0], [3.0, 1.0, 3.0], [0.0, NAN, 0.0]])
    np.testing.assert_array_equal(found.mean_ranks, [(1 + 2.5 + 1) / 3, (2 + 2.5 + 2) / 3, (3 + 1 + 3) / 3, NAN])
    assert found.critical_difference == friedman(np.ones((3, 3))).critical_difference


def test_methods_that_tie_throughout_do_not_differ() -> None:
    found = friedman(np.ones((3, 4)))
    assert (found.statistic, found.p) == (0.0, 1.0)


def test_one_block_or_one_method_is_no_test() -> None:
    for blocks in ([[1.0], [2.0]], [[1.0, 2.0]], [[NAN, NAN], [1.0, 2.0]], np.empty((0, 0))):
        found = friedman(blocks)
        assert math.isnan(found.p)
        assert math.isnan(found.critical_difference)


def test_one_seed_gives_no_interval() -> None:
    one = stack([FIXED[:, 0, :1], FIXED[:, 1]])
    for found in (iqm(one), probability_of_improvement(one, 0), performance_profile(one, [0.0])):
        assert np.isnan(found.low).all()
        assert np.isnan(found.high).all()
    assert np.isfinite(iqm(one).value).all()


def test_a_method_that_lacks_a_problem_has_no_number_and_changes_none() -> None:
    lacking = np.concatenate([FIXED, FIXED[:1]])
    lacking[5, 1] = NAN
    summaries = (
        iqm(lacking).value,
        probability_of_improvement(lacking, 0).value,
        performance_profile(lacking, [0.0]).share[:, 0],
    )
    without = iqm(FIXED).value, probability_of_improvement(FIXED, 0).value, performance_profile(FIXED, [0.0]).share[:, 0]
    for found, expected in zip(summaries, without, strict=True):
        assert math.isnan(found[5])
        np.testing.assert_array_equal(found[:5], expected)
    assert np.isnan(probability_of_improvement(lacking, 5).value).all()


def test_padding_is_not_a_gap() -> None:
    padded = np.concatenate([FIXED, np.full((5, 3, 2), NAN)], axis=2)
    np.testing.assert_array_equal(iqm(padded).value, iqm(FIXED).value)
    np.testing.assert_array_equal(iqm(padded).low, iqm(FIXED).low)
    np.testing.assert_array_equal(probability_of_improvement(padded, 2).high, probability_of_improvement(FIXED, 2).high)
    np.testing.assert_array_equal(performance_profile(padded, [1.0]).high, performance_profile(FIXED, [1.0]).high)


def test_draws_repeat_and_leave_numpy_alone() -> None:
    np.random.seed(7)  # noqa: NPY002 - the global generator is what is under test
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    for summary in (iqm, lambda scores, **given: probability_of_improvement(scores, 0, **given)):
        first, again, other = (summary(FIXED, draws=100, seed=seed).low[3] for seed in (1, 1, 2))
        assert first == again != other
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores of shape \[5, 3\]: expected \[methods, problems, seeds\]"):
        iqm(FIXED[..., 0])
    with pytest.raises(ValueError, match=r"expected \[methods, blocks\]"):
        friedman(FIXED)
