"""Methods that work on the trunk's output: the same as doing it by hand, whatever hangs on the graph."""

from typing import Any

import pytest
import torch
from torch import nn

import methods
from methods.solvers import min_norm
from tests import linear, nets


def create(tasks: int = 3, **options: Any) -> methods.Method:
    return methods.create("mgda", tasks, on="representation", **options)


def rows_at(z: torch.Tensor, losses: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([torch.autograd.grad(loss, z, retain_graph=True)[0].reshape(-1) for loss in losses])


def test_weights_come_from_the_gradients_at_z_flattened_over_the_batch() -> None:
    net = nets.build()
    losses = net.losses()
    rows = rows_at(net.z, losses)
    expected = torch.from_numpy(min_norm(linear.gramian(rows).numpy()).weights)
    jacobian = net.jacobian()
    plain = [net.plain(task) for task in range(3)]
    losses = net.losses()
    balancer = create()
    taken = balancer.backward(losses, representation=net.z)
    assert linear.close(taken.weights, expected)
    assert linear.close(net.update(), expected @ jacobian)
    assert balancer.backward_passes == 1
    assert all(linear.close(nets.grads(net.private(task)), plain[task]) for task in range(3))


def test_representation_missing_or_detached_is_an_error() -> None:
    net = nets.build()
    losses = net.losses()
    with pytest.raises(methods.MethodError, match="works on the representation, but got none"):
        create().backward(losses, shared=net.shared())
    with pytest.raises(methods.MethodError, match="detached"):
        create().backward(losses, representation=net.z.detach())


def test_gradients_of_heads_own_their_memory() -> None:
    one, two, trunk = (nn.Parameter(torch.ones(3)) for _ in range(3))
    z = torch.ones(5, 3) * trunk
    create(2).backward([z.sum() + (one + two).sum(), z.square().mean()], representation=z)
    one.grad.mul_(2.0)  # as clipping does: fails on an expanded tensor, shows in a shared one
    assert one.grad.tolist() == [2.0] * 3
    assert two.grad.tolist() == [1.0] * 3


def test_a_head_that_skips_z_adds_its_plain_gradient_to_the_trunk() -> None:
    weight = nn.Parameter(torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64))
    x = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    z = x @ weight
    losses = [(z @ weight).square().sum(), z.square().sum()]  # the weight is tied: trunk and head of task 0
    rows = rows_at(z, losses)
    weights = torch.from_numpy(min_norm(linear.gramian(rows).numpy()).weights)
    fixed = z.detach()
    through_head = torch.autograd.grad((fixed @ weight).square().sum(), weight)[0]
    through_z = torch.autograd.grad(x @ weight, weight, (weights @ rows).reshape(1, 2))[0]
    create(2).backward(losses, representation=z)
    assert linear.close(weight.grad, through_head + through_z)


def test_z_may_be_one_output_of_several() -> None:
    trunk = nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64))
    z, other = (trunk * 1.0).chunk(2)
    create(2).backward([z.square().sum() + other.sum(), z.sum()], representation=z)
    assert torch.equal(trunk.grad[2:], torch.ones(2, dtype=torch.float64))
    assert bool(trunk.grad[:2].any())


def test_z_may_be_a_leaf() -> None:
    z = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    taken = create(2).backward([z.square().sum(), z.sum()], representation=z)
    rows = torch.tensor([[2.0, -4.0], [1.0, 1.0]], dtype=torch.float64)
    assert linear.close(z.grad, taken.weights @ rows)


def test_priority_multiplies_weights_and_heads() -> None:
    net = nets.build()
    jacobian = net.jacobian()
    plain = [net.plain(task) for task in range(3)]
    native = create().backward(net.losses(), representation=net.z).weights
    net.clear()
    losses = net.losses()
    weights = create(priority=[0.0, 1.0, 2.0]).backward(losses, representation=net.z).weights
    assert linear.close(weights, native * torch.tensor([0.0, 1.0, 2.0]))
    assert linear.close(net.update(), weights @ jacobian)
    assert all(p.grad is None for p in net.private(0))
    assert linear.close(nets.grads(net.private(2)), 2.0 * plain[2])
