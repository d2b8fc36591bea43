"""The min-norm point, against independent solvers and against its own certificate."""

import itertools
import time

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from methods.solvers import Array, frank_wolfe, min_norm
from tests.inputs import INPUTS

KINDS = [
    "plain",
    "rank deficient",
    "duplicated",
    "log-normal",
    "deficient and log-normal",
    "duplicated and log-normal",
    "agreeing",
    "opposite",
]


def instance(kind: str, number: int, largest: int = 40) -> Array:
    """Rows ``[T, P]``; T is 2..5 in every other instance."""
    random = np.random.default_rng([KINDS.index(kind), number])
    tasks = int(random.integers(2, largest + 1 if number % 2 else 6))
    columns = int(random.integers(1, 60))
    rows = random.standard_normal((tasks, columns))
    if "deficient" in kind:
        rank = max(1, tasks // 2)
        rows = random.standard_normal((tasks, rank)) @ random.standard_normal((rank, columns))
    if "log-normal" in kind:
        rows = rows * 10 ** random.uniform(-6, 6, (tasks, 1))
    if "duplicated" in kind:
        rows = rows[random.integers(0, max(1, tasks // 2), tasks)]
    if kind == "agreeing":
        rows = np.abs(rows)
    if kind == "opposite":
        rows[-1] = -rows[0] * 10 ** random.uniform(-3, 3)
    return rows


def least_by_enumeration(gramian: Array) -> float:
    """min wᵀGw over the simplex: the best of the affine minima of all supports that lie on the simplex."""
    size = len(gramian)
    best = float(gramian.diagonal().min())
    for count in range(2, size + 1):
        for support in itertools.combinations(range(size), count):
            face = gramian[np.ix_(support, support)]
            system = np.block([[face, np.ones((count, 1))], [np.ones((1, count)), np.zeros((1, 1))]])
            weights = np.linalg.lstsq(system, np.eye(count + 1)[-1], rcond=None)[0][:-1]
            if (weights >= 0).all() and weights.sum() > 0.5:
                weights = weights / weights.sum()
                best = min(best, float(weights @ face @ weights))
    return best


@pytest.mark.parametrize("kind", KINDS)
def test_the_duality_gap_is_closed(kind: str) -> None:
    for number in range(300):
        rows = instance(kind, number)
        found = min_norm(rows @ rows.T)
        assert found.gap <= 1e-9, (kind, number)
        assert (found.weights >= 0).all()
        assert abs(found.weights.sum() - 1) <= 1e-12


@pytest.mark.parametrize("kind", ["plain", "rank deficient", "duplicated", "agreeing", "opposite"])
def test_it_is_the_minimum_over_all_supports(kind: str) -> None:
    for number in range(0, 60, 2):
        rows = instance(kind, number)
        gramian = rows @ rows.T
        weights = min_norm(gramian).weights
        assert weights @ gramian @ weights <= least_by_enumeration(gramian) + 1e-10 * gramian.diagonal().mean()


@pytest.mark.parametrize("kind", ["plain", "rank deficient", "duplicated", "agreeing"])
def test_it_is_the_minimum_that_nnls_finds(kind: str) -> None:
    for number in range(1, 40, 2):
        rows = instance(kind, number)
        # argmin ‖Jᵀw‖² + (1 - Σw)² over w >= 0 is the min-norm point up to its length.
        system = np.vstack([rows.T, np.ones(len(rows))])
        solution = nnls(system, np.eye(len(system))[-1])[0]
        expected = solution / solution.sum() @ rows
        actual = min_norm(rows @ rows.T).weights @ rows
        assert np.linalg.norm(actual - expected) <= 1e-6 * np.linalg.norm(rows, axis=1).min()


@pytest.mark.parametrize("jacobian", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("scale", [1e-150, 1e-6, 1.0, 1e6, 1e150])
def test_named_inputs_at_any_scale(jacobian: torch.Tensor, scale: float) -> None:
    rows = jacobian.numpy()
    gramian = rows @ rows.T
    reference, found = min_norm(gramian), min_norm(gramian * scale)
    assert found.gap <= 1e-9
    assert np.linalg.norm((found.weights - reference.weights) @ rows) <= 1e-9 * np.linalg.norm(rows, axis=1).min()


def test_a_gramian_in_float32_rounding_gives_finite_weights() -> None:
    for number in range(200):
        rows = instance("opposite", number).astype(np.float32)
        found = min_norm((rows @ rows.T).astype(np.float64))
        assert np.isfinite(found.weights).all()
        assert abs(found.weights.sum() - 1) <= 1e-12


def test_frank_wolfe_closes_the_gap_with_more_iterations() -> None:
    for number in range(20):
        rows = instance("plain", number, 10)
        gramian = rows @ rows.T
        norms = []
        for iterations in (1, 10, 100, 1000):
            found = frank_wolfe(gramian, iterations, 0.0)
            norms.append(found.weights @ gramian @ found.weights)
            assert abs(found.weights.sum() - 1) <= 1e-9
        exact = min_norm(gramian).weights
        least = exact @ gramian @ exact
        assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(norms))  # exact line search never climbs
        assert norms[-1] >= least * (1 - 1e-9) - 1e-12 * gramian.diagonal().mean()
        last = frank_wolfe(gramian, 1000, 0.0)
        assert norms[-1] - least <= last.gap * norms[-1] + 1e-9 * gramian.diagonal().mean()  # the certificate holds


def test_frank_wolfe_stops_at_its_tolerance() -> None:
    rows = instance("agreeing", 7, 10)
    assert frank_wolfe(rows @ rows.T, 10**6, 1e-3).gap <= 1e-3


def test_both_solvers_end_in_time_for_twenty_tasks() -> None:
    """The loop of public codes ran for over a second in half of such cases."""
    start = time.perf_counter()
    for number in range(20):
        rows = np.random.default_rng(number).standard_normal((20, 30)) * 10 ** np.random.default_rng(number).uniform(-3, 3, (20, 1))
        min_norm(rows @ rows.T)
        frank_wolfe(rows @ rows.T, 250, 1e-4)
    assert time.perf_counter() - start < 5.0
