"""Every T x T solver proves its answer, on thousands of drawn problems: low rank, duplicated, opposite, log-normal, at all scales."""

from collections.abc import Callable

import numpy as np
import pytest

from methods.solvers import Array, Cosines, balance, cone_projections, conflict_averse, fair, frank_wolfe, min_norm, nonnegative
from tests.methods.test_solvers import KINDS, instance

LIMIT = 1e-9


def rows_of(number: int, largest: int) -> Array:
    """Rows ``[T, P]``, T = 2..largest, of every kind in turn, at scales 1e-6 to 1e6; every seventh has a zero row."""
    rows = instance(KINDS[number % len(KINDS)], number // len(KINDS), largest) * 10.0 ** (number % 13 - 6)
    if number % 7 == 0:
        rows[len(rows) // 2] = 0
    return rows


def present(rows: Array) -> Array:
    """Without zero rows, which the family takes out."""
    return rows[rows.any(axis=1)]


def of_min_norm(rows: Array) -> float:
    found = min_norm(rows @ rows.T)
    assert (found.weights >= 0).all()
    assert abs(found.weights.sum() - 1) <= 1e-12
    return found.gap


def of_cagrad(rows: Array) -> float:
    mean = np.full(len(present(rows)), 1 / len(rows))
    gaps = []
    for c in (0.4, 1.0):
        found = conflict_averse(present(rows) @ present(rows).T, mean, c)
        assert np.isfinite(found.weights).all()
        gaps.append(found.gap)
    return max(gaps)


def of_fair(alpha: float) -> Callable[[Array], float]:
    def residual(rows: Array) -> float:
        found = fair(present(rows) @ present(rows).T, alpha)
        assert found.stationary == (not found.weights.any())
        assert (found.weights >= 0).all()
        assert np.isfinite(found.weights).all()
        return found.residual

    return residual


def of_projections(every: bool) -> Callable[[Array], float]:
    def residual(rows: Array) -> float:
        rows = present(rows)
        tasks, norms = len(rows), np.linalg.norm(rows, axis=1)
        points = np.eye(tasks) if every else np.full((1, tasks), 1 / tasks)
        found = cone_projections(rows @ rows.T, points)
        for point, weights in zip(points, found.weights, strict=True):
            update = weights @ rows
            size = (point * norms).max()
            assert (rows @ update >= -LIMIT * norms * size - 1e-13 * norms * (weights @ norms)).all()  # no conflict
            assert not weights.any() or (weights >= point * (1 - 1e-12)).all()
        return found.residual

    return residual


def of_constraints(rows: Array) -> float:
    """PCD's problem, where its constraints do not contradict each other."""
    rows = present(rows)
    if len(rows) < 2:
        return 0.0
    norms = np.linalg.norm(rows, axis=1)
    gramian = rows @ rows.T
    others = Cosines.of(gramian[1:, 1:])
    if balance(others) is not None:
        return 0.0
    pulls = gramian[1:, 0] / norms[0] / others.norms
    found = nonnegative(others, pulls[None] - 0.02, others.noise * (np.abs(pulls[None]) + 0.02))
    assert (found.solutions >= 0).all()
    return found.residual


SOLVERS: dict[str, tuple[Callable[[Array], float], int]] = {
    "min_norm": (of_min_norm, 40),
    "cagrad": (of_cagrad, 40),
    "nash_mtl": (of_fair(1.0), 40),
    "fairgrad 2": (of_fair(2.0), 40),
    "fairgrad 0.5": (of_fair(0.5), 40),
    "fairgrad 0.1": (of_fair(0.1), 40),
    "fairgrad 0.25": (of_fair(0.25), 40),
    "fairgrad 5": (of_fair(5.0), 40),
    "fairgrad 10": (of_fair(10.0), 40),
    "upgrad": (of_projections(True), 40),
    "dualproj": (of_projections(False), 40),
    "pcd": (of_constraints, 40),
}


def worst(solver: str, numbers: range, largest: int) -> float:
    residual = SOLVERS[solver][0]
    return max(residual(rows_of(number, largest)) for number in numbers)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_thousand_certificates(solver: str) -> None:
    assert worst(solver, range(1000), 8 if solver == "upgrad" else 24) <= LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_ten_thousand_certificates(solver: str) -> None:
    assert worst(solver, range(10_000), SOLVERS[solver][1]) <= LIMIT


def test_cagrad_is_the_best_of_many_directions() -> None:
    """No direction on the ball around the mean gradient gives the worst task more."""
    for number in range(40):
        random = np.random.default_rng(number)
        rows = random.standard_normal((random.integers(2, 6), 4))
        mean = np.full(len(rows), 1 / len(rows))
        centre = mean @ rows
        update = conflict_averse(rows @ rows.T, mean, 0.5).weights @ rows
        others = random.standard_normal((2000, 4))
        others = centre + 0.5 * np.linalg.norm(centre) * others / np.linalg.norm(others, axis=1)[:, None]
        assert (rows @ others.T).min(axis=0).max() <= (rows @ update).min() + 1e-12


def test_projections_are_the_nearest_points_that_do_not_conflict() -> None:
    """By the Moreau decomposition: what is taken off lies in the opposite of the cone's dual, orthogonal to what is left."""
    for number in range(100):
        random = np.random.default_rng(number)
        rows = random.standard_normal((random.integers(2, 8), 9))
        points = np.abs(random.standard_normal((3, len(rows))))
        for point, weights in zip(points, cone_projections(rows @ rows.T, points).weights, strict=True):
            assert (weights - point >= -1e-12).all()
            assert abs((weights - point) @ rows @ (weights @ rows)) <= 1e-9
            assert (rows @ (weights @ rows) >= -1e-9).all()


def test_the_mean_projected_is_the_limit_of_fairness() -> None:
    """FairGrad goes from DualProj (small α) to MGDA (large α)."""
    for number in range(10):
        rows = np.random.default_rng(number).standard_normal((4, 12))
        gramian = rows @ rows.T

        def unit(weights: Array, rows: Array = rows) -> Array:
            return weights @ rows / np.linalg.norm(weights @ rows)

        low, high = fair(gramian, 0.1).weights, fair(gramian, 10.0).weights
        assert unit(low) @ unit(cone_projections(gramian, np.full((1, 4), 0.25)).weights[0]) > 0.98
        assert unit(high) @ unit(min_norm(gramian).weights) > 0.98


def test_the_exact_point_is_below_what_iterations_reach() -> None:
    for number in range(50):
        rows = rows_of(number, 12)
        gramian = rows @ rows.T
        exact, near = min_norm(gramian).weights, frank_wolfe(gramian, 200, 1e-9).weights
        assert exact @ gramian @ exact <= near @ gramian @ near + 1e-12 * gramian.diagonal().mean()
