"""The rows of J of two or three tasks, left where autograd puts them: no buffer is filled, and the Gramian is taken pair by pair.

For so few tasks the T(T+1)/2 inner products cost less than to copy the gradients into one buffer and to take its product, and what is
added up for the update has the shapes of the parameters already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from methods import jacobian

FEW = 3
"""Tasks up to which it pays."""
LEAST = 2 * jacobian.COLUMNS
"""Elements of all gradients together from which on it pays."""
SMALL = 4096
"""Elements of a gradient up to which it is put together with others: so many cost less than a further inner product."""


class Pairs:
    """Takes what :class:`methods.jacobian.Rows` takes and gives what it gives, for one step."""

    def __init__(self, tensors: Sequence[Tensor], num_rows: int) -> None:
        self.tensors = tensors
        self.like = tensors[0].detach()
        self.gradients: list[list[Tensor]] = [[] for _ in range(num_rows)]

    def fill(self, row: int, gradients: Sequence[Tensor | None]) -> None:
        """Keeps one row; a tensor that the loss does not reach counts as zeros."""
        self.gradients[row] = [
            torch.zeros_like(tensor) if gradient is None else (gradient.to_dense() if gradient.is_sparse else gradient).contiguous()
            for tensor, gradient in zip(self.tensors, gradients, strict=True)
        ]

    def clear(self, row: int) -> None:
        self.fill(row, [None] * len(self.tensors))

    def gramian(self) -> list[list[float]]:
        """J Jᵀ ``[T, T]``: inner products of tensors in their own dtype, added up in float64."""
        small = [i for i, tensor in enumerate(self.tensors) if tensor.numel() <= SMALL]
        large = [i for i, tensor in enumerate(self.tensors) if tensor.numel() > SMALL]
        parts = [[gradients[i].view(-1) for i in large] for gradients in self.gradients]
        if small:
            for part, gradients in zip(parts, self.gradients, strict=True):
                part.append(torch.cat([gradients[i].view(-1) for i in small]))
        tasks = range(len(parts))
        total = [[0.0] * len(parts) for _ in tasks]
        with jacobian.exact_matmul():
            for of_tasks in zip(*parts, strict=True):  # tensor by tensor: its gradients are in the caches for all their products
                for a, b in combinations_with_replacement(tasks, 2):
                    total[a][b] += torch.dot(of_tasks[a], of_tasks[b]).item()
        return [[total[min(a, b)][max(a, b)] for b in tasks] for a in tasks]

    def combine(self, weights: Tensor) -> list[Tensor]:
        """wᵀJ, in the shapes of the tensors; in memory of its own, as somebody may hold a gradient that a hook has shown."""
        (first, *others), (weight, *factors) = self.gradients, weights.tolist()
        total = list(torch._foreach_mul(first, weight))
        for gradients, factor in zip(others, factors, strict=True):
            torch._foreach_add_(total, gradients, alpha=factor)
        return total

    def pieces(self, combined: Sequence[Tensor], like: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """(index, piece in that tensor's shape) for every tensor."""
        return enumerate(combined)


def suit(tensors: Sequence[Tensor], num_rows: int) -> bool:
    """Whether pairs are taken rather than a buffer: on another device than the host a start of a product costs more than a copy."""
    dtype = tensors[0].dtype
    return (
        num_rows <= FEW
        and dtype in (torch.float32, torch.float64)
        and all(tensor.dtype is dtype and tensor.device.type == "cpu" and tensor.is_contiguous() for tensor in tensors)
        and sum(tensor.numel() for tensor in tensors) >= LEAST
    )
