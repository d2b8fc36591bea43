"""The rows of J of two or three tasks, left where autograd puts them: no buffer is filled, and the Gramian is taken pair by pair.

For so few tasks the T(T+1)/2 inner products cost less than to copy the gradients into one buffer and to take its product, and what is
added up for the update has the shapes of the parameters already.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from methods import graph, jacobian

FEW = 3
"""Tasks up to which it pays."""
LEAST = 2 * jacobian.COLUMNS
"""Elements of all gradients together from which on it pays."""
SMALL = 4096
"""Elements of a gradient up to which it is put together with others: so many cost less than a further inner product."""
PIECE = 2**16
"""Elements that are multiplied and added up in float32 at once, in many sums side by side: a million lose a digit (measured: 10 eps)."""


class Pairs:
    """Takes what :class:`methods.jacobian.Rows` takes and gives what it gives, for one step."""

    def __init__(self, tensors: Sequence[Tensor], num_rows: int) -> None:
        self.tensors = tensors
        self.gradients: list[list[Tensor]] = [[] for _ in range(num_rows)]
        self.like = torch.empty(0, dtype=tensors[0].dtype)

    def fill(self, row: int, gradients: Sequence[Tensor | None]) -> None:
        """Keeps one row; a tensor that the loss does not reach counts as zeros."""
        dtype = self.like.dtype
        kept = self.gradients[row] = []
        for tensor, gradient in zip(self.tensors, gradients, strict=True):
            if gradient is None:
                gradient = torch.zeros_like(tensor)
            elif gradient.is_sparse:
                gradient = gradient.to_dense()
            elif gradient.dtype is not dtype or not gradient.is_contiguous():
                gradient = gradient.to(dtype).contiguous()
            kept.append(gradient if alone(gradient) else gradient.clone())

    def clear(self, row: int) -> None:
        self.fill(row, [None] * len(self.tensors))

    def gramian(self) -> list[list[float]]:
        """J Jᵀ ``[T, T]``: inner products of pieces in their own dtype, added up in float64; what their dtype cannot hold is infinite."""
        sizes = [tensor.numel() for tensor in self.tensors]
        parts: list[list[Tensor]] = []
        for gradients in self.gradients:
            flat = [gradient.view(-1) for gradient in gradients]
            small = [each for each, size in zip(flat, sizes, strict=True) if size <= SMALL]
            large = [each for each, size in zip(flat, sizes, strict=True) if size > SMALL]
            if len(small) > 1:
                small = [torch.cat(small)]
            parts.append([piece for each in (*large, *small) for piece in ((each,) if len(each) <= PIECE else torch.split(each, PIECE))])
        tasks = range(len(parts))
        total = [[0.0] * len(parts) for _ in tasks]
        with jacobian.exact_matmul():
            for of_tasks in zip(*parts, strict=True):  # piece by piece: it is in the caches for all its products
                for a, b in combinations_with_replacement(tasks, 2):
                    total[a][b] += torch.dot(of_tasks[a], of_tasks[b]).item()
        largest = torch.finfo(self.like.dtype).max
        bounded = [[x if abs(x) <= largest else x * math.inf for x in row] for row in total]
        return [[bounded[min(a, b)][max(a, b)] for b in tasks] for a in tasks]

    def combine(self, weights: Tensor) -> list[Tensor]:
        """wᵀJ, in the shapes of the tensors; in memory of its own, as somebody may hold a gradient that autograd has shown."""
        (first, *others), (weight, *factors) = self.gradients, weights.to(self.like).tolist()
        total = list(torch._foreach_mul(first, weight))
        for gradients, factor in zip(others, factors, strict=True):
            torch._foreach_add_(total, gradients, alpha=factor)
        return total

    def pieces(self, combined: Sequence[Tensor], like: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """(index, piece in that tensor's shape) for every tensor."""
        return enumerate(combined)


def alone(tensor: Tensor) -> bool:
    """Whether no other tensor has its memory.

    Of the two leaves of a sum autograd may keep views of one memory, and later add the next task's gradient to that of the other leaf.
    """
    storage = tensor.untyped_storage()  # counts as well
    return torch._C._storage_Use_Count(storage._cdata) == 2


def suit(tensors: Sequence[Tensor], num_rows: int) -> bool:
    """Whether pairs are taken rather than a buffer.

    Not on another device than the host, where a start of a product costs more than a copy, and not where hooks on parameters see gradients,
    as they may keep and change them.
    """
    dtype = tensors[0].dtype
    return (
        num_rows <= FEW
        and dtype in (torch.float32, torch.float64)
        and all(tensor.dtype is dtype and tensor.device.type == "cpu" and tensor.is_contiguous() for tensor in tensors)
        and not any(map(graph.hooked, tensors))
        and sum(tensor.numel() for tensor in tensors) >= LEAST
    )
