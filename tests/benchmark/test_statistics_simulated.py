"""Whether intervals and tests hold what they promise, in simulated studies whose truth is known.

A study has two metrics whose seeds vary by 5 %, of the methods and of the baseline. Bounds leave room for the Monte-Carlo error alone: the
count of a rate of 5 % among N studies is binomial.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from benchmark.statistics import (
    Resamples,
    Sample,
    against,
    detectable,
    iqm,
    letters,
    mean_intervals,
    paired_bootstrap,
    pooled,
    probability_of_improvement,
    separations,
    stack,
)


def study(generator: np.random.Generator, levels: tuple[float, ...], problems: int, seeds: int) -> list[Sample]:
    """Methods whose metrics are so many times the baseline's, in truth."""
    scale = np.array(levels)[:, None, None]
    return [
        Sample(
            scale * (1 + 0.05 * generator.standard_normal((len(levels), seeds, 2))),
            1 + 0.05 * generator.standard_normal((seeds, 2)),
            np.zeros(2, dtype=np.bool_),
            np.arange(2),
        )
        for _ in range(problems)
    ]


def covered(studies: int, problems: int, seeds: int, draws: int) -> tuple[float, float]:
    """Share of the intervals that hold the truth: of a method's Δm of 10 %, and of the difference of 5 points between two."""
    generator = np.random.default_rng(studies)
    hits = np.zeros(2)
    for number in range(studies):
        boot = paired_bootstrap(study(generator, (1.1, 1.05), problems, seeds), draws, number).delta_m
        one, two = pooled(boot), pooled(boot.minus(1))
        hits += one.low[0] <= 10.0 <= one.high[0], two.low[0] <= 5.0 <= two.high[0]
    return float(hits[0] / studies), float(hits[1] / studies)


def told_apart(studies: int, levels: tuple[float, ...], problems: int = 6, seeds: int = 10, draws: int = 500) -> dict[str, float]:
    """How often the first two methods are told apart: by the interval of their difference, by letters, and by the Wilcoxon test."""
    generator = np.random.default_rng(studies + 1)
    counts = {"interval": 0, "letters": 0, "wilcoxon": 0}
    for number in range(studies):
        samples = study(generator, levels, problems, seeds)
        boot = paired_bootstrap(samples, draws, number).delta_m
        gap = pooled(boot.minus(1))
        shown = letters(separations(boot), np.argsort(boot.estimate.mean(axis=1)).tolist())
        counts["interval"] += not gap.low[0] <= 0.0 <= gap.high[0]
        counts["letters"] += not set(shown[0]) & set(shown[1])
        counts["wilcoxon"] += bool(against(stack([sample.scores() for sample in samples]), 1).p[0] <= 0.05)
    return {name: count / studies for name, count in counts.items()}


TWINS = (1.0, 1.0, 1.02, 1.05, 1.05, 1.1, 1.2, 0.95)
"""A method under two names among others."""


def test_a_method_under_two_names_is_seldom_told_apart_from_itself() -> None:
    """200 studies, and a bound that one in a thousand such tests would exceed if each rate were just 5 %."""
    limit = binom.ppf(0.999, 200, 0.05) / 200
    found = told_apart(200, TWINS[:4])
    assert all(rate <= limit for rate in found.values()), found


def test_different_methods_are_told_apart() -> None:
    found = told_apart(50, (1.0, 1.1, 1.2, 1.3))
    assert found == {"interval": 1.0, "letters": 1.0, "wilcoxon": 1.0}


@pytest.mark.slow
def test_a_method_under_two_names_in_a_thousand_studies() -> None:
    """Letters, which are what a leaderboard shows, at most 5 %; the others, not corrected for other methods, 5 % but for chance."""
    limit = binom.ppf(0.99, 1000, 0.05) / 1000
    among_others, alone = told_apart(1000, TWINS, draws=1000), told_apart(1000, TWINS[:2], draws=1000)
    assert among_others["letters"] <= 0.05, among_others
    assert all(rate <= limit for found in (among_others, alone) for rate in found.values()), (among_others, alone)


@pytest.mark.parametrize(("problems", "seeds"), [(1, 10), (6, 5)])
def test_intervals_hold_the_truth(problems: int, seeds: int) -> None:
    """300 studies: 95 % give or take four standard errors."""
    for rate in covered(300, problems, seeds, 300):
        assert binom.ppf(3e-5, 300, 0.95) / 300 <= rate <= binom.ppf(1 - 3e-5, 300, 0.95) / 300


@pytest.mark.slow
@pytest.mark.parametrize(("problems", "seeds"), [(1, 5), (1, 10), (6, 5), (6, 10)])
def test_intervals_hold_the_truth_in_95_percent_give_or_take_one(problems: int, seeds: int) -> None:
    """10,000 studies, so that the standard error of the rate is 0.22 %."""
    rates = covered(10_000, problems, seeds, 1000)
    assert all(0.94 <= rate <= 0.96 for rate in rates), rates


def test_differences_that_can_be_found_are_found_four_times_out_of_five() -> None:
    """Runs of two methods whose difference has a standard deviation of 5, on three problems of 10 seeds; the truth is what a study of a
    known noise could find."""
    generator = np.random.default_rng(8)
    quiet = Resamples(np.zeros((1, 3)), np.sqrt(25 / 10 * 0.9) * generator.standard_normal((1, 3, 20_000)), np.array([10, 10, 10]))
    truth = float(detectable(quiet)[0])
    assert truth == pytest.approx(5 / np.sqrt(30) * (2.052 + 0.855), rel=0.02)  # Student's t with 27 degrees of freedom
    found = 0
    for _ in range(400):
        means = mean_intervals(truth + 5 * generator.standard_normal((1, 30)))
        found += bool(means.low[0] > 0.0)
    assert binom.ppf(3e-5, 400, 0.8) <= found <= binom.ppf(1 - 3e-5, 400, 0.8)


def test_intervals_of_robust_summaries_hold_the_truth() -> None:
    """Two methods of normal runs, 1 apart with a spread of 1 on four problems of one level: the IQM of the second is 1, and it is better
    with probability Φ(-1 / sqrt(2)) = 0.2398."""
    generator = np.random.default_rng(9)
    hits = np.zeros(2)
    for number in range(200):
        scores = generator.standard_normal((2, 4, 10)) + np.array([0.0, 1.0])[:, None, None]
        middle, improved = iqm(scores, 300, number), probability_of_improvement(scores, 0, 300, number)
        hits += middle.low[1] <= 1.0 <= middle.high[1], improved.low[1] <= 0.2398 <= improved.high[1]
    assert (hits >= binom.ppf(3e-5, 200, 0.95)).all(), hits
