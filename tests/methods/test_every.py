"""``every=k``: weights are solved for in every k-th step, and used in between at the cost of equal weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import methods
from tests import linear, nets

GRAMIAN = [name for name in methods.names() if methods.card(name).family == "gramian"]
FACTS = {"initial_losses": [3.0, 1.0, 50.0], "prior_losses": [2.0, 0.5, 90.0]}


def run(name: str, steps: int, every: int, **options: Any) -> tuple[nets.Net, methods.Method, list[torch.Tensor]]:
    """A net after some steps of gradient descent, the method, and the weights of every step."""
    net, balancer = nets.build(), linear.create(name, 3, every=every, **FACTS, **options)
    return net, balancer, [advance(net, balancer) for _ in range(steps)]


def advance(net: nets.Net, balancer: methods.Method) -> torch.Tensor:
    net.clear()
    weights = balancer.backward(net.losses(), shared=net.shared(), representation=net.z).weights
    assert weights is not None
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    return weights


@pytest.mark.parametrize("name", GRAMIAN)
def test_weights_are_kept_between_two_looks(name: str) -> None:
    net, balancer, weights = run(name, 3, 4)
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    before = balancer.backward_passes
    net.clear()
    losses, rows = net.losses(), net.jacobian()
    kept = balancer.backward(losses, shared=net.shared(), representation=net.z).weights
    assert balancer.backward_passes == before + 1
    assert linear.close(net.update(), kept @ rows, 1e-10)
    for task in range(3):  # heads as in any other step of the method
        factor = kept[task] if balancer.where == "last" else 1.0  # type: ignore[attr-defined]
        assert linear.close(nets.grads(net.private(task)), factor * net.plain(task), 1e-10)
    advance(net, balancer)
    first, fresh = nets.build(), linear.create(name, 3, **FACTS)
    assert torch.equal(advance(first, fresh), weights[0])
    assert balancer.backward_passes == before + 1 + fresh.backward_passes


@pytest.mark.parametrize("name", ["mgda", "gradnorm", "gradvac"])
def test_a_state_saved_in_between_continues_identically(name: str) -> None:
    net, balancer, _ = run(name, 2, 3)
    twin_net, twin = nets.build(), linear.create(name, 3, every=3, **FACTS)
    twin.load_state_dict(balancer.state_dict())
    for mine, other in zip(twin_net.parameters(), net.parameters(), strict=True):
        mine.data.copy_(other)
    for _ in range(3):
        assert torch.equal(advance(net, balancer), advance(twin_net, twin))
        assert torch.equal(nets.grads(net.parameters()), nets.grads(twin_net.parameters()))


def test_the_representation_may_be_where_gradients_are_looked_at() -> None:
    net, balancer, _ = run("mgda", 1, 2, on="representation")
    net.clear()
    rows = net.jacobian()
    kept = balancer.backward(net.losses(), shared=net.shared(), representation=net.z).weights
    assert linear.close(net.update(), kept @ rows, 1e-10)
    assert balancer.paths == {"held weights": 1, "representation": 1}


def test_the_representation_alone_is_enough_in_between_as_well() -> None:
    net, balancer = nets.build(), methods.create("mgda", 3, every=2, on="representation")
    for path in ("representation", "held weights, representation"):
        net.clear()
        rows = net.jacobian()
        weights = balancer.backward(net.losses(), representation=net.z).weights
        assert linear.close(net.update(), weights @ rows, 1e-10)
        assert path in balancer.paths


@pytest.mark.parametrize("priority", [[1.0, 4.0, 0.5], [2.0, 0.0, 1.0]])
def test_priority_and_a_grad_scaler_act_as_in_any_step(priority: list[float]) -> None:
    class Scaler:
        def get_scale(self) -> float:
            return 512.0

    found = []
    for scaler in (None, Scaler()):
        net, balancer, _ = run("mgda", 1, 2, priority=priority)
        net.clear()
        rows = net.jacobian()
        weights = balancer.backward(net.losses(), shared=net.shared(), grad_scaler=scaler).weights
        factor = 1.0 if scaler is None else 512.0
        assert linear.close(net.update(), factor * (weights @ rows), 1e-10)
        found.append(nets.grads(net.parameters()) / factor)
    assert linear.close(found[0], found[1], 1e-12)


def test_weights_that_are_not_finite_are_not_kept() -> None:
    net, balancer = nets.build(), methods.create("mgda", 3, every=5)
    a, b, c = net.losses()
    balancer.backward([a, b, c * torch.nan], shared=net.shared())
    assert advance(net, balancer).isfinite().all()


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_any_number_of_tasks(tasks: int) -> None:
    net = nets.build(tasks)
    balancer = methods.create("mgda", tasks, every=2)
    for _ in range(2):
        net.clear()
        rows = net.jacobian()
        weights = balancer.backward(net.losses(), shared=net.shared()).weights
        assert linear.close(net.update(), weights @ rows, 1e-10)
