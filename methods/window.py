"""What stands in for an epoch: the library sees steps only, so epochs of the papers are windows of a fixed number of steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FALSE, TRUE = torch.tensor([False, True], device="cpu").unbind()  # whatever the default device is when this is imported


class Window(nn.Module):
    """The mean of the losses over steps ``start`` to ``start + length - 1``, then kept."""

    def __init__(self, num_tasks: int, start: int, length: int) -> None:
        super().__init__()
        self.start, self.length = start, length
        self.register_buffer("bounds", torch.tensor([start, start + length]), persistent=False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("total", torch.zeros(num_tasks))

    bounds: Tensor
    seen: Tensor
    total: Tensor

    def see(self, losses: Tensor) -> Tensor:
        """Takes the detached losses ``[T]`` of this step; whether the window was complete before it ``[]``."""
        complete = self._by_numbers(losses) if self.seen.is_cpu else self._by_tensors(losses)
        self.seen.add_(1)
        return complete

    def _by_numbers(self, losses: Tensor) -> Tensor:
        """Where looking costs no wait for a device."""
        step = int(self.seen) - self.start
        if 0 <= step < self.length:
            self.total.add_(losses)
        return TRUE if step >= self.length else FALSE

    def _by_tensors(self, losses: Tensor) -> Tensor:
        begun, complete = (self.seen >= self.bounds).unbind()
        self.total.add_(losses * (begun ^ complete))
        return complete

    @property
    def mean(self) -> Tensor:
        """Of the losses ``[T]``, where the window is complete."""
        return self.total / self.length
