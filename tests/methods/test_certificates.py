"""Every T x T solver proves its answer, on thousands of drawn problems: low rank, duplicated, opposite, log-normal, at all scales."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import nnls

from methods.solvers import (
    Array,
    Cosines,
    balance,
    cone,
    cone_projections,
    conflict_averse,
    fair,
    frank_wolfe,
    min_norm,
    nonnegative,
    orthant,
)
from tests.methods.test_solvers import KINDS, instance

LIMIT = 1e-9
Rows = NDArray[np.float64] | NDArray[np.float32]


def rows_of(number: int, largest: int) -> Array:
    """Rows ``[T, P]``, T = 2..largest, of every kind in turn, at scales 1e-6 to 1e6; every seventh has a zero row."""
    rows = instance(KINDS[number % len(KINDS)], number // len(KINDS), largest) * 10.0 ** (number % 13 - 6)
    if number % 7 == 0:
        rows[len(rows) // 2] = 0
    return rows


def pairs(half: Array) -> Array:
    return np.concatenate([half, -half])


FORTY: dict[str, Callable[[np.random.Generator], Array]] = {
    "rank 3": lambda random: random.standard_normal((40, 3)),
    "rank 20": lambda random: random.standard_normal((40, 20)),  # half of these are Pareto stationary, and the others nearly
    "rank 20, agreeing": lambda random: random.standard_normal((40, 20)) + 0.4,
    "rank 39": lambda random: random.standard_normal((40, 39)),
    "duplicated": lambda random: np.repeat(random.standard_normal((20, 60)), 2, axis=0),
    "opposite pairs": lambda random: pairs(random.standard_normal((20, 60))),
    "conflicting": lambda random: (rows := random.standard_normal((40, 80))) - 0.9 * rows.mean(axis=0),
    "nearly stationary": lambda random: (rows := random.standard_normal((40, 80))) - (1 - 1e-4) * rows.mean(axis=0),
}


def forty_of(number: int) -> Array:
    """Rows ``[40, P]`` of what is hard about Gramians of forty tasks; every other with lengths over twelve orders of magnitude."""
    random = np.random.default_rng(number)
    kinds = list(FORTY.values())
    rows = kinds[number % len(kinds)](random) * 10.0 ** (number % 13 - 6)
    return rows * 10 ** random.uniform(-6, 6, (40, 1)) if number // len(kinds) % 2 else rows


def present(rows: Rows) -> Rows:
    """Without zero rows, which the family takes out."""
    return rows[rows.any(axis=1)]


def gramian(rows: Rows) -> Array:
    """G in the precision of the rows, as the family hands it over."""
    product: Array = (rows @ rows.T).astype(np.float64)
    return (product + product.T) / 2


def eps(rows: Rows) -> float:
    return float(np.finfo(rows.dtype).eps)


def of_min_norm(rows: Rows) -> float:
    found = min_norm(gramian(rows), eps(rows))
    assert (found.weights >= 0).all()
    assert abs(found.weights.sum() - 1) <= 1e-12
    return found.gap


def of_cagrad(rows: Rows) -> float:
    mean = np.full(len(present(rows)), 1 / len(rows))
    gaps = []
    for c in (0.4, 1.0):
        found = conflict_averse(gramian(present(rows)), mean, c, eps(rows))
        assert np.isfinite(found.weights).all()
        gaps.append(found.gap)
    return max(gaps)


def of_fair(alpha: float) -> Callable[[Rows], float]:
    def residual(rows: Rows) -> float:
        found = fair(gramian(present(rows)), alpha, eps(rows))
        assert found.stationary == (not found.weights.any())
        assert (found.weights >= 0).all()
        assert np.isfinite(found.weights).all()
        return found.residual

    return residual


def of_projections(every: bool) -> Callable[[Rows], float]:
    def residual(rows: Rows) -> float:
        rows = present(rows)
        exact = rows.astype(np.float64)
        tasks, norms = len(rows), np.linalg.norm(exact, axis=1)
        points = np.eye(tasks) if every else np.full((1, tasks), 1 / tasks)
        found = cone_projections(gramian(rows), points, eps(rows))
        lost = 500 * eps(rows) * (1 if rows.dtype == np.float64 else len(rows))
        for point, weights in zip(points, found.weights, strict=True):
            update = weights @ exact
            size = (point * norms).max()
            assert (exact @ update >= -LIMIT * norms * size - lost * norms * (weights @ norms)).all()  # no conflict
            assert not weights.any() or (weights >= point * (1 - 1e-12)).all()
        return found.residual

    return residual


def of_constraints(rows: Rows) -> float:
    """PCD's problem, where its constraints do not contradict each other."""
    rows = present(rows)
    if len(rows) < 2:
        return 0.0
    product = gramian(rows)
    others = Cosines.of(product[1:, 1:], eps(rows))
    if balance(others) is not None:
        return 0.0
    pulls = (product[1:, 0] / np.sqrt(product[0, 0]) / others.norms)[None]
    found = nonnegative(others, pulls - 0.02, others.noise * (np.abs(pulls) + 0.02))
    assert (found.solutions >= 0).all()
    return found.residual


SOLVERS: dict[str, Callable[[Rows], float]] = {
    "min_norm": of_min_norm,
    "cagrad": of_cagrad,
    "nash_mtl": of_fair(1.0),
    "fairgrad 2": of_fair(2.0),
    "fairgrad 0.5": of_fair(0.5),
    "fairgrad 0.1": of_fair(0.1),
    "fairgrad 5": of_fair(5.0),
    "upgrad": of_projections(True),
    "dualproj": of_projections(False),
    "pcd": of_constraints,
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_thousand_certificates(solver: str) -> None:
    assert max(SOLVERS[solver](rows_of(number, 24)) for number in range(1000)) <= LIMIT


@pytest.mark.parametrize("solver", SOLVERS)
def test_certificates_of_forty_tasks(solver: str) -> None:
    assert max(SOLVERS[solver](forty_of(number)) for number in range(4 * len(FORTY))) <= LIMIT


@pytest.mark.parametrize("solver", SOLVERS)
def test_certificates_of_gradients_in_float32(solver: str) -> None:
    """Their Gramians have negative eigenvalues where the rank is low."""
    assert max(SOLVERS[solver](rows_of(number, 24).astype(np.float32)) for number in range(300)) <= LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_ten_thousand_certificates(solver: str) -> None:
    assert max(SOLVERS[solver](rows_of(number, 40)) for number in range(10_000)) <= LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_thousand_certificates_of_forty_tasks(solver: str) -> None:
    assert max(SOLVERS[solver](forty_of(number)) for number in range(2000)) <= LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_two_thousand_certificates_in_float32(solver: str) -> None:
    assert max(SOLVERS[solver](rows_of(number, 40).astype(np.float32)) for number in range(2000)) <= LIMIT


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", FORTY)
def test_forty_tasks_are_solved_in_time(solver: str, kind: str) -> None:
    """In about a millisecond or two; block pivoting alone cycled for a tenth of a second and more on low ranks."""
    taken = []
    for number in range(5):
        rows = FORTY[kind](np.random.default_rng(number))
        start = time.thread_time()
        SOLVERS[solver](rows)
        taken.append(time.thread_time() - start)
    assert np.median(taken) < 0.05


@pytest.mark.parametrize("bound", [0, 2, 6])
def test_where_few_are_bound_the_inverse_gives_the_same_step(bound: int) -> None:
    random = np.random.default_rng(bound)
    faces = orthant.Faces(Cosines.of(gramian(FORTY["conflicting"](random))).matrix)
    right, free, damping = random.standard_normal((30, 40)), np.ones((30, 40), dtype=bool), np.zeros(30)
    free[0] = False  # solved already
    for row in free[1:]:
        row[random.choice(40, bound, replace=False)] = False
    step = faces.solve(damping, right, free)
    assert "inverse" in vars(faces)
    np.testing.assert_allclose(step, orthant._solved(faces.matrix, damping, right, free), atol=1e-10)
    assert not step[~free].any()
    np.testing.assert_allclose((step @ faces.matrix)[free], right[free], atol=1e-10)


def test_an_inverse_that_rounding_spoils_is_not_used() -> None:
    """Pairs of gradients that are nearly parallel, one of each bound: what is to be solved is harmless, the inverse of the whole is not."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((40, 80))
    rows[1::2] = rows[::2] + 1e-3 * rows[1::2]
    faces = orthant.Faces(Cosines.of(gramian(rows)).matrix)
    free = np.ones((30, 40), dtype=bool)
    free[:, 1:10:2] = False
    right = random.standard_normal(free.shape)
    step = faces.solve(np.zeros(30), right, free)
    assert faces.inverse is None
    np.testing.assert_allclose(step, orthant._solved(faces.matrix, np.zeros(30), right, free), atol=0)


@pytest.mark.parametrize("kind", ["rank 3", "opposite pairs", "balanced"])
def test_a_cone_without_a_direction_is_seen_at_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cone, "balance", lambda cosines: pytest.fail("took the long way"))
    monkeypatch.setattr(cone, "nonnegative", lambda *given: pytest.fail("took the longest way"))
    for number in range(5):
        random = np.random.default_rng(number)
        rows = FORTY[kind](random) if kind in FORTY else (free := random.standard_normal((40, 60))) - free.mean(axis=0)
        assert not cone_projections(gramian(rows), np.eye(40)).weights.any()


def test_whether_a_cone_is_zero_is_asked_only_where_that_is_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    """For low ranks, and where the sum of the gradients is not in it."""
    asked: list[Cosines] = []
    monkeypatch.setattr(cone, "balance", asked.append)
    for rank, shift, expected in ((20, 0.0, 1), (20, 2.0, 0), (39, 0.0, 0)):
        rows = np.random.default_rng(0).standard_normal((40, rank)) + shift
        cone_projections(gramian(rows), np.eye(40))
        assert len(asked) == expected
        asked.clear()


def test_programs_over_the_orthant_are_those_that_nnls_solves() -> None:
    """argmin over s >= 0 of ‖Uᵀs + x‖² is the same problem, with C = UUᵀ and q = Ux."""
    for number in range(200):
        rows = present(rows_of(number, 12))
        units = rows / np.linalg.norm(rows, axis=1)[:, None]
        points = np.random.default_rng(number).standard_normal((3, units.shape[1]))
        linear = points @ units.T
        found = nonnegative(Cosines.of(units @ units.T), linear, 1e-14 * np.abs(points) @ np.abs(units.T))
        for point, solution in zip(points, found.solutions, strict=True):
            assert np.linalg.norm(solution @ units + point) <= nnls(units.T, -point)[1] + 1e-9


@pytest.mark.parametrize("cosine", [0.0, 0.3, -0.9, 1 - 1e-7, 1e-7 - 1, 0.999, -0.999])
def test_programs_of_two_variables_are_solved_to_rounding(cosine: float) -> None:
    matrix = np.array([[1.0, cosine], [cosine, 1.0]])
    random = np.random.default_rng(0)
    corners = [[0.0, 0.0], [-1.0, 0.0], [0.0, -1.0], [-1.0, -1.0], [-1.0, 1.0], [-1.0, cosine], [cosine, -1.0]]
    for q in np.concatenate([corners, random.standard_normal((200, 2)), random.standard_normal((50, 2)) * [[1e-9, 1.0]]]):
        s = np.array(orthant.closed(cosine, 0.0, q.tolist(), [0.0, 0.0]))
        y = matrix @ s + q
        assert (s >= 0).all()
        allowed = 4e-16 * (np.abs(q).max() + s.sum())
        assert np.where(s > 0, np.abs(y), -y).max() <= allowed


def test_of_two_variables_the_second_stays_bound_by_what_is_rounding() -> None:
    """1 / (1 - c²) would make four million times as much of it."""
    cosine = 1.3e-7 - 1
    assert orthant.closed(cosine, 1e-7, [-0.89368, 0.89367982], [1e-7, 1e-7]) == (0.89368, 0.0)
    assert orthant.closed(cosine, 0.0, [-0.89368, 0.89367982], [0.0, 0.0])[1] > 0.1


def test_programs_of_one_variable() -> None:
    found = nonnegative(Cosines.of(np.array([[4.0]])), np.array([[-3.0], [2.0]]), np.zeros((2, 1)))
    assert (found.solutions.tolist(), found.residual) == ([[3.0], [0.0]], 0.0)


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
