"""Adam on a matrix of parameters, written out: what ``torch.optim.Adam(fused=True)`` computes, in the order in which it does."""

from __future__ import annotations

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def rates(step: int, learning_rate: float, device: torch.device) -> Tensor:
    """What depends on the step (counted from 1) alone: lr / (1 - β1^step) and √(1 - β2^step)."""
    return torch.tensor([learning_rate / (1 - BETA1**step), (1 - BETA2**step) ** 0.5], dtype=torch.float32, device=device)


def update(rows: Tensor, first: Tensor, second: Tensor, gradient: Tensor, rates: Tensor, alive: Tensor) -> None:
    """Steps the rows ``[S, P]`` and both moments in place, those of the seeds that are ``alive`` ``[S]``."""
    mean = first + (1 - BETA1) * (gradient - first)
    square = BETA2 * second + (1 - BETA2) * gradient * gradient
    moved = rows - rates[0] * mean / (square.sqrt() / rates[1] + EPS)
    keep = alive.unsqueeze(1)
    rows.copy_(torch.where(keep, moved, rows))
    first.copy_(torch.where(keep, mean, first))
    second.copy_(torch.where(keep, square, second))
