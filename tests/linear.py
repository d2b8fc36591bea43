"""Losses that are linear in the parameters, so that the task gradients are exactly the rows of a given J."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import methods


def create(name: str, num_tasks: int, **options: Any) -> methods.Method:
    """A method that has all the facts it may ask for, calibrated where it wants to be; facts are 1 unless given."""
    facts = {"initial_losses": [1.0] * num_tasks, "prior_losses": [1.0] * num_tasks, **options}
    balancer = methods.create(name, num_tasks, **facts)
    if balancer.calibration_batches:
        balancer.calibrate(torch.tensor([facts["initial_losses"]]))
    return balancer


def weighted() -> list[str]:
    """The methods whose update is a weighted sum of the task gradients."""
    return [name for name in methods.names() if methods.card(name).family != "jacobian"]


def losses_of(jacobian: Tensor, values: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """θ = 0 and losses L_t = values_t + <g_t, θ>, 1 by default."""
    theta = torch.nn.Parameter(torch.zeros(jacobian.shape[1], dtype=jacobian.dtype))
    values = torch.ones(len(jacobian), dtype=jacobian.dtype) if values is None else values
    return theta, [value + row @ theta for value, row in zip(values, jacobian, strict=True)]


def step(balancer: methods.Method, jacobian: Tensor, values: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor | None]:
    """(direction ``[P]``, weights ``[T]``) of one backward pass."""
    theta, losses = losses_of(jacobian, values)
    taken = balancer.backward(losses, shared=[theta], **options)
    return theta.grad, taken.weights


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
