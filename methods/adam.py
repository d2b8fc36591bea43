"""Adam for the few numbers that a method learns (Kingma & Ba 2015), with its state in buffers and never any weight decay.

``torch.optim`` would keep that state outside ``state_dict`` and costs over a second to import.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Adam(nn.Module):
    """First and second moments of a gradient of the given shape, bias-corrected."""

    def __init__(
        self, shape: tuple[int, ...], lr: float, dtype: torch.dtype = torch.float32, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        super().__init__()
        self.lr, self.betas = lr, betas
        self.register_buffer("first", torch.zeros(shape, dtype=dtype))
        self.register_buffer("second", torch.zeros(shape, dtype=dtype))
        self.register_buffer("steps", torch.zeros((), dtype=dtype))

    first: Tensor
    second: Tensor
    steps: Tensor

    @torch.no_grad()
    def step(self, value: Tensor, gradient: Tensor) -> None:
        """Moves ``value`` in place."""
        (beta1, beta2), steps = self.betas, self.steps.add_(1)
        gradient = gradient.to(self.first)
        first = self.first.lerp_(gradient, 1 - beta1) / (1 - beta1**steps)
        second = self.second.lerp_(gradient.square(), 1 - beta2) / (1 - beta2**steps)
        value.sub_(first.mul_(self.lr).div_(second.sqrt_().add_(1e-8)))
