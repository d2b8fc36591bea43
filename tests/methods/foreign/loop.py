"""A loop for objects of other code."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import torch
from torch import Tensor

import methods
from tests import linear, nets


def train(balancer: methods.Method, steps: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    """All gradients of some steps on a net that moves in between, ``[steps, P]``."""
    net, found = nets.build(dtype=dtype), []
    for _ in range(steps):
        net.clear()
        balancer.backward(net.losses(), shared=net.shared())
        found.append(nets.grads(net.parameters()))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.01 * (0 if parameter.grad is None else parameter.grad.sign())
        linear.after_step(balancer, net.losses())
    return torch.stack(found)


def resumed(make: Callable[[int], methods.Method]) -> None:
    """A run that is saved, loaded into fresh and used objects, and copied, goes on identically."""
    whole = make(3)
    train(whole, 4)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    fresh, used, twin = make(5), make(6), copy.deepcopy(whole)
    train(used, 2)
    state = torch.load(file, weights_only=True)
    fresh.load_state_dict(state)
    used.load_state_dict(copy.deepcopy(state))
    expected = train(whole, 3)
    for other in (fresh, used, twin):
        assert torch.equal(train(other, 3), expected)
