"""Adam for the few numbers that a method learns (Kingma & Ba 2015), with its state in buffers and never any weight decay.

``torch.optim`` would keep that state outside ``state_dict`` and costs over a second to import; the operator under it does neither.
"""

from __future__ import annotations

from typing import Any, Self

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
        self.register_buffer("steps", torch.zeros((), dtype=torch.float32))

    first: Tensor
    second: Tensor
    steps: Tensor

    def step(self, value: Tensor, gradient: Tensor) -> None:
        """Moves ``value`` in place."""
        first, (beta1, beta2) = self.first, self.betas
        moved = value.detach().to(first.dtype).contiguous()  # the operator wants one dtype, and pairs elements by their addresses
        torch._fused_adam_(
            [moved],
            [gradient.to(first).contiguous()],
            [first],
            [self.second],
            [],
            [self.steps.add_(1)],
            lr=self.lr,
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
        if moved.data_ptr() != value.data_ptr():
            value.detach().copy_(moved)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """The steps stay in float32, as the operator wants them and as ``.half()`` could not count them."""
        steps = self.steps
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.steps = steps.to(self.first.device)
        return self
