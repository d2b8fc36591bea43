"""Weights on top of a method's own, and the four scales of an update."""

import itertools
from typing import Any

import pytest
import torch

import methods
from tests import linear, nets
from tests.inputs import gaussian

NAMES = methods.names()
FACTS = {"initial_losses": [3.0, 1.0, 50.0], "prior_losses": [2.0, 0.5, 90.0]}


def step(name: str, **options: Any) -> tuple[nets.Net, torch.Tensor]:
    net = nets.build()
    taken = linear.backward(linear.create(name, 3, **FACTS, **options), net.losses, shared=net.shared())
    return net, taken.weights


@pytest.mark.parametrize("name", linear.WEIGHTED)
@pytest.mark.parametrize("priority", [[1, 2, 3], [0, 1, 1], [1, 0, 0], [0.0, 0.0, 7.0]], ids=str)
def test_priorities_multiply_the_weights_that_the_method_finds(name: str, priority: list[float]) -> None:
    net, weights = step(name, priority=priority)
    _, native = step(name)
    mean = sum(priority) / 3
    assert linear.close(weights, native * torch.tensor(priority, dtype=native.dtype) / mean, 1e-9)
    assert linear.close(net.update(), weights @ net.jacobian(), 1e-9, scale=(weights.abs().max() * net.jacobian().norm()))


@pytest.mark.parametrize("name", linear.WEIGHTED)
def test_only_the_ratios_of_priorities_matter(name: str) -> None:
    assert torch.equal(step(name, priority=[2, 1, 1])[1], step(name, priority=[4.0, 2.0, 2.0])[1])
    assert torch.equal(step(name, priority=[1, 1, 1])[1], step(name)[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [[1, 2], [1, -1, 2], [0, 0, 0], [1, float("nan"), 1], [1, float("inf"), 1], 3, ["a", 1, 1]], ids=str)
def test_wrong_priorities_are_errors(name: str, wrong: Any) -> None:
    with pytest.raises(methods.MethodError, match=r"priority is .*expected 3 numbers >= 0, not all zero"):
        linear.create(name, 3, priority=wrong)


@pytest.mark.parametrize("name", linear.WEIGHTED)
def test_sum_and_mean_differ_by_the_number_of_tasks(name: str) -> None:
    native, total, mean = (step(name, scale=scale)[1] for scale in ("native", "sum", "mean"))
    assert linear.close(total, 3.0 * mean)
    assert torch.equal(native, {"sum": total, "mean": mean}[methods.card(name).native_scale])


@pytest.mark.parametrize("name", linear.WEIGHTED)
def test_grad_norm_brings_the_update_to_the_norm_of_the_mean_gradient(name: str) -> None:
    jacobian = gaussian(3, 6, seed=2)
    scaled = linear.direction(name, jacobian, scale="grad_norm")
    assert scaled.norm().item() == pytest.approx(jacobian.mean(0).norm().item(), rel=1e-9)
    assert linear.close(linear.unit(scaled), linear.unit(linear.direction(name, jacobian)))
    update, weights = linear.step(linear.create(name, 3, scale="grad_norm", priority=[1, 2, 3]), jacobian)
    assert linear.close(update, weights @ jacobian, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_grad_norm_of_a_loss_method_counts_its_passes(name: str) -> None:
    net = nets.build()
    balancer = linear.create(name, 3, scale="grad_norm")
    linear.backward(balancer, net.losses, shared=net.shared())
    family, where = methods.card(name).family, methods.card(name).where
    if family == "several":
        batches = 2 if name == "forum" else 1 if name in linear.OBJECTIVE else 0  # whose losses are weighted
        assert balancer.backward_passes == linear.PASSES[name] + 3 * batches
    else:
        assert balancer.backward_passes == (4 if family == "loss" else 1 if where == "last" else 3)


def test_grad_norm_does_not_blow_up_what_rounding_leaves() -> None:
    for dtype, seed in itertools.product((torch.float32, torch.float64), range(20)):
        rows = gaussian(2, 50, seed).to(dtype)
        stationary = torch.cat([rows, -0.7 * rows[:1] - 0.2 * rows[1:]])
        assert linear.direction("mgda", stationary, scale="grad_norm").norm() <= 1e-5 * rows.norm()


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_scale_is_an_error(name: str) -> None:
    with pytest.raises(methods.MethodError, match=r"scale is 'meen'; expected one of native, sum, mean, grad_norm; did you mean 'mean'\?"):
        linear.create(name, 3, scale="meen")
