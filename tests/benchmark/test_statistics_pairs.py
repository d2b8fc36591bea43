"""Paired tests, their corrections, and the groups that come of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.statistics import Sample, against, hedges_g, holm, letters, paired_bootstrap, pooled, separations, wilcoxon

NAN, INF = math.nan, math.inf


def scores(seed: int = 0, methods: int = 4, problems: int = 3, seeds: int = 10) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((methods, problems, seeds)) + np.arange(methods)[:, None, None] / 2


def test_wilcoxon_by_hand() -> None:
    """Ranks 1, 2, 3, of which 1 is negative: W+ = 5, and of 8 signs those with W+ >= 5 are two."""
    assert wilcoxon([-1.0, 2.0, 3.0]) == 0.5
    assert wilcoxon([1.0] * 5) == 2 / 32  # ties: one of 32 signs at either end
    assert wilcoxon([0.0, 0.0, 0.0]) == 1.0
    assert math.isnan(wilcoxon([5.0]))
    assert math.isnan(wilcoxon([5.0, NAN]))


@pytest.mark.parametrize("n", [2, 5, 10, 30])
def test_wilcoxon_is_scipys_exact_one(n: int) -> None:
    for seed in range(20):
        differences = np.random.default_rng(seed).standard_normal(n) + 0.5
        assert wilcoxon(differences) == pytest.approx(scipy.stats.wilcoxon(differences, method="exact").pvalue)


def test_wilcoxon_with_ties_and_zeros_is_scipys_over_all_signs() -> None:
    for seed in range(10):
        differences = np.random.default_rng(seed).integers(-2, 5, 10).astype(float)
        kept = differences[differences != 0]
        method = scipy.stats.PermutationMethod(n_resamples=10**9)
        assert wilcoxon(differences) == pytest.approx(scipy.stats.wilcoxon(kept, method=method).pvalue)


def test_holm_by_hand() -> None:
    """0.01 times 4; 0.02 times 3; 0.03 times 2, the same; 0.9 once."""
    np.testing.assert_allclose(holm([0.03, 0.01, NAN, 0.9, 0.02]), [0.06, 0.04, NAN, 0.9, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])
    assert holm([]).tolist() == []
    assert holm([[NAN]]).shape == (1, 1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_his_procedure_rejects(p: list[float], alpha: float) -> None:
    adjusted = holm(p)
    order = np.argsort(p, kind="stable")
    going = True
    for place, index in enumerate(order):
        going = going and p[index] * (len(p) - place) <= alpha
        assert (adjusted[index] <= alpha) == going


def test_wins_by_hand() -> None:
    found = against([[[1.0, 2.0], [3.0, INF]], [[2.0, 2.0], [1.0, INF]], [[3.0, NAN], [4.0, 1.0]]], 0)
    assert found.wins.tolist() == [0, 1, 1]
    assert found.ties.tolist() == [4, 2, 0]
    assert found.losses.tolist() == [0, 1, 2]
    assert math.isnan(found.p[2])  # it lacks a run


def test_the_test_against_a_method_pairs_the_means_of_seeds() -> None:
    array = scores()
    found = against(array, 0)
    means = array.mean(axis=1)
    expected = [scipy.stats.wilcoxon(means[row] - means[0], method="exact").pvalue for row in (1, 2, 3)]
    np.testing.assert_allclose(found.p[1:], expected)
    np.testing.assert_allclose(found.adjusted[1:], holm(expected))
    assert math.isnan(found.p[0])
    assert math.isnan(found.adjusted[0])
    assert found.ties[0] == 30


def test_seeds_that_not_every_problem_has_are_wins_and_not_in_the_test() -> None:
    array = scores()
    padded = np.concatenate([array, np.full((4, 3, 2), NAN)], axis=2)
    padded[:, 1, 10:] = [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    found, plain = against(padded, 0), against(array, 0)
    np.testing.assert_array_equal(found.p, plain.p)
    np.testing.assert_array_equal(found.losses[1:], plain.losses[1:] + 2)


def test_five_seeds_cannot_be_significant_and_one_has_no_p() -> None:
    array = scores(seeds=5)
    array[1] -= 100
    assert against(array, 0).p[1] == 0.0625
    assert np.isnan(against(array[..., :1], 0).p).all()


def test_a_failure_counts_against_a_method() -> None:
    array = scores(methods=2)
    array[1] = array[0] - 1.0
    assert against(array, 0).p[1] == 2 / 2**10
    array[1, 0, :9] = INF
    found = against(array, 0)
    assert found.losses[1] == 9
    assert found.p[1] < 0.01  # nine seeds out of ten are worse now
    array[0, 0, :] = INF
    array[1, 0, :] = INF
    assert against(array, 0).p[1] == 1.0


def test_hedges_g_by_hand() -> None:
    """Mean 2, sd 1 over three pairs: J(2) = gamma(1) / (1 * gamma(1 / 2)) = 1 / sqrt(pi)."""
    assert hedges_g([1.0, 2.0, 3.0]) == pytest.approx(2 / math.sqrt(math.pi))
    many = np.random.default_rng(0).standard_normal(50) + 1
    assert hedges_g(many) == pytest.approx(many.mean() / many.std(ddof=1) * (1 - 3 / (4 * 49 - 1)), rel=1e-4)  # Hedges' approximation
    assert hedges_g([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).tolist()[0] == 0.0
    assert np.isnan(hedges_g([[1.0, 1.0, 1.0]])).all()
    assert np.isnan(hedges_g([[1.0, 2.0]])).all()


def test_separations_are_where_the_intervals_of_differences_leave_out_zero() -> None:
    generator = np.random.default_rng(3)
    samples = []
    for seeds in (4, 7):
        values = 1 + 0.05 * generator.standard_normal((6, seeds, 2)) + 0.02 * np.arange(6)[:, None, None]
        values[4, 1] = NAN
        values[5] = values[0]
        samples.append(Sample(values, 1 + 0.05 * generator.standard_normal((seeds, 2)), np.zeros(2, dtype=np.bool_), np.arange(2)))
    boot = paired_bootstrap(samples).delta_m
    p = separations(boot)
    np.testing.assert_array_equal(p, p.T)
    verdicts = set()
    for method in range(6):
        gaps = pooled(boot.minus(method))
        for other in range(6):
            if 4 in (method, other) and method != other:
                assert math.isnan(p[method, other])
            elif method != other:
                apart = not gaps.low[other] <= 0.0 <= gaps.high[other]
                assert (p[method, other] < 0.05) == apart
                verdicts.add(apart)
    assert verdicts == {True, False}
    assert p[0, 5] == 1.0


def test_separations_of_one_seed_are_unknown() -> None:
    one = Sample(np.ones((3, 1, 1)), np.ones((1, 1)), np.zeros(1, dtype=np.bool_), np.arange(1))
    p = separations(paired_bootstrap([one]).delta_m)
    assert np.isnan(p[np.triu_indices(3, 1)]).all()
    assert letters(p, [0, 1, 2]) == ["", "", ""]


def test_letters_by_hand() -> None:
    p = np.full((4, 4), 1e-9)
    p[0, 1] = p[1, 0] = p[1, 2] = p[2, 1] = 0.5
    assert letters(p, [0, 1, 2, 3]) == ["a", "ab", "b", "c"]
    assert letters(p, [3, 2, 1, 0]) == ["c", "bc", "b", "a"]
    assert letters(np.ones((2, 2)), [1, 0]) == ["a", "a"]
    assert letters(np.ones((1, 1)), [0]) == ["a"]
    assert letters(np.empty((0, 0)), []) == []


def test_letters_are_corrected_for_the_number_of_pairs() -> None:
    p = np.full((5, 5), 0.03)
    assert letters(p[:2, :2], [0, 1]) == ["a", "b"]
    assert letters(p, range(5)) == ["a"] * 5  # 10 pairs


def test_a_row_of_which_nothing_is_known_has_no_letter_and_counts_for_no_pair() -> None:
    p = np.full((3, 3), 0.03)
    p[2, :2] = p[:2, 2] = NAN
    assert letters(p, [0, 1, 2]) == ["a", "b", ""]


def test_there_are_letters_for_any_number_of_groups() -> None:
    found = letters(np.zeros((60, 60)), range(60))
    assert (found[25], found[26], found[51], found[52], found[59]) == ("z", "A", "Z", "a2", "h2")


@st.composite
def judged(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    """p of all pairs of a few methods, some alike, and an order of the methods."""
    count = draw(st.integers(1, 9))
    p = np.ones((count, count))
    for row in range(count):
        for column in range(row):
            p[row, column] = p[column, row] = draw(st.sampled_from([1e-9, 0.9]))
    return p, draw(st.permutations(range(count)))


@settings(max_examples=300, deadline=None)
@given(judged())
def test_two_rows_share_a_letter_exactly_where_they_are_not_told_apart(given_: tuple[np.ndarray, list[int]]) -> None:
    p, order = given_
    found = letters(p, order)
    assert all(found)
    assert "a" in found[order[0]]
    for row in range(len(p)):
        for other in range(row):
            assert bool(set(found[row]) & set(found[other])) == (p[row, other] > 0.05)
    used = sorted(set("".join(found)))
    assert used == [chr(ord("a") + place) for place in range(len(used))]
    assert next(row for row in order if "a" in found[row]) == order[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=2, max_size=12))
def test_methods_on_a_line_have_letters_without_gaps(places: list[float]) -> None:
    """Where rows are told apart by distance alone, a letter spans neighbours, and the rows like the best are those with "a"."""
    values = np.sort(np.array(places))
    p = np.where(np.abs(values[:, None] - values) > 3, 1e-9, 1.0)
    found = letters(p, range(len(values)))
    assert ["a" in each for each in found] == (p[0] > 0.05).tolist()
    for letter in set("".join(found)):
        holders = [index for index, each in enumerate(found) if letter in each]
        assert holders == list(range(holders[0], holders[-1] + 1))
