"""The contract for edge cases, method by method: one task, zero gradients, values that are not finite, parameters out of reach."""

import math

import pytest
import torch
from torch import Tensor

import methods
from tests import linear
from tests.inputs import INPUTS, gaussian, with_zero_row

NAMES = methods.names()
GRADIENT = [name for name in NAMES if methods.card(name).family != "loss"]
PLAIN = [name for name in GRADIENT if name not in linear.OBJECTIVE]
ZERO_ROW_STOPS = {"mgda", "cr_mogm"}  # the shortest convex combination with a zero gradient is zero (cr_mogm: its default base)
ZERO_ROW_IN_THE_MEAN = {"cagrad"}  # g_0 is the mean over all tasks
KEEPS_STATE_OF_ABSENT_TASKS = {
    "gradnorm",
    "excess_mtl",
    "moco",
    "modo",
}  # weights have T entries and a fixed sum; gradnorm's drive the heads too


def snapshot(balancer: methods.Method) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in balancer.state_dict().items() if isinstance(value, Tensor)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("jacobian", INPUTS.values(), ids=INPUTS)
def test_the_update_is_finite(name: str, jacobian: Tensor) -> None:
    balancer = linear.create(name, len(jacobian))
    for _ in range(3):
        update, weights = linear.step(balancer, jacobian)
        assert bool(update.isfinite().all())
        assert weights is None or bool(weights.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_one_task(name: str) -> None:
    jacobian = gaussian(1, 4)
    update = linear.direction(name, jacobian)
    assert linear.close(linear.unit(update), linear.unit(jacobian[0]), 1e-9)


@pytest.mark.parametrize("name", PLAIN)
def test_a_zero_row_is_an_absent_task(name: str) -> None:
    jacobian = with_zero_row(gaussian(4, 6), 3)
    balancer = linear.create(name, 4)
    update, weights = linear.step(balancer, jacobian)
    if name in ZERO_ROW_STOPS:
        assert not bool(update.any())
        return
    if weights is not None:
        assert weights[3] == 0 or name in KEEPS_STATE_OF_ABSENT_TASKS
    if name not in KEEPS_STATE_OF_ABSENT_TASKS | ZERO_ROW_IN_THE_MEAN and not methods.card(name).randomised:
        assert linear.close(update, linear.direction(name, jacobian[:3]), 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_all_rows_zero(name: str) -> None:
    assert not bool(linear.direction(name, torch.zeros(3, 4, dtype=torch.float64)).any())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_makes_nan_and_leaves_the_state(name: str, bad: float) -> None:
    balancer = linear.create(name, 3)
    for known in range(2):  # before the first good step, and after one
        before = snapshot(balancer)
        update, _ = linear.step(balancer, gaussian(3, 4), torch.tensor([bad, 1.0, 2.0], dtype=torch.float64))
        assert bool(update.isnan().all())
        after = snapshot(balancer)
        assert all(torch.equal(value.nan_to_num(7), after[key].nan_to_num(7)) for key, value in before.items())
        if not known:
            linear.step(balancer, gaussian(3, 4))


@pytest.mark.parametrize("name", GRADIENT)
def test_a_gradient_that_is_not_finite_makes_nan_and_leaves_the_state(name: str) -> None:
    balancer = linear.create(name, 3)
    linear.step(balancer, gaussian(3, 4))
    before, generator = snapshot(balancer), balancer.generator.get_state()
    theta = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))

    def losses() -> list[Tensor]:
        first, _, third = linear.losses_at(theta, gaussian(3, 4))
        return [first, 1.0 + (theta.sqrt() * 0.0).sum(), third]  # finite, but its gradient at 0 is not

    linear.backward(balancer, losses, shared=[theta])
    assert bool(theta.grad.isnan().all())
    assert all(torch.equal(value, snapshot(balancer)[key]) for key, value in before.items())
    assert torch.equal(generator, balancer.generator.get_state())


@pytest.mark.parametrize("name", NAMES)
def test_unused_parameters_are_zeros_and_unreached_ones_keep_none(name: str) -> None:
    used, unreached = (torch.nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2))
    partly = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    losses = lambda: [(used * 2).sum() + partly.sum(), used.square().sum()]  # noqa: E731
    linear.backward(linear.create(name, 2), losses, shared=[partly, unreached, used])
    assert unreached.grad is None
    if methods.card(name).where == "last":
        return  # there, heads and trunk follow the weighted total: nothing else to compare
    padded = torch.tensor([[1.0] * 3 + [2.0] * 3, [0.0] * 3 + [2.0] * 3], dtype=torch.float64)
    values = torch.tensor([9.0, 3.0], dtype=torch.float64)
    expected = linear.direction(name, padded, values)
    assert linear.close(torch.cat([partly.grad, used.grad]), expected, 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_gradient_of_an_unreached_parameter_stays(name: str) -> None:
    used, unreached = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    unreached.grad = torch.full((2,), 5.0)
    linear.backward(linear.create(name, 2), lambda: [used.sum(), used.square().sum()], shared=[used, unreached])
    assert unreached.grad.tolist() == [5.0, 5.0]


@pytest.mark.parametrize("name", NAMES)
def test_tasks_that_share_no_parameter(name: str) -> None:
    jacobian = INPUTS["nothing shared"]
    update, weights = linear.step(linear.create(name, 3), jacobian)
    if weights is not None:
        assert linear.close(update, weights @ jacobian, 1e-6, 20.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_without_a_graph_counts_as_zeros(name: str) -> None:
    theta = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    linear.backward(linear.create(name, 2), lambda: [theta.sum(), torch.tensor(1.0, dtype=torch.float64)], shared=[theta])
    assert bool(theta.grad.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_with_a_graph_is_an_error(name: str) -> None:
    theta = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(methods.MethodError, match="no loss requires a gradient"):
        linear.backward(linear.create(name, 2), lambda: [torch.tensor(1.0), torch.tensor(2.0)], shared=[theta])
