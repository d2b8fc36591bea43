"""What the families that look at task gradients share."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Method
from methods.errors import MethodError


class GradientMethod(Method):
    """What the families that look at gradients share."""

    def _seeds(self, scaler: float) -> list[float]:
        """What each loss is back-propagated with: its priority, times the scale of a GradScaler."""
        return [priority * scaler for priority in self.priority or [1.0] * self.num_tasks]

    def _combining(self, weights: Tensor) -> Tensor:
        """What combines the rows: row t holds priority_t · scaler · g_t already, except that of a priority 0, which holds scaler · g_t."""
        if self.priority is None or all(self.priority):
            return weights
        return weights * torch.tensor([float(p > 0) for p in self.priority], dtype=weights.dtype)

    def _reached(self, reached: list[bool]) -> list[bool]:
        """Which shared parameters any loss reaches; none means that the wrong ones were given, and the right ones not balanced."""
        if not any(reached):
            raise MethodError(f"{self.card.name}: no loss depends on a shared parameter; expected those of the model that made the losses")
        return reached
