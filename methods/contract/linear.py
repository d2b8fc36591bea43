"""Losses that are linear in the parameters, so that the task gradients are exactly the rows of a given J."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import methods
from methods.base import Losses


def create(name: str, num_tasks: int, **options: Any) -> methods.Method:
    """A method that has all the facts it may ask for, calibrated where it wants to be; facts are 1 unless given."""
    facts = {"initial_losses": [1.0] * num_tasks, "prior_losses": [1.0] * num_tasks, **options}
    balancer = methods.create(name, num_tasks, **facts)
    if balancer.calibration_batches:
        balancer.calibrate(torch.tensor([facts["initial_losses"]]))
    return balancer


def card(name: str) -> methods.Card:
    """The card of a method; of an object to adapt, that with the family which is known when it is built."""
    return create(name, 2).card if ":" in name else methods.card(name)


def theory(name: str) -> dict[str, str]:
    """Has the losses of the untrained network told, where a method can be told them, instead of taking them from its first step."""
    return {h.name: "theory" for h in card(name).hyperparameters if "theory" in h.choices}


def losses_of(jacobian: Tensor, values: Tensor | None = None) -> tuple[torch.nn.Parameter, list[Tensor]]:
    """θ = 0 and losses L_t = values_t + <g_t, θ>, 1 by default."""
    theta = torch.nn.Parameter(torch.zeros(jacobian.shape[1], dtype=jacobian.dtype))
    return theta, losses_at(theta, jacobian, values)


def losses_at(theta: Tensor, jacobian: Tensor, values: Tensor | None = None) -> list[Tensor]:
    """The same losses at the θ of now."""
    values = torch.ones(len(jacobian), dtype=jacobian.dtype) if values is None else values
    return [value + row @ theta for value, row in zip(values, jacobian, strict=True)]


def backward(balancer: methods.Method, losses: Callable[[], Losses], **given: Any) -> methods.Step:
    """``balancer.backward``; every further batch that the method asks for is the same again, at the parameters as they then are."""
    if balancer.extra_batches:
        given["evaluate"] = lambda k: losses()
    return balancer.backward(losses(), **given)


def evaluate(balancer: methods.Method, theta: Tensor, jacobian: Tensor, values: Tensor) -> Callable[[int], Losses] | None:
    """The further batches of a method that asks for some: the same losses again."""
    return (lambda k: losses_at(theta, jacobian, values)) if balancer.extra_batches else None


def step(balancer: methods.Method, jacobian: Tensor, values: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor | None]:
    """(direction ``[P]``, weights ``[T]``) of one backward pass."""
    theta, losses = losses_of(jacobian, values)
    taken = backward(balancer, lambda: losses_at(theta, jacobian, values), shared=[theta], **options)
    values = torch.stack(losses).detach()
    assert theta.grad is not None
    falls = (jacobian @ theta.grad) / values.abs().clamp_min(1e-8)  # what a step does to first order, relative; then at most a tenth
    after_step(balancer, list(values * (1 - falls / (10 * falls.abs().max().clamp_min(torch.finfo(falls.dtype).tiny)))))
    return theta.grad, taken.weights


def after_step(balancer: methods.Method, losses: Losses) -> None:
    """What a loop owes a method that learns from the losses after the step."""
    if balancer.reforward:
        with torch.no_grad():
            balancer.after_step(losses)


def direction(name: str, jacobian: Tensor, values: Tensor | None = None, **options: Any) -> Tensor:
    """The direction of a fresh method's first step."""
    return step(create(name, len(jacobian), **options), jacobian, values)[0]


def gramian(jacobian: Tensor) -> Tensor:
    return jacobian @ jacobian.T


def unit(vector: Tensor) -> Tensor:
    norm = vector.norm()
    return vector / norm if norm > 0 else vector


def close(actual: Tensor, expected: Tensor, relative: float = 1e-9, scale: float | Tensor | None = None) -> bool:
    """‖actual - expected‖ within a fraction of ``scale`` (‖expected‖ unless given)."""
    size = expected.norm() if scale is None else torch.as_tensor(scale)
    return bool((actual - expected).norm() <= relative * size)
