"""What a step computes for all seeds at once: functions of tensors alone, which :mod:`.graphs` traces, cuts in two and compiles.

Each takes the parameters ``rows [S, P]``, Adam's moments ``first`` and ``second``, its ``rates``, which seeds are ``alive [S]``, what the
methods decided (the ``decision``) and the batches, tensors ``[S, B, ...]``. It steps rows and moments in place and returns what the methods
look at, the losses ``[S, T]`` first; this must not depend on the decision, and the cut goes where the decision comes in.

Seeds do not depend on each other, so the gradient of a sum over them holds the gradient of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from benchmark.vectorized import adam
from benchmark.vectorized.stack import Forward, Layout
from methods.jacobian import products

Step = Callable[..., tuple[Tensor, ...]]

LATE = 6
"""Arguments of a step before the batches: rows, first, second, rates, alive, decision. All but the rows come after the cut."""


@dataclass(frozen=True)
class Passes:
    """The steps that there are for one problem."""

    forward: Forward
    layout: Layout

    def losses(
        self, rows: Tensor, first: Tensor, second: Tensor, rates: Tensor, alive: Tensor, decision: Tensor, *batch: Tensor
    ) -> tuple[Tensor, ...]:
        """Decided by the losses: weights ``[S, T]``. The step follows the gradient of Σ w_t L_t, heads included."""
        parameters = self._leaves(rows)
        values, _ = self.forward(parameters, batch)
        adam.update(rows, first, second, self._total(parameters, values, decision), rates, alive)
        return (_stacked(values),)

    def last(
        self, rows: Tensor, first: Tensor, second: Tensor, rates: Tensor, alive: Tensor, decision: Tensor, *batch: Tensor
    ) -> tuple[Tensor, ...]:
        """As :meth:`losses`, decided by the Gramians ``[S, T, T]`` of the last shared layer's gradients, which are returned as well."""
        parameters = self._leaves(rows)
        values, _ = self.forward(parameters, batch)
        layer = [parameters[index] for index in self.layout.last]
        gradients = torch.stack([_flat(_gradients(value, layer), layer) for value in values], dim=1)
        adam.update(rows, first, second, self._total(parameters, values, decision), rates, alive)
        return _stacked(values), vmap(products)(gradients, gradients)

    def shared(
        self, rows: Tensor, first: Tensor, second: Tensor, rates: Tensor, alive: Tensor, decision: Tensor, *batch: Tensor
    ) -> tuple[Tensor, ...]:
        """Decided by the Gramians of the shared gradients: weights ``[S, T]``. The trunk follows wᵀJ, the heads their plain gradient."""
        values, gradients, heads = self._jacobian(rows, batch)
        direction = torch.bmm(decision.unsqueeze(1), gradients).squeeze(1)
        adam.update(rows, first, second, torch.cat([direction, heads], dim=1), rates, alive)
        return values, vmap(products)(gradients, gradients)

    def jacobian(
        self, rows: Tensor, first: Tensor, second: Tensor, rates: Tensor, alive: Tensor, decision: Tensor, *batch: Tensor
    ) -> tuple[Tensor, ...]:
        """Decided by the whole Jacobians ``[S, T, P_shared]``: a direction ``[S, P_shared]``. The heads follow their plain gradient."""
        values, gradients, heads = self._jacobian(rows, batch)
        adam.update(rows, first, second, torch.cat([decision, heads], dim=1), rates, alive)
        return values, gradients

    def representation(
        self, rows: Tensor, first: Tensor, second: Tensor, rates: Tensor, alive: Tensor, decision: Tensor, *batch: Tensor
    ) -> tuple[Tensor, ...]:
        """Decided by the Gramians of the gradients at the representation, whose weighted sum is what the trunk gets to see."""
        parameters = self._leaves(rows)
        values, z = self.forward(parameters, batch)
        assert z is not None  # benchmark.vectorized.support
        trunk, heads = parameters[: self.layout.trunk], parameters[self.layout.trunk :]
        found = [_gradients(value, [z, *heads]) for value in values]
        gradients = torch.stack([_flat(each[:1], [z]) for each in found], dim=1)
        towards = torch.bmm(decision.unsqueeze(1), gradients).view_as(z)
        direction = torch.autograd.grad(z, trunk, towards, retain_graph=True, allow_unused=True)
        plain = torch.stack([_flat(each[1:], heads) for each in found]).sum(0)
        adam.update(rows, first, second, torch.cat([_flat(direction, trunk), plain], dim=1), rates, alive)
        return _stacked(values), vmap(products)(gradients, gradients)

    def _leaves(self, rows: Tensor) -> list[Tensor]:
        return [piece.detach().requires_grad_() for piece in self.layout.cut(rows)]

    def _total(self, parameters: list[Tensor], values: Sequence[Tensor], weights: Tensor) -> Tensor:
        """The gradients ``[S, P]`` of Σ w_t L_t."""
        total = torch.stack([(weights[:, t] * value).sum() for t, value in enumerate(values)]).sum()
        return _flat(_gradients(total, parameters), parameters)

    def _jacobian(self, rows: Tensor, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Losses ``[S, T]``, the shared gradients of each task ``[S, T, P_shared]`` and the heads' plain gradient ``[S, P_heads]``."""
        parameters = self._leaves(rows)
        values, _ = self.forward(parameters, batch)
        trunk, heads = parameters[: self.layout.trunk], parameters[self.layout.trunk :]
        found = [_gradients(value, parameters) for value in values]
        gradients = torch.stack([_flat(each[: len(trunk)], trunk) for each in found], dim=1)
        sums = [[each for each in of_head if each is not None] for of_head in list(zip(*found, strict=True))[len(trunk) :]]
        return _stacked(values), gradients, _flat([torch.stack(each).sum(0) if each else None for each in sums], heads)


def _stacked(values: Sequence[Tensor]) -> Tensor:
    return torch.stack([value.detach() for value in values], dim=1)


def _gradients(value: Tensor, tensors: Sequence[Tensor]) -> Sequence[Tensor | None]:
    return torch.autograd.grad(value.sum(), tensors, retain_graph=True, allow_unused=True)


def _flat(gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    """Side by side ``[S, ...]``; what a loss does not reach counts as zeros."""
    pieces = [torch.zeros_like(tensor) if gradient is None else gradient for gradient, tensor in zip(gradients, like, strict=True)]
    return torch.cat([piece.flatten(1) for piece in pieces], dim=1) if pieces else torch.empty(0)
