"""GradNorm's written-out gradient, its guard, its fixed point, where it looks."""

import math

import pytest
import torch
from torch import Tensor

import methods
from tests import linear, nets
from tests.inputs import gaussian

START = [3.0, 1.0, 50.0]


def create(**options: object) -> methods.Method:
    return linear.create("gradnorm", 3, **{"initial": "theory", "initial_losses": START, **options})


def algorithm_1(net: nets.Net, w: Tensor, layer: list[torch.nn.Parameter], alpha: float) -> Tensor:
    """∂L_grad/∂w by a second backward pass, as the paper does it, on the concatenated gradient of the whole layer."""
    w = w.clone().requires_grad_()
    losses = net.losses()
    norms = torch.stack(
        [nets.flat(torch.autograd.grad(w[t] * loss, layer, create_graph=True, retain_graph=True)).norm() for t, loss in enumerate(losses)]
    )
    progress = torch.stack(losses).detach() / torch.tensor(START, dtype=torch.float64)
    target = (norms.mean() * (progress / progress.mean()) ** alpha).detach()
    return torch.autograd.grad((norms - target).abs().sum(), w)[0]


class Spy(torch.nn.Module):
    """Stands in for Adam: keeps the gradient and takes a plain step."""

    def step(self, value: Tensor, gradient: Tensor) -> None:
        self.seen = gradient.clone()
        value.sub_(0.01 * gradient / gradient.abs().max().clamp_min(1e-300))


@pytest.mark.parametrize("norm", [False, True], ids=["linear last", "norm after it"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.5])
def test_the_written_out_gradient_is_that_of_a_second_backward(alpha: float, norm: bool) -> None:
    net = nets.build(norm=norm)
    layer = net.shared()[2:]  # weight and bias of the last linear layer, and the norm behind it
    balancer = create(alpha=alpha)
    balancer.adam = Spy()
    for _ in range(5):
        before = balancer.w.clone()
        net.clear()
        taken = balancer.backward(net.losses(), shared=net.shared())
        assert linear.close(balancer.adam.seen, algorithm_1(net, before, layer, alpha), 1e-9)
        assert linear.close(taken.weights, before)  # the model follows the weights of before the step


def test_weights_stay_positive_and_sum_to_the_number_of_tasks() -> None:
    """At loss scales 1 : 1000 the article's code drives a weight below zero after 41 steps."""
    jacobian = gaussian(2, 5) * torch.tensor([[1.0], [1000.0]])
    balancer = linear.create("gradnorm", 2, alpha=1.5)
    smallest = math.inf
    for step in range(200):
        values = torch.tensor([1.0, 1000.0], dtype=torch.float64) * 0.99**step
        weights = linear.step(balancer, jacobian, values)[1]
        smallest = min(smallest, float(weights.min()))
        assert balancer.w.sum().item() == pytest.approx(2.0, abs=1e-12)
    assert 0 < smallest < 0.01  # it gets as far as the guard


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_frozen_norms_and_rates_lead_to_weights_in_proportion_to_rate_over_norm(alpha: float) -> None:
    jacobian = gaussian(3, 6) * torch.tensor([[1.0], [2.0], [0.5]])
    values = torch.tensor([1.5, 0.7, 30.0], dtype=torch.float64)
    balancer = create(alpha=alpha, lr=0.002)
    for _ in range(1000):
        linear.step(balancer, jacobian, values)
    progress = values / torch.tensor(START, dtype=torch.float64)
    expected = (progress / progress.mean()) ** alpha / jacobian.norm(dim=1)
    assert linear.close(balancer.w, 3.0 * expected / expected.sum(), 2e-3)


def test_the_first_batch_settles_the_initial_losses() -> None:
    balancer = linear.create("gradnorm", 3, initial="first")
    values = torch.tensor([4.0, 0.1, 7.0], dtype=torch.float64)
    assert linear.step(balancer, gaussian(3, 4), values)[1].tolist() == [1.0, 1.0, 1.0]
    assert balancer.start.tolist() == values.tolist()


def test_it_looks_at_the_last_layer_alone_and_passes_once() -> None:
    net = nets.build()
    balancer = create()
    balancer.adam = Spy()
    for count in range(1, 4):
        net.clear()
        balancer.backward(net.losses(), shared=net.shared())
        assert balancer.backward_passes == count


@pytest.mark.parametrize("wrap", [lambda layer: layer, lambda layer: layer.parameters(), lambda layer: list(layer.parameters())])
def test_another_layer_can_be_named(wrap: object) -> None:
    net = nets.build()
    first = net.trunk[0]
    balancer = create()
    balancer.adam = Spy()
    before = balancer.w.clone()
    balancer.backward(net.losses(), last_layer=wrap(first))  # the trunk need not be given then
    assert linear.close(balancer.adam.seen, algorithm_1(net, before, list(first.parameters()), 1.5))


def test_a_layer_without_parameters_is_an_error() -> None:
    net = nets.build()
    with pytest.raises(methods.MethodError, match="no parameter in last_layer requires a gradient"):
        create().backward(net.losses(), shared=net.shared(), last_layer=[])
    with pytest.raises(methods.MethodError, match="needs the shared parameters"):
        create().backward(net.losses())


def test_a_task_that_misses_the_layer_has_no_say_and_keeps_its_head() -> None:
    balancer = linear.create("gradnorm", 3, initial="first")
    jacobian = gaussian(3, 4)
    jacobian[1] = 0
    for _ in range(3):
        weights = linear.step(balancer, jacobian)[1]
    assert bool((weights > 0).all())
    assert weights.sum().item() == pytest.approx(3.0)
