"""Problems with known fronts: gradients by differences, fronts by search, hypervolume by hand, and where runs are known to end."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import moocore
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

import methods
import tasks
from tasks.gallery import Trajectory
from tasks.known_front import KnownFront, attained, distance, hypervolume, reference
from tasks.zdt import PIECES

NAMES = [name for name, problem in tasks.problems().items() if isinstance(problem, KnownFront)]
NEW = ["vlmop1", "vlmop2", "pareto_mtl", "zdt1", "zdt2", "zdt3"]


def problem(name: str) -> KnownFront:
    found = tasks.problem(name)
    assert isinstance(found, KnownFront)
    return found


def end(name: str, seed: int, method: str, steps: int | None = None) -> tasks.Evaluation:
    """A run of the problem as its card says, by the method's defaults."""
    found = problem(name)
    session, balancer = found.open(seed, batch_size=1), methods.create(method, 2, seed=seed)
    optimizer = torch.optim.Adam(session.model.parameters(), lr=found.card.learning_rate, fused=True)
    for step in range(steps or found.card.steps):
        losses, _ = session.losses(session.batch(step))
        balancer.backward(losses, shared=session.shared())
        optimizer.step()
        optimizer.zero_grad()
    return session.evaluate("test")


def test_every_problem_is_here() -> None:
    assert ["two_objective", "two_objective_cagrad", *NEW] == NAMES


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("seed", range(5))
def test_gradients_equal_central_differences(name: str, seed: int) -> None:
    found, step = problem(name), 1e-6
    x = np.array(found.start(seed)) + np.random.default_rng(seed).normal(0, 0.3, len(found.start(seed)))
    _, *gradients = found.losses(x.tolist())
    for axis in range(len(x)):
        shift = step * (np.arange(len(x)) == axis)
        slopes = (np.array(found.losses((x + shift).tolist())[0]) - found.losses((x - shift).tolist())[0]) / (2 * step)
        assert [gradient[axis] for gradient in gradients] == pytest.approx(slopes.tolist(), rel=1e-5, abs=1e-7)


def zdt(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses ``[N, 2]`` of x ``[N, 30]`` in the box, as the paper writes them."""
    first, g = x[:, 0], 1 + 9 * x[:, 1:].sum(1) / (x.shape[1] - 1)
    h = {
        "zdt1": 1 - np.sqrt(first / g),
        "zdt2": 1 - (first / g) ** 2,
        "zdt3": 1 - np.sqrt(first / g) - first / g * np.sin(10 * np.pi * first),
    }[name]
    return np.stack([first, g * h], axis=1)


def vlmop(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses ``[N, 2]`` of x ``[N, n]``, as the papers write them."""
    a = 1 / math.sqrt(x.shape[1])
    squares = np.stack([((x - a) ** 2).sum(1), ((x + a) ** 2).sum(1)], axis=1)
    return squares / 4 if name == "vlmop1" else 1 - np.exp(-squares)


@pytest.mark.parametrize("name", ["zdt1", "zdt2", "zdt3"])
def test_zdt_equals_the_paper_on_the_whole_box(name: str) -> None:
    x = np.random.default_rng(0).uniform(0, 1, (50, 30))
    x[0], x[1] = 0, 1  # the corners are reached
    got = [problem(name).losses(np.arcsin(np.sqrt(row)).tolist())[0] for row in x]
    np.testing.assert_allclose(got, zdt(name, x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["vlmop1", "vlmop2", "pareto_mtl"])
def test_vlmop_equals_the_paper(name: str) -> None:
    size = len(problem(name).start(0))
    x = np.random.default_rng(0).uniform(-1, 1, (50, size))
    np.testing.assert_allclose([problem(name).losses(row)[0] for row in x.tolist()], vlmop(name, x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["zdt1", "zdt2", "zdt3"])
@pytest.mark.parametrize("u", [0.0, math.pi / 2, 1e-9, -1e-9])
def test_gradients_are_bounded_at_the_ends_of_the_box(name: str, u: float) -> None:
    _, *gradients = problem(name).losses([u, *[0.5] * 29])
    assert np.abs(np.array(gradients)).max() < 40  # the slope of the root in x itself would be 1e9


def on_front(name: str) -> NDArray[np.float64]:
    """Losses of points of the Pareto set, computed by the paper's functions."""
    t = np.random.default_rng(1).uniform(0, 1, 300)
    if name.startswith("zdt"):
        if name == "zdt3":
            pieces = np.array(PIECES)[np.arange(300) % len(PIECES)]
            t = pieces[:, 0] + t * (pieces[:, 1] - pieces[:, 0])
        return zdt(name, np.column_stack([t, np.zeros((300, 29))]))
    size = len(problem(name).start(0))
    return vlmop(name, np.repeat(2 * t[:, None] - 1, size, axis=1) / math.sqrt(size))


def anywhere(name: str) -> NDArray[np.float64]:
    """Losses of random points, many of them near the Pareto set."""
    rng = np.random.default_rng(2)
    closeness = 10.0 ** rng.uniform(-6, 0, (100_000, 1))
    if name.startswith("zdt"):
        return zdt(name, np.column_stack([rng.uniform(0, 1, 100_000), closeness * rng.uniform(0, 1, (100_000, 29))]))
    size = len(problem(name).start(0))
    centre = rng.uniform(-1.2, 1.2, (100_000, 1)) / math.sqrt(size)
    return vlmop(name, centre + closeness * rng.uniform(-1, 1, (100_000, size)))


@pytest.mark.parametrize("name", NEW)
def test_points_of_the_pareto_set_lie_on_the_front(name: str) -> None:
    front = problem(name).front()
    assert max(distance((float(a), float(b)), front) for a, b in on_front(name)) < 2e-6


@pytest.mark.parametrize("name", NEW)
def test_no_point_dominates_the_front_and_the_front_not_itself(name: str) -> None:
    curve = np.concatenate(problem(name).front())
    curve = curve[np.argsort(curve[:, 0])]
    assert (np.diff(curve[:, 1]) <= 1e-9).all()  # as L1 rises L2 falls, over the gaps too
    found = anywhere(name)
    # Of the front's points with an L1 above a point's, the first has the largest L2: the easiest to dominate.
    above = np.searchsorted(curve[:, 0], found[:, 0] + 1e-9)
    assert (above < len(curve)).sum() > 10_000
    inside = above < len(curve)
    assert (found[inside, 1] >= curve[above[inside], 1] - 1e-9).all()
    assert found[:, 1].min() >= curve[-1, 1] - 1e-9


def test_pieces_of_zdt3_begin_and_end_where_dominance_says() -> None:
    def second(first: float) -> float:
        return 1 - math.sqrt(first) - first * math.sin(10 * math.pi * first)

    ends = [minimize_scalar(second, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x for low, high in PIECES]
    assert [high for _, high in PIECES] == pytest.approx(
        [minimize_scalar(second, bounds=(e - 0.02, e + 0.02), method="bounded").x for e in ends], abs=1e-5
    )
    for (_, end_), (begin, _) in pairwise(PIECES):
        assert second(begin) == pytest.approx(second(end_), abs=1e-8)
    grid = np.linspace(0, 1, 200_001)
    values = np.array([second(first) for first in grid])
    best = np.minimum.accumulate(values)
    efficient = grid[(values <= best) & (np.r_[np.inf, best[:-1]] > values)]
    outside = [first for first in efficient if not any(low - 1e-5 <= first <= high + 1e-5 for low, high in PIECES)]
    assert not outside


@pytest.mark.parametrize("name", NAMES)
def test_hypervolume(name: str) -> None:
    front = problem(name).front()
    points = np.concatenate(front)
    corner, ideal = np.array(reference(front)), points.min(0)
    assert corner == pytest.approx(points.max(0) + 0.1 * (points.max(0) - ideal))
    assert hypervolume(points, front) == pytest.approx(1)
    assert hypervolume([corner], front) == hypervolume([corner + 1], front) == 0
    some = points[:: len(points) // 7]
    assert max(hypervolume([point], front) for point in some) < hypervolume(some, front) < 1
    assert hypervolume([*some, corner - 1e-3], front) == pytest.approx(hypervolume(some, front), abs=1e-4)
    assert math.isnan(hypervolume([(math.nan, 0.0)], front))
    assert math.isnan(hypervolume([(0.0, math.inf)], front))


def test_hypervolume_by_hand() -> None:
    # The front is the segment from (0, 1) to (1, 0); its reference point is (1.1, 1.1): a strip of 0.1 around a triangle of 1/2.
    front = (np.stack([np.linspace(0, 1, 20_001), 1 - np.linspace(0, 1, 20_001)], axis=1),)
    area = 1.1**2 - 0.5
    assert reference(front) == pytest.approx((1.1, 1.1))
    assert moocore.hypervolume(front[0], ref=reference(front)) == pytest.approx(area, abs=1e-4)
    assert hypervolume([(0.5, 0.5)], front) == pytest.approx(0.36 / area, abs=1e-4)
    both = 0.9 * 0.3 + 0.3 * 0.9 - 0.3 * 0.3  # two rectangles less what they share
    assert hypervolume([(0.2, 0.8), (0.8, 0.2)], front) == pytest.approx(both / area, abs=1e-4)


def test_what_was_attained_by_hand() -> None:
    front = (np.array([[0.0, 4.0], [1.0, 2.0]]), np.array([[2.0, 0.0], [5.0, -6.0]]))
    assert attained((0.0, 4.0), front) == (1.0, 0.0)
    assert attained((5.0, -6.0), front) == (0.0, 1.0)
    assert attained((2.5, -1.0), front) == (0.5, 0.5)
    assert attained((10.0, 14.0), front) == (-1.0, -1.0), "worse than all of the front"


@pytest.mark.parametrize("name", NAMES)
def test_an_evaluation_says_what_was_attained_of_either_best(name: str) -> None:
    best = np.concatenate(problem(name).front()).min(0)
    metrics = problem(name).open(0, 1).evaluate("test").metrics
    span = np.concatenate(problem(name).front()).max(0) - best
    for index, task in enumerate(("first", "second")):
        assert metrics[f"{task}/attained"] == pytest.approx(1 - (metrics[f"{task}/loss"] - best[index]) / span[index])


def test_distance_to_a_broken_front() -> None:
    front = (np.array([(0.0, 2.0), (1.0, 1.0)]), np.array([(3.0, 0.5), (4.0, 0.0)]))
    assert distance((0.5, 1.5), front) == pytest.approx(0)
    assert distance((1.0, 0.0), front) == pytest.approx(1)
    assert distance((2.9, 0.5), front) == pytest.approx(0.1)
    assert distance((0.0, 0.0), front) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("name", NEW)
def test_starts_are_seeded_spread_and_far_from_the_front(name: str) -> None:
    found = problem(name)
    starts = np.array([found.start(seed) for seed in range(100)])
    assert len(np.unique(starts)) == starts.size
    for seed in range(10):
        value, *gradients = found.losses(found.start(seed))
        assert distance(value, found.front()) > 0.03
        assert all(np.abs(gradient).max() > 1e-3 for gradient in map(np.array, gradients))


ENDS = {"vlmop1": (0.25, 0.25), "zdt1": (0.25, 0.5)}
"""Where the sum of the losses is least on a convex front."""


@pytest.mark.parametrize("name", ENDS)
def test_equal_weights_end_at_the_least_sum_of_a_convex_front(name: str) -> None:
    for seed in range(2):
        result = end(name, seed, "equal")
        assert result.losses == pytest.approx(ENDS[name], abs=1e-3)
        assert result.metrics["front_distance"] < 1e-4


@pytest.mark.parametrize("name", ["vlmop2", "pareto_mtl"])
def test_equal_weights_find_only_the_ends_of_a_concave_front(name: str) -> None:
    found = [end(name, seed, "equal", 400) for seed in range(6)]
    assert all(result.metrics["front_distance"] < 1e-3 for result in found)
    assert all(min(result.losses) < 0.01 and max(result.losses) > 0.97 for result in found)
    assert {result.losses[0] < 0.5 for result in found} == {True, False}
    together = hypervolume([result.losses for result in found], problem(name).front())
    # Two corners: each alone dominates a strip, which share the small rectangle at the reference point.
    assert together == pytest.approx(hypervolume([(0.0018, 0.9783), (0.9783, 0.0018)], problem(name).front()), abs=1e-3)


@pytest.mark.parametrize("name", ["vlmop1", "vlmop2", "pareto_mtl"])
def test_mgda_stops_where_it_meets_the_front(name: str) -> None:
    found = [end(name, seed, "mgda", 400) for seed in range(4)]
    assert all(result.metrics["front_distance"] < 0.01 for result in found)
    assert len({round(result.losses[0], 2) for result in found}) == 4  # no one point: it depends on the start
    ends = hypervolume([result.losses for result in found], problem(name).front())
    assert ends > max(result.metrics["hypervolume"] for result in found)


def test_mgda_stops_at_the_edge_of_zdt_where_one_loss_is_least() -> None:
    # There the first gradient is zero: no step improves both losses, although the point is dominated (weakly efficient).
    free, stuck = end("zdt1", 0, "mgda", 400), end("zdt1", 2, "mgda", 400)
    assert free.metrics["front_distance"] < 1e-3
    assert stuck.losses[0] < 1e-6
    assert stuck.losses[1] > 1.1
    assert stuck.metrics["hypervolume"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_trajectory_runs_from_the_start_through_every_evaluation(name: str) -> None:
    found = problem(name)
    session = found.open(seed=0, batch_size=1)
    move = partial(session.model.get_parameter("x").data.add_, 0.01)
    visited = [found.start(0)]
    for _ in range(3):
        move()
        session.evaluate("validation")
        visited.append(session.model.get_parameter("x").tolist())
    session.evaluate("test")
    move()
    visited.append(session.model.get_parameter("x").tolist())
    panels = [row[0] for row in session.gallery("test", examples=0)]
    assert all(isinstance(panel, Trajectory) for panel in panels)
    assert [panel.labels for panel in panels] == ([("x1", "x2")] if len(visited[0]) == 2 else []) + [("L1", "L2")]
    np.testing.assert_allclose(panels[-1].path, [found.losses(x)[0] for x in visited], rtol=1e-5)
    if len(visited[0]) == 2:
        np.testing.assert_allclose(panels[0].path, visited, rtol=1e-6)
        assert panels[0].field is not None
        row, column = 30, 100
        point = (panels[0].field.x[column], panels[0].field.y[row])
        scale = found.parameters()[0]
        first, second = found.losses(point)[0]
        assert panels[0].field.values[row, column] == pytest.approx(first / scale + second)
