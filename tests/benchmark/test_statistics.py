from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import stdtrit

from benchmark.statistics import (
    Floats,
    Resamples,
    Sample,
    delta_m,
    delta_p,
    mean_intervals,
    mean_rank,
    paired_bootstrap,
    pooled,
    relative_change,
    relative_costs,
)


def sample(values: Floats, baseline: Floats) -> Sample:
    """Lower-is-better metrics, one a task."""
    metrics = values.shape[-1]
    return Sample(values, baseline, np.zeros(metrics, dtype=np.bool_), np.arange(metrics))


def noisy(seed: int, methods: int = 2, seeds: int = 5, noise: float = 0.05) -> Sample:
    generator = np.random.default_rng(seed)
    values = 1 + noise * generator.standard_normal((methods, seeds, 2))
    return sample(values, 1 + noise * generator.standard_normal((seeds, 2)))


def test_relative_change_by_hand() -> None:
    change = relative_change([[0.9, 12.0], [0.5, 8.0]], [0.8, 10.0], [True, False])
    np.testing.assert_allclose(change, [[-12.5, 20.0], [37.5, -20.0]])


def test_relative_change_of_negative_losses_keeps_lower_better() -> None:
    np.testing.assert_allclose(relative_change([-20.0, -10.0], [-16.0, -16.0], [False, False]), [-25.0, 37.5])


def test_relative_change_against_zero_is_no_number() -> None:
    change = relative_change([1.0, 2.0], [0.0, 1.0], [False, False])
    assert math.isnan(change[0])
    assert change[1] == 100.0


def test_delta_m_weighs_metrics_and_delta_p_weighs_tasks() -> None:
    change = [[10.0, 20.0, -60.0], [3.0, 3.0, 3.0]]  # two metrics of task 0, one of task 1
    np.testing.assert_allclose(delta_m(change), [-10.0, 3.0])
    np.testing.assert_allclose(delta_p(change, [0, 0, 1]), [22.5, -3.0])


def test_published_summaries_come_out_of_published_metrics() -> None:
    """NYUv2, SegNet-MTAN, Table 1 of the NTKMTL paper: the printed Δm, and LibMTL's Δp on the same cells."""
    higher = [True, True, False, False, False, False, True, True, True]
    tasks = [0, 0, 1, 1, 2, 2, 2, 2, 2]
    single = [38.30, 63.76, 0.6754, 0.2780, 25.01, 19.21, 30.14, 57.20, 69.15]
    nash = [40.13, 65.93, 0.5261, 0.2171, 25.26, 20.08, 28.40, 55.47, 68.15]
    mgda = [30.47, 59.90, 0.6070, 0.2555, 24.88, 19.45, 29.18, 56.88, 69.36]
    change = relative_change([nash, mgda], single, higher)
    np.testing.assert_allclose(delta_m(change), [-4.04, 1.38], atol=0.015)
    np.testing.assert_allclose(delta_p(change, tasks), [7.65, -1.66], atol=0.015)


def test_delta_p_is_minus_delta_m_where_tasks_have_as_many_metrics() -> None:
    change = np.random.default_rng(0).standard_normal((5, 4))
    np.testing.assert_allclose(delta_p(change, [0, 0, 1, 1]), -delta_m(change))


def test_mean_rank_averages_ties_and_puts_failures_last() -> None:
    values = [[1.0, 0.9], [1.0, 0.5], [2.0, math.nan], [math.nan, math.nan]]
    np.testing.assert_allclose(mean_rank(values, [False, True]), [(1.5 + 1) / 2, (1.5 + 2) / 2, (3 + 3.5) / 2, (4 + 3.5) / 2])


def test_relative_costs_by_hand() -> None:
    times = [[1.0, 4.0], [2.0, 2.0], [math.nan, math.nan], [0.1, 0.1]]
    costs = relative_costs(times, [True, True, True, False])
    np.testing.assert_allclose(costs[:2], [1.0, 1.0])  # twice as slow on one problem, twice as fast on the other
    assert math.isnan(costs[2])
    assert costs[3] < 1.0
    assert np.isnan(relative_costs([[math.nan]], [True])).all()


def test_the_estimate_is_the_change_of_the_means() -> None:
    values = np.array([[[1.0], [3.0]]])
    boot = paired_bootstrap([sample(values, np.array([[1.0], [1.5]]))], draws=10)
    np.testing.assert_allclose(boot.delta_m.estimate, [[60.0]])  # 2 against 1.25, not the mean of 0 % and 100 %


def test_problems_weigh_the_same_whatever_their_seeds() -> None:
    one = sample(np.full((1, 3, 1), 1.1), np.ones((3, 1)))
    two = sample(np.full((1, 7, 2), 1.3), np.ones((7, 2)))
    whole = pooled(paired_bootstrap([one, two], draws=50).delta_m)
    np.testing.assert_allclose([whole.value, whole.low, whole.high], 20.0)


def test_the_bootstrap_repeats_and_leaves_numpy_alone() -> None:
    np.random.seed(7)  # noqa: NPY002 - the global generator is what is under test
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    first = paired_bootstrap([noisy(0), noisy(1)], draws=100, seed=3)
    again = paired_bootstrap([noisy(0), noisy(1)], draws=100, seed=3)
    other = paired_bootstrap([noisy(0), noisy(1)], draws=100, seed=4)
    np.testing.assert_array_equal(first.delta_m.draws, again.delta_m.draws)
    assert not np.array_equal(first.delta_m.draws, other.delta_m.draws)
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002


def test_methods_and_baseline_share_their_seeds() -> None:
    """A method that is 10 % worse than the baseline with every seed has no noise in its change, however noisy both are."""
    baseline = np.array([[1.0], [5.0], [2.0]])
    boot = paired_bootstrap([sample((1.1 * baseline)[None], baseline)], draws=200)
    np.testing.assert_allclose(boot.delta_m.draws, 10.0)


def test_the_uncertainty_of_the_baseline_is_in_the_interval() -> None:
    values = np.ones((1, 4, 1))
    still = pooled(paired_bootstrap([sample(values, np.ones((4, 1)))]).delta_m)
    moving = pooled(paired_bootstrap([sample(values, np.array([[0.8], [1.2], [0.9], [1.1]]))]).delta_m)
    assert still.high[0] - still.low[0] == 0.0
    assert moving.high[0] - moving.low[0] > 10.0


def test_a_method_entered_twice_is_not_told_apart_from_itself() -> None:
    one = noisy(0, methods=1)
    twice = Sample(np.concatenate([one.values, one.values]), one.baseline, one.higher_is_better, one.task)
    gap = pooled(paired_bootstrap([twice]).delta_m.minus(0))
    assert [gap.low[1], gap.value[1], gap.high[1]] == [0.0, 0.0, 0.0]


def test_the_interval_of_a_mean_is_students() -> None:
    """With an exact baseline of 100 the change in percent is the mean itself, whose interval is known in closed form."""
    values = np.array([[101.0], [104.0], [103.0], [98.0]])
    drawn = pooled(paired_bootstrap([sample(values[None], np.full((4, 1), 100.0))], draws=200_000).delta_m)
    exact = stdtrit(3, 0.975) * values.std(ddof=1) / 2
    assert drawn.value[0] == pytest.approx(1.5)
    assert drawn.high[0] - 1.5 == pytest.approx(exact, rel=0.01)
    closed = mean_intervals(values.T)
    assert closed.high[0] - closed.value[0] == pytest.approx(exact)


def test_one_seed_has_no_interval() -> None:
    one = pooled(paired_bootstrap([noisy(0, seeds=1), noisy(1, seeds=5)], draws=50).delta_m)
    assert np.isfinite(one.value).all()
    assert np.isnan(one.low).all()
    assert np.isnan(mean_intervals([[1.0], [2.0]]).low).all()


def test_a_baseline_that_can_be_drawn_as_zero_gives_no_interval() -> None:
    interval = pooled(paired_bootstrap([sample(np.ones((1, 3, 1)), np.array([[0.0], [0.0], [1.0]]))]).delta_m)
    assert interval.value[0] == pytest.approx(200.0)
    assert math.isnan(interval.low[0])


def test_a_failed_method_is_nan_and_leaves_the_others_alone() -> None:
    whole = noisy(0, methods=2)
    broken = Sample(whole.values.copy(), whole.baseline, whole.higher_is_better, whole.task)
    broken.values[1, 2] = math.nan
    one, two = (pooled(paired_bootstrap([each]).delta_m) for each in (whole, broken))
    assert (one.low[0], one.high[0]) == (two.low[0], two.high[0])
    assert math.isnan(two.value[1])
    assert math.isnan(two.low[1])


def test_on_and_minus() -> None:
    scores = Resamples(np.array([[1.0, 2.0], [4.0, 8.0]]), np.arange(12.0).reshape(2, 2, 3), np.array([3, 5]))
    assert scores.on(1).estimate.tolist() == [[2.0], [8.0]]
    assert scores.on(1).seeds.tolist() == [5]
    assert scores.minus(0).estimate.tolist() == [[0.0, 0.0], [3.0, 6.0]]
    assert scores.minus(0).draws[1].tolist() == [[6.0] * 3, [6.0] * 3]


@pytest.mark.parametrize(("problems", "seeds"), [(1, 3), (1, 10), (3, 5)])
def test_coverage_is_near_what_is_promised(problems: int, seeds: int) -> None:
    """400 tables of normal noise, the true change being 0: 95 % give or take four standard errors."""
    hits = 0
    for table in range(400):
        interval = pooled(paired_bootstrap([noisy(table * 10 + p, 1, seeds) for p in range(problems)], draws=300).delta_m)
        hits += bool(interval.low[0] <= 0.0 <= interval.high[0])
    assert 0.905 <= hits / 400 <= 0.99


def test_importing_the_table_loads_neither_numpy_nor_torch() -> None:
    names = ("numpy", "scipy", "torch", "rich")
    code = f"import sys, benchmark.table, benchmark.views, benchmark.store; print([name for name in {names} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
