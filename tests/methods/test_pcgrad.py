"""Projections for given orders, their law over random ones."""

import itertools

import pytest
import torch
from hypothesis import given
from torch import Tensor

from methods.pcgrad import surgery
from tests import linear
from tests.inputs import INPUTS, gaussian, jacobians


def orders(tasks: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [torch.tensor([j for j in torch.randperm(tasks, generator=generator).tolist() if j != i]) for i in range(tasks)]
    ).view(tasks, tasks - 1)


def literally(jacobian: Tensor, order: Tensor) -> Tensor:
    """The algorithm as its paper writes it, on the gradients themselves."""
    total = torch.zeros_like(jacobian[0])
    for i, met in enumerate(order.tolist()):
        h = jacobian[i].clone()
        for j in met:
            overlap = h @ jacobian[j]
            if overlap < 0:
                h -= overlap / jacobian[j].square().sum() * jacobian[j]
        total += h
    return total


@given(jacobian=jacobians(2))
def test_surgery_is_the_algorithm_of_the_paper(jacobian: Tensor) -> None:
    order = orders(len(jacobian), 0)
    update = surgery(linear.gramian(jacobian), order) @ jacobian
    # An overlap that is zero up to rounding may count as a conflict in one and not in the other: the difference is rounding too.
    assert linear.close(update, literally(jacobian, order), 1e-6, scale=jacobian.norm(dim=1).max())


@given(jacobian=jacobians(2))
def test_permuted_tasks_with_permuted_orders_give_the_same(jacobian: Tensor) -> None:
    order, new = orders(len(jacobian), 1), torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(2))
    place = new.argsort()  # task t stands at place[t] now
    permuted = surgery(linear.gramian(jacobian[new]), place[order[new]])
    assert linear.close(permuted @ jacobian[new], surgery(linear.gramian(jacobian), order) @ jacobian, 1e-6, jacobian.norm(dim=1).max())


@given(jacobian=jacobians(2, ill_scaled=False))
def test_it_is_linear_under_scaling_of_the_rows_for_given_orders(jacobian: Tensor) -> None:
    """d(diag(c) J) = Σ c_i h_i."""
    order, factors = orders(len(jacobian), 3), torch.linspace(0.1, 3.0, len(jacobian), dtype=torch.float64)
    pieces = [
        surgery(linear.gramian(jacobian * f[:, None]), order) @ (jacobian * f[:, None])
        for f in torch.eye(len(factors), dtype=torch.float64).clamp_min(1e-3)
    ]
    whole = surgery(linear.gramian(jacobian * factors[:, None]), order) @ (jacobian * factors[:, None])
    # h = A⁻¹ d for the rows of A = 1e-3 + (1 - 1e-3) I
    h = torch.linalg.solve(torch.eye(len(factors), dtype=torch.float64).clamp_min(1e-3), torch.stack(pieces))
    assert linear.close(whole, factors @ h, 1e-6, jacobian.norm(dim=1).max() * 3)


@pytest.mark.parametrize("name", ["agreeing", "nothing shared"])
def test_without_conflict_it_is_the_sum(name: str) -> None:
    assert linear.close(linear.direction("pcgrad", INPUTS[name]), INPUTS[name].sum(0))


@given(jacobian=jacobians(2, 2))
def test_two_tasks_have_the_closed_form_and_never_conflict(jacobian: Tensor) -> None:
    (a, b), (_, c) = linear.gramian(jacobian)
    update, weights = linear.step(linear.create("pcgrad", 2), jacobian)
    overlap = b.clamp(max=0.0)
    assert linear.close(weights, torch.stack([1 - overlap / a, 1 - overlap / c]))
    assert bool((jacobian @ update >= -1e-9 * jacobian.norm(dim=1) * jacobian.norm(dim=1).max()).all())


def test_every_order_is_drawn_equally_often() -> None:
    """Three tasks have 2³ orders; the mean over many steps is the mean over them all."""
    jacobian = torch.tensor([[1.0, 2.0, 0.0, -1.0], [-2.0, 0.5, 1.0, 0.5], [0.5, -1.5, 3.0, 1.0]], dtype=torch.float64)
    each = [itertools.permutations([j for j in range(3) if j != i]) for i in range(3)]
    every = [surgery(linear.gramian(jacobian), torch.tensor(order)) @ jacobian for order in itertools.product(*each)]
    balancer = linear.create("pcgrad", 3)
    drawn = torch.stack([linear.step(balancer, jacobian)[0] for _ in range(2000)])
    assert linear.close(drawn.mean(0), torch.stack(every).mean(0), 1e-2)
    assert len({tuple(row.mul(1e6).round().tolist()) for row in drawn}) == len({tuple(row.mul(1e6).round().tolist()) for row in every})


def test_only_the_trunk_is_projected() -> None:
    """With one scalar head a task, a code that projects all parameters gives the trunk (0.3765, 1.8610, 1.8610) and weighted heads."""
    jacobian = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], dtype=torch.float64)
    theta, losses = linear.losses_of(jacobian)
    heads = [torch.nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(2)]
    linear.create("pcgrad", 2, scale="mean").backward([loss + head for loss, head in zip(losses, heads, strict=True)], shared=[theta])
    assert linear.close(theta.grad, gaussian(1, 3)[0] * 0 + torch.tensor([0.29239766, 1.9005848, 1.9005848]), 1e-7)
    assert [head.grad.item() for head in heads] == [1.0, 1.0]
