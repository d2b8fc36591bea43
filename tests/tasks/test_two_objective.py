"""The landscape: formula and gradients against autograd, and the front against the published numbers."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

import tasks
from tasks.landscape import LandscapeSession
from tasks.two_objective import TwoObjective, front, front_distance, losses


def formula(x: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """As the authors write it."""
    x1, x2 = x[0], x[1]
    f1 = torch.clamp((0.5 * (-x1 - 7) - torch.tanh(-x2)).abs(), 5e-6).log() + 6
    f2 = torch.clamp((0.5 * (-x1 + 3) + torch.tanh(-x2) + 2).abs(), 5e-6).log() + 6
    c1 = torch.clamp(torch.tanh(x2 * 0.5), 0)
    q1 = ((-x1 + 7).pow(2) + 0.1 * (-x2 - 8).pow(2)) / 10 - 20
    q2 = ((-x1 - 7).pow(2) + 0.1 * (-x2 - 8).pow(2)) / 10 - 20
    c2 = torch.clamp(torch.tanh(-x2 * 0.5), 0)
    return scale * (f1 * c1 + q1 * c2), f2 * c1 + q2 * c2


STARTS = [(-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0)]
RANDOM = [tuple(pair) for pair in np.random.default_rng(0).uniform(-10, 10, (30, 2)).tolist()]
KINKS = [(3.0, 0.0), (-7.0, 0.0), (2 * math.tanh(1.0) - 7, 1.0), (7 - 2 * math.tanh(2.0), 2.0), (-9.0, 40.0), (1e6, -1e6)]


def problem(name: str = "two_objective") -> TwoObjective:
    found = tasks.problem(name)
    assert isinstance(found, TwoObjective)
    return found


@pytest.mark.parametrize("scale", [0.1, 1.0])
@pytest.mark.parametrize("point", [*STARTS, *RANDOM, *KINKS])
def test_losses_and_gradients_equal_autograd(point: tuple[float, float], scale: float) -> None:
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    value, *gradients = losses(*point, scale)
    for expected, got, gradient in zip(formula(x, scale), value, gradients, strict=True):
        assert got == pytest.approx(expected.item(), rel=1e-10, abs=1e-10)
        assert gradient == pytest.approx(torch.autograd.grad(expected, x, retain_graph=True)[0].tolist(), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("point", RANDOM)
def test_gradients_equal_central_differences(point: tuple[float, float]) -> None:
    step = 1e-6
    _, *gradients = losses(*point, 0.1)
    for axis in range(2):
        above, below = ([x + sign * step * (i == axis) for i, x in enumerate(point)] for sign in (1, -1))
        slopes = [(up - down) / (2 * step) for up, down in zip(losses(*above, 0.1)[0], losses(*below, 0.1)[0], strict=True)]
        assert [gradient[axis] for gradient in gradients] == pytest.approx(slopes, rel=1e-4, abs=1e-6)


def test_at_the_kink_both_gradients_are_published() -> None:
    # On x2 = 0 c1 has slope 1/2 and c2 slope -1/2 at once: dL1/dx2 = s (f1 - q1) / 2 and dL2/dx2 = (f2 - q2) / 2.
    value, first, second = losses(0.0, 0.0, 0.1)
    f, q = math.log(3.5) + 6, 0.1 * 49 + 0.64 - 20
    assert value == (0, 0)
    assert first == pytest.approx((0, 0.1 * (f - q) / 2))
    assert second == pytest.approx((0, (f - q) / 2))


def test_not_a_number_and_overflow_pass_through() -> None:
    assert all(map(math.isnan, losses(math.nan, 1.0, 0.1)[0]))
    assert losses(1e200, -1.0, 0.1)[0] == (math.inf, math.inf)
    assert math.isnan(front_distance((math.nan, 0.0), 0.1))


@pytest.mark.parametrize(("upstream", "batched"), [((1.0, 1.0), False), ((0.3, -2.0), False), ((1.0, 0.0), True)])
def test_session_backpropagates_the_gradients(upstream: tuple[float, float], batched: bool) -> None:
    session = problem().open(seed=0, batch_size=1)
    (parameter,) = session.shared()
    pair, representation = session.losses(session.batch(0))
    assert representation is None
    assert session.batch(0) is None
    _, *gradients = losses(-8.5, 7.5, 0.1)
    if batched:  # all rows of the Jacobian in one call
        rows = torch.autograd.grad(pair, parameter, (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])), is_grads_batched=True)[0]
        assert rows.tolist() == [pytest.approx(gradient, rel=1e-5) for gradient in gradients]
        return
    sum(weight * loss for weight, loss in zip(upstream, pair, strict=True)).backward()  # type: ignore[union-attr]
    expected = [upstream[0] * gradients[0][axis] + upstream[1] * gradients[1][axis] for axis in range(2)]
    assert parameter.grad is not None
    assert parameter.grad.tolist() == pytest.approx(expected, rel=1e-5)


def test_starts() -> None:
    assert [problem().start(seed) for seed in range(5)] == STARTS
    assert [problem("two_objective_cagrad").start(seed) for seed in range(3)] == [(-8.5, 7.5), (-8.5, -5.0), (9.0, 9.0)]
    later = np.array([problem().start(seed) for seed in range(5, 205)])
    assert len(np.unique(later)) == 400
    assert np.abs(later).max() <= 10
    assert np.abs(later.mean(0)).max() < 1.5
    session = problem().open(seed=4, batch_size=1)
    assert isinstance(session, LandscapeSession)
    assert session.point.x.tolist() == [9, -1]


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_front_ends_and_middle(scale: float) -> None:
    curve = front(scale)
    # the ends were published to two digits from a coarser curve
    assert curve[0] == pytest.approx((-0.41 * scale, -19.99), abs=0.015)
    assert curve[-1] == pytest.approx((-19.99 * scale, -0.41), abs=0.015)
    assert curve[len(curve) // 2] == pytest.approx((-15.09 * scale, -15.09), abs=0.005)
    assert (np.diff(curve[:, 0]) < 0).all()
    assert (np.diff(curve[:, 1]) > 0).all()
    for end, index in ((curve[0], 1), (curve[-1], 0)):
        best = minimize(lambda x, i=index: losses(x[0], x[1], scale)[0][i], x0=(0.0, -5.0), tol=1e-12)
        assert end[index] == pytest.approx(best.fun, rel=1e-9)


def test_no_point_dominates_the_front() -> None:
    x = torch.from_numpy(np.random.default_rng(1).uniform(-12, 12, (2, 200_000)))
    first, second = (values.numpy() for values in formula(x, 1.0))
    curve = front(1.0)
    assert (first >= curve[-1, 0] - 1e-9).all()
    assert (second >= curve[0, 1] - 1e-9).all()
    # Along the curve L1 falls and L2 rises: of the front's points with a larger L1, the last is the easiest to dominate.
    better = np.searchsorted(-curve[:, 0], -(first + 1e-9)) - 1
    assert (better >= 0).sum() > 10_000
    assert (second >= curve[np.maximum(better, 0), 1] - 1e-9)[better >= 0].all()


def test_front_distance() -> None:
    curve = front(0.1)
    assert front_distance((float(curve[700, 0]), float(curve[700, 1])), 0.1) == pytest.approx(0, abs=1e-12)
    between = (curve[700] + curve[701]) / 2
    assert front_distance((float(between[0]), float(between[1])), 0.1) == pytest.approx(0, abs=1e-12)
    assert front_distance((float(curve[0, 0]), -23.0), 0.1) == pytest.approx(float(curve[0, 1]) + 23)
    assert front_distance((1.0, 2.0), 0.1) == pytest.approx(float(np.sqrt(((curve - (1, 2)) ** 2).sum(1)).min()), rel=1e-4)
    with pytest.raises(ValueError, match="read-only"):
        curve[0] = 0


@pytest.mark.parametrize(("seed", "reaches"), [(0, True), (1, True), (2, False), (3, True)])
def test_equal_weights_ends_as_published(seed: int, reaches: bool) -> None:
    """From (9, 9) equal weights stays in the valley; from the others it ends at its optimum (-0.38, -19.83)."""
    session = problem().open(seed, batch_size=1)
    optimizer = torch.optim.Adam(session.model.parameters(), lr=0.02)
    for step in range(1500):
        pair, _ = session.losses(session.batch(step))
        optimizer.zero_grad()
        torch.stack(pair).mean().backward()
        optimizer.step()
    result = session.evaluate("test")
    assert result == session.evaluate("validation")
    if reaches:
        assert result.losses == pytest.approx((-0.38, -19.83), abs=0.1)
        assert result.metrics["front_distance"] < 0.1
    else:
        assert result.metrics["front_distance"] > 1
