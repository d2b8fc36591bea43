"""FAMO, and the contract of methods that learn from the losses after the model's step."""

import copy
import math

import pytest
import torch
from torch import Tensor

import methods
from tests import linear, nets
from tests.inputs import gaussian

LOSSES = torch.tensor([0.05, 1.0, 30.0], dtype=torch.float64)


def backward(balancer: methods.Method, values: Tensor = LOSSES) -> Tensor:
    weights = balancer.backward(linear.losses_of(gaussian(len(values), 4), values)[1]).weights
    assert weights is not None
    return weights


def test_weights_are_a_convex_combination_in_proportion_to_z_over_d() -> None:
    """Divided by Σ z / D, not multiplied."""
    balancer = linear.create("famo", 3, bound=0.01)
    balancer.logits.copy_(torch.tensor([1.0, -0.5, 0.3]))
    share = balancer.logits.softmax(0) / (LOSSES - 0.01)
    weights = backward(balancer)
    assert torch.allclose(weights, share / share.sum())
    assert weights.sum().item() == pytest.approx(1.0)


def test_the_task_that_improved_most_loses_weight() -> None:
    balancer = linear.create("famo", 3, gamma=0.0)
    for _ in range(5):
        backward(balancer)
        balancer.after_step(list(LOSSES * torch.tensor([0.5, 0.9, 0.9])))
    assert balancer.logits[0] < balancer.logits[1]
    assert balancer.logits[1].item() == pytest.approx(balancer.logits[2].item())


def test_equal_relative_decreases_teach_nothing_and_decay_pulls_back() -> None:
    balancer = linear.create("famo", 3, gamma=0.0)
    backward(balancer)
    balancer.after_step(list(LOSSES * 0.5))
    assert bool((balancer.logits.abs() < 1e-6).all())
    decaying = linear.create("famo", 3, gamma=0.1)
    decaying.logits.copy_(torch.tensor([1.0, 0.0, -1.0]))
    backward(decaying)
    decaying.after_step(list(LOSSES * 0.5))
    assert decaying.logits[0] < 1.0
    assert decaying.logits[2] > -1.0


def test_two_backward_passes_without_the_losses_after_are_an_error() -> None:
    balancer = linear.create("famo", 3)
    backward(balancer)
    with pytest.raises(methods.MethodError, match=r"famo learns from the losses after .* call balancer.after_step\(losses\)") as error:
        backward(balancer)
    assert "\n" not in str(error.value)
    balancer.after_step(list(LOSSES))
    backward(balancer)


def test_losses_after_no_step_are_an_error() -> None:
    balancer = linear.create("famo", 3)
    with pytest.raises(methods.MethodError, match=r"famo: after_step\(\) has no step to follow"):
        balancer.after_step(list(LOSSES))
    backward(balancer)
    balancer.after_step(list(LOSSES))
    with pytest.raises(methods.MethodError, match=r"has no step to follow"):
        balancer.after_step(list(LOSSES))


def test_wrong_losses_after_the_step_are_errors_and_forgotten() -> None:
    balancer = linear.create("famo", 3)
    backward(balancer)
    with pytest.raises(methods.MethodError, match="built for 3 tasks, but got 2 losses"):
        balancer.after_step(list(LOSSES[:2]))
    balancer.after_step(LOSSES)  # one tensor is as good as three: nothing is back-propagated


def test_losses_after_the_step_go_by_their_names() -> None:
    one, two = linear.create("famo", 3), linear.create("famo", 3)
    for balancer in (one, two):
        balancer.backward(dict(zip("abc", linear.losses_of(gaussian(3, 4), LOSSES)[1], strict=True)))
    after = dict(zip("abc", LOSSES * torch.tensor([0.5, 0.9, 0.8]), strict=True))
    one.after_step(after)
    two.after_step({key: after[key] for key in "cab"})
    assert torch.equal(one.logits, two.logits)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_after_the_step_that_are_not_finite_leave_the_state(bad: float) -> None:
    balancer = linear.create("famo", 3)
    backward(balancer)
    before = copy.deepcopy({key: value for key, value in balancer.state_dict().items() if isinstance(value, Tensor)})
    balancer.after_step([LOSSES[0], torch.tensor(bad), LOSSES[2]])
    assert all(torch.equal(value, before[key]) for key, value in balancer.state_dict().items() if isinstance(value, Tensor))
    backward(balancer)


def test_a_state_saved_between_step_and_losses_goes_on() -> None:
    whole, fresh = linear.create("famo", 3), linear.create("famo", 3)
    backward(whole)
    fresh.load_state_dict(whole.state_dict())
    for balancer in (whole, fresh):
        balancer.after_step(list(LOSSES * torch.tensor([0.5, 0.9, 0.8])))
    assert torch.equal(whole.logits, fresh.logits)
    assert bool(whole.logits.any())


def test_other_methods_take_the_losses_after_the_step_and_ignore_them() -> None:
    for name in methods.names():
        balancer = linear.create(name, 3)
        if not balancer.reforward:
            balancer.after_step(list(LOSSES))


def test_a_plain_loop() -> None:
    net = nets.build()
    balancer = methods.create("famo", num_tasks=3)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    first = torch.stack(net.losses()).log().sum()
    for _ in range(30):
        balancer.backward(net.losses())
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            balancer.after_step(net.losses())
    assert torch.stack(net.losses()).log().sum() < first
    assert bool(balancer.logits.any())
    assert balancer.backward_passes == 30
