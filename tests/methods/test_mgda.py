"""Optimality of the min-norm direction, the normalisations, the events of the solvers."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

import methods
from tests import linear
from tests.inputs import INPUTS, gaussian, jacobians, scaled


def optimal(jacobian: Tensor) -> None:
    """<g_i, d> >= ‖d‖² with equality on the support, and ‖d‖ <= min n_i, to the rounding of the Gramian."""
    d, weights = linear.step(linear.create("mgda", len(jacobian)), jacobian)
    norms = jacobian.norm(dim=1)
    slack = 1e-11 * norms * (weights @ norms) + 1e-9 * d.square().sum()
    excess = jacobian @ d - d.square().sum()
    assert bool((excess >= -slack).all())
    assert bool((excess[weights > 0].abs() <= slack[weights > 0]).all())
    assert d.norm() <= norms.min() * (1 + 1e-9)


@pytest.mark.parametrize("jacobian", INPUTS.values(), ids=INPUTS)
def test_optimality_on_named_inputs(jacobian: Tensor) -> None:
    optimal(jacobian)


@given(jacobian=jacobians())
def test_optimality_on_drawn_inputs(jacobian: Tensor) -> None:
    optimal(jacobian)


@given(jacobian=jacobians(2, 2))
def test_two_tasks_have_the_closed_form(jacobian: Tensor) -> None:
    (a, b), (_, c) = linear.gramian(jacobian)
    spread = a + c - 2 * b
    first = ((c - b) / spread).clamp(0.0, 1.0) if spread > 1e-9 * (a + c) else torch.tensor(0.5, dtype=torch.float64)
    update, weights = linear.step(linear.create("mgda", 2), jacobian)
    if spread > 1e-9 * (a + c):
        assert weights[0].item() == pytest.approx(first.item(), abs=1e-9)
    assert update.norm() <= jacobian.norm(dim=1).min() * (1 + 1e-9)


@pytest.mark.parametrize("normalize", ["none", "l2", "loss", "loss+"])
@pytest.mark.parametrize("applied_to", ["raw", "normalized"])
def test_normalised_problems(normalize: str, applied_to: str) -> None:
    jacobian, values = scaled(gaussian(4, 6), 5), torch.tensor([0.5, 2.0, 10.0, 1.0], dtype=torch.float64)
    norms = jacobian.norm(dim=1)
    sizes = {"none": torch.ones(4), "l2": norms, "loss": values, "loss+": norms * values}[normalize]
    balancer = linear.create("mgda", 4, normalize=normalize, applied_to=applied_to)
    update, weights = linear.step(balancer, jacobian, values)
    normal = jacobian / sizes[:, None]
    shares = linear.step(linear.create("mgda", 4), normal)[1]
    expected = shares @ (normal if applied_to == "normalized" else jacobian)
    assert linear.close(update, expected, 1e-6, scale=(weights * norms).max())
    if applied_to == "normalized":
        assert bool((normal @ update >= -1e-9 * update.norm()).all())


@pytest.mark.parametrize("normalize", ["loss", "loss+"])
@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_dividing_by_a_loss_that_is_not_positive_is_an_error(normalize: str, bad: float) -> None:
    with pytest.raises(methods.LossRangeError, match=r"mgda\(normalize='loss\+?'\) divides by the losses.*task 1 is (-1|0); expected > 0"):
        linear.direction("mgda", gaussian(2, 3), torch.tensor([1.0, bad], dtype=torch.float64), normalize=normalize)


def test_normalising_keeps_a_zero_row_zero() -> None:
    for normalize in ("l2", "loss+"):
        assert not bool(linear.direction("mgda", INPUTS["zero row"], normalize=normalize).any())


def test_a_solver_that_does_not_reach_its_tolerance_is_an_event() -> None:
    balancer = linear.create("mgda", 10, solver="frank_wolfe", iterations=2)
    linear.step(balancer, gaussian(10, 30))
    assert balancer.events == {"frank_wolfe_gap": 1}
    exact = linear.create("mgda", 10)
    linear.step(exact, gaussian(10, 30))
    assert exact.events == {}
