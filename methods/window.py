"""What stands in for an epoch: the library sees steps only, so epochs of the papers are windows of a fixed number of steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Window(nn.Module):
    """The mean of the losses over steps ``start`` to ``start + length - 1``, then kept."""

    def __init__(self, num_tasks: int, start: int, length: int) -> None:
        super().__init__()
        self.start, self.length = start, length
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("total", torch.zeros(num_tasks))

    seen: Tensor
    total: Tensor

    @torch.no_grad()
    def see(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """(whether the window was complete before this step ``[]``, its mean so far ``[T]``); takes the losses ``[T]`` of this step."""
        seen, total = self.seen, self.total
        complete, mean = seen >= self.start + self.length, total / self.length
        total.add_(losses * ((seen >= self.start) & ~complete))
        seen.add_(1)
        return complete, mean.to(losses)
