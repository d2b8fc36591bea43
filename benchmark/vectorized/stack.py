"""The models of several seeds as one matrix, and their losses as a function of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

import tasks

Forward = Callable[[list[Tensor], tuple[Tensor, ...]], tuple[tuple[Tensor, ...], Tensor | None]]
"""The T losses ``[S]`` and the representation ``[S, ...]`` from the parameters ``[S, ...]``, in a layout's order, and the batches."""


class _Caller(nn.Module):
    """Calls ``session.losses``; a module, so that ``functional_call`` can put other parameters in the model's place meanwhile."""

    def __init__(self, session: tasks.Session) -> None:
        super().__init__()
        self.model = session.model
        self._session = [session]

    def forward(self, *batch: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        losses, representation = self._session[0].losses(batch)
        return tuple(losses), representation


class Layout:
    """Where each parameter stands in a row ``[P]``: the shared ones first, in forward order, then the heads.

    Attributes:
        trunk: how many of the parameters are shared.
        last: which of them are the last shared layer, in the order of ``session.last_layer()``.
        shared, size: columns of the shared parameters, and of all (P).
    """

    def __init__(self, session: tasks.Session) -> None:
        named = {id(parameter): (name, parameter) for name, parameter in session.model.named_parameters()}
        shared, last = [id(p) for p in session.shared()], [id(p) for p in session.last_layer()]
        order = [*shared, *(key for key in named if key not in set(shared))]
        self.names = [named[key][0] for key in order]
        self.shapes = [named[key][1].shape for key in order]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.size = sum(self.sizes)
        self.shared = sum(self.sizes[: len(shared)])
        self.trunk = len(shared)
        self.last = [order.index(key) for key in last]

    def cut(self, rows: Tensor) -> list[Tensor]:
        """The parameters ``[..., *shape]`` in rows ``[..., P]``, as views."""
        before = rows.shape[:-1]
        return [piece.view(*before, *shape) for piece, shape in zip(torch.split(rows, self.sizes, -1), self.shapes, strict=True)]

    def row(self, model: nn.Module) -> Tensor:
        """The parameters of a model, copied."""
        parameters = dict(model.named_parameters())
        return torch.cat([parameters[name].detach().reshape(-1) for name in self.names])

    def load(self, row: Tensor, model: nn.Module) -> None:
        """Copies a row into a model."""
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            torch._foreach_copy_([parameters[name] for name in self.names], self.cut(row))


def forward_of(session: tasks.Session, layout: Layout) -> Forward:
    """The forward pass of any seeds, computed as ``session`` computes its own."""
    caller, names = _Caller(session), [f"model.{name}" for name in layout.names]

    def one(parameters: list[Tensor], batch: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor | None]:
        found: tuple[tuple[Tensor, ...], Tensor | None] = functional_call(caller, dict(zip(names, parameters, strict=True)), batch)
        return found

    return vmap(one)


class Batches:
    """The batches of all seeds, step by step: read for some steps at once, which costs a fraction of reading them one by one."""

    AHEAD = 2**23
    """Bytes that are read ahead at most: what has to stay in a cache."""

    def __init__(self, sessions: Sequence[tasks.Session], steps: int) -> None:
        self._sessions, self._steps = sessions, steps
        one: Sequence[Tensor] = sessions[0].batch(0)
        size = sum(tensor.nbytes for tensor in one) * len(sessions)
        self._ahead = max(1, min(self.AHEAD // max(size, 1), 64))
        self._first = self._stop = 0
        self._rows: list[Tensor] = []

    def at(self, step: int) -> tuple[Tensor, ...]:
        """The batches ``[S, B, ...]`` of a step (0, 1, ...); asked for in order."""
        if not self._first <= step < self._stop:
            count = min(self._ahead, self._steps - step)
            found: list[Any] = [session.batches(step, count) for session in self._sessions]
            self._rows = [torch.stack(tensors, dim=1) for tensors in zip(*found, strict=True)]
            self._first, self._stop = step, step + count
        return tuple(tensor[step - self._first] for tensor in self._rows)
