"""Methods that see how the task gradients lie to each other."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from methods import graph, jacobian, layers, layerwise, pairs
from methods.base import Given, Step
from methods.errors import MethodError
from methods.families.gradient import GradientMethod
from methods.graph import Root
from methods.layers import Plan
from methods.layerwise import Layerwise, Scratch


@dataclass(frozen=True, slots=True)
class Host:
    """G, the losses and what else was asked for, as the columns of one table ``[T, T + 1 + ...]``.

    ``like`` has the dtype of the gradients, whose rounding ``eps`` is that of G, and their device.
    """

    table: NDArray[np.float64]
    like: Tensor

    @property
    def eps(self) -> float:
        return torch.finfo(self.like.dtype).eps

    @property
    def gramian(self) -> NDArray[np.float64]:
        return self.table[:, : len(self.table)]

    @property
    def losses(self) -> NDArray[np.float64]:
        return self.table[:, len(self.table)]

    def cancels(self) -> bool:
        """Whether some G_tt is so small beside the last column, what its rounding is relative to, that the rounding would show."""
        return bool((self.table[:, -1] > layerwise.CANCELLATION * self.table.diagonal()).any())


class GramianMethod(GradientMethod):
    """T weights from the Gramian of the task gradients. T backward passes; heads get their own plain gradient.

    With ``where == "last"`` the gradients are those of the last shared layer alone, and the update is that of the weighted losses, heads
    included, by one backward pass. With ``where == "representation"`` they are those at the trunk's output, and one backward pass through
    the trunk follows.

    G is taken in the gradients' precision, float32 at least: there, norms below 1e-19 count as zero and above 1e19 as infinite.
    """

    from_gramian: ClassVar[bool] = True
    zero_rows: ClassVar[str] = "absent"
    """``absent``: a task whose gradient is zero gets weight 0 and ``weights`` sees the others only; ``seen``: ``weights`` sees them all."""

    rounding: float = torch.finfo(torch.float64).eps
    """Relative rounding of the Gramian that ``weights`` is given, that of the gradients' dtype: what is below it is zero."""

    def __init__(self, num_tasks: int, **options: Any) -> None:
        super().__init__(num_tasks, **options)
        self._scratch = Scratch()
        self._held: Tensor | None = None
        self._age = 0
        self._gramian: Tensor | None = None

    def get_extra_state(self) -> dict[str, Any]:
        return {**super().get_extra_state(), "held": None if self._held is None else self._held.tolist(), "age": self._age}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self._held = None if state["held"] is None else torch.tensor(state["held"], dtype=torch.float64)
        self._age = state["age"]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_scratch": Scratch(), "_gramian": None}

    @abstractmethod
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights ``[T]`` from G = J Jᵀ ``[T, T]`` and losses ``[T]``, all float64 on the host, all finite; some row is not zero."""

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """State stays on the host in float64, where the T x T problem is solved: ``.to()``, ``.cuda()`` and ``.half()`` leave it there."""
        return self

    @property
    def where(self) -> str:
        """Where the gradients are taken: ``shared``, ``last`` or ``representation``."""
        return self.card.where

    def _step(self, losses: list[Tensor], given: Given) -> Step:
        values = self._values(losses)
        roots = self._roots(losses, given)
        vars(self)["_gramian"] = None
        if self._held is not None and self._age < self.every:
            weights = self._held
            self._backward_held(roots, weights, given)
        else:
            weights = self._backward(roots, values, given)
            solved = self.every > 1 and bool(weights.isfinite().all() & weights.any())
            self._held, self._age = weights if solved else None, 0
        self._age += 1
        return Step(values, self._prioritised(weights).to(values, non_blocking=True, copy=True), self._gramian)

    def _prioritised(self, weights: Tensor) -> Tensor:
        return weights if self.priority is None else weights * torch.tensor(self.priority, dtype=torch.float64)

    def weigh(self, gramian: Tensor, losses: Tensor) -> Tensor:
        """Weights ``[T]`` for the Gramian of the gradients that :attr:`where` names and losses ``[T]``, scale and priority included.

        For a caller who takes the gradients and makes the update: float64 on the host, solved at every call, whatever ``every`` says. Not
        finite in: nan out, state untouched.
        """
        with torch.enable_grad():  # as in backward
            weights = self._solve(self._host(gramian, losses), [1.0] * self.num_tasks).detach()
        self._took({"shared": "rows"}.get(self.where, self.where), self.num_tasks if self.where == "shared" else 1)
        return self._prioritised(weights)

    def _backward(self, roots: list[Root | None], values: Tensor, given: Given) -> Tensor:
        """Weights ``[T]``, float64 on the host, from the task gradients; the update with them is in ``.grad``."""
        if self.where == "last":
            weights = self._backward_last(roots, values, given)
        elif self.where == "representation":
            weights = self._backward_representation(roots, values, self._representation(given), given.scaler)
        else:
            weights = self._backward_shared(roots, values, self._shared(given.shared), given)
        return weights

    def _backward_last(self, roots: list[Root | None], values: Tensor, given: Given) -> Tensor:
        named = given.last_layer is not None
        shared = [] if named and given.shared is None else self._shared(given.shared)
        layer = self._shared(given.last_layer, "last_layer") if named else last_matrix(shared)
        plan = layers.plan_of(layer, roots, shared, self.path == "layers") if self.path != "rows" and self._free(given) else None
        if plan is None:
            self._may_walk()
            rows = self._rows_of(layer)
            jacobian.gradient_rows(roots, layer, rows)
            weights = self._solve(self._host_of(rows, values), [1.0] * self.num_tasks)
            self._backward_total(roots, weights, given.scaler)
            return weights
        seeds = [given.scaler] * self.num_tasks
        gradients = Layerwise(plan, layer, self.num_tasks, self._scratch)
        gradients.backward([root for root in roots if root is not None], seeds, followed=True)
        weights = self._solve_layers(gradients, values, seeds)
        gradients.follow([weight * priority for weight, priority in zip(weights.tolist(), self._seeds(1.0), strict=True)])
        self._took(f"last, {plan.summary}", 1)
        return weights

    def _may_walk(self) -> None:
        """Refuses to go task by task where ``path`` says otherwise."""
        if self.path == "layers":
            raise MethodError(
                f"{self.card.name}: path is 'layers', but these losses cannot be taken so; expected two tasks or more with gradients and "
                "priorities, linear layers of one dtype that the trunk alone uses, no hooks and no checkpoints: path='auto' decides"
            )

    def _free(self, given: Given) -> bool:
        """Whether nobody listens to what comes back at the representation."""
        z = given.representation
        return z is None or not (z._backward_hooks or z.retains_grad)

    def _representation(self, given: Given) -> Tensor:
        z = given.representation
        if z is None or not z.requires_grad:
            what = "got none" if z is None else "the one given is detached from the trunk"
            raise MethodError(f"{self.card.name} works on the representation, but {what}: backward(losses, representation=z, ...)")
        return z

    def _backward_shared(self, roots: list[Root | None], values: Tensor, shared: list[nn.Parameter], given: Given) -> Tensor:
        scaler = given.scaler
        seeds = self._seeds(scaler)
        taken_apart = self.path != "rows" and all(seeds) and self._free(given)
        plan = layers.plan(roots, shared, self.path == "layers") if taken_apart else None
        if plan is not None:
            return self._backward_layers(plan, [root for root in roots if root is not None], values, shared, seeds)
        self._may_walk()
        rows = self._rows_of(shared)
        reached = self._reached(jacobian.backward_rows(roots, seeds, shared, rows, unseeded=scaler))
        self._took("rows", self.num_tasks)
        weights = self._solve(self._host_of(rows, values), [seed or scaler for seed in seeds])
        jacobian.deposit(shared, rows.pieces(rows.combine(self._combining(weights)), shared), reached)
        return weights

    def _backward_layers(self, plan: Plan, roots: list[Root], values: Tensor, shared: list[nn.Parameter], seeds: Sequence[float]) -> Tensor:
        gradients = Layerwise(plan, shared, self.num_tasks, self._scratch)
        gradients.backward(roots, seeds)
        gradients.deposit_heads()
        self._took(plan.summary, self.num_tasks)
        weights = self._solve_layers(gradients, values, seeds)
        for index, piece in gradients.combine(weights):
            jacobian.accumulate(shared[index], piece)
        return weights

    def _solve_layers(self, gradients: Layerwise, values: Tensor, seeds: Sequence[float]) -> Tensor:
        gramian, bound = gradients.gramian()
        host = self._host(gramian, values, bound)
        if host.cancels():
            self.count("layers_cancelled")
            gradients.by_rows()
            host = self._host(gradients.gramian()[0], values)
        return self._solve(host, seeds)

    def _backward_representation(self, roots: list[Root | None], values: Tensor, z: Tensor, scaler: float) -> Tensor:
        seeds = self._seeds(scaler)
        rows = self._buffer([z])
        jacobian.representation_rows(roots, seeds, z, rows, unseeded=scaler)
        weights = self._solve(self._host(rows.gramian(), values), [seed or scaler for seed in seeds])
        ((_, gradient),) = rows.pieces(rows.combine(self._combining(weights)), [z])
        torch.autograd.backward(z, gradient)
        self._took("representation", 1)
        return weights

    def _backward_total(self, roots: Sequence[Root | None], weights: Tensor, scaler: float) -> None:
        """One backward pass of Σ w_t L_t, heads included."""
        factors = zip(roots, weights.tolist(), self._seeds(scaler), strict=True)
        total = [(root, weight * seed) for root, weight, seed in factors if root is not None]
        if total:
            torch.autograd.backward([root.start for root, _ in total], [root.seed(factor) for root, factor in total])
        self._took("last", 1)

    def _backward_held(self, roots: list[Root | None], weights: Tensor, given: Given) -> None:
        """One backward pass with weights of an earlier step, which act where the heads meet the trunk; heads get their plain gradient."""
        if self.where == "last":
            self._backward_total(roots, weights, given.scaler)
            return
        seeds = self._seeds(given.scaler)
        if self.where == "representation" and given.shared is None:
            z = self._representation(given)
            rows = self._buffer([z])
            jacobian.representation_rows(roots, seeds, z, rows, unseeded=0.0)
            ((_, gradient),) = rows.pieces(rows.combine(weights), [z])
            torch.autograd.backward(z, gradient)
            self._took("held weights, representation", 1)
            return
        shared = self._shared(given.shared)
        anatomy = graph.anatomy(roots, shared)
        if anatomy is None:  # no such place: the rows again, without solving for weights
            rows = self._buffer(shared)
            reached = self._reached(jacobian.backward_rows(roots, seeds, shared, rows))
            jacobian.deposit(shared, rows.pieces(rows.combine(weights), shared), reached)
            self._took("held weights, rows", self.num_tasks)
            return
        trained = [(root, seed) for root, seed in zip(roots, seeds, strict=True) if root is not None and seed]
        with graph.weighted(anatomy.crossings, weights.tolist()):
            torch.autograd.backward([root.start for root, _ in trained], [root.seed(seed) for root, seed in trained])
        self._took("held weights", 1)

    def _took(self, path: str, passes: int) -> None:
        self._passed(passes)
        self._paths[path] += 1

    def _rows_of(self, tensors: Sequence[Tensor]) -> jacobian.Rows | pairs.Pairs:
        """What takes the T task gradients of these tensors, one after the other."""
        return pairs.Pairs(tensors, self.num_tasks) if pairs.suit(tensors, self.num_tasks) else self._buffer(tensors)

    def _host_of(self, rows: jacobian.Rows | pairs.Pairs, values: Tensor) -> Host:
        """The Gramian of rows, and the losses."""
        if isinstance(rows, jacobian.Rows):
            return self._host(rows.gramian(), values)
        return Host(np.array([[*row, loss] for row, loss in zip(rows.gramian(), values.tolist(), strict=True)]), rows.like)

    def _host(self, gramian: Tensor, values: Tensor, *columns: Tensor) -> Host:
        """G, the losses and further columns ``[T]``, in float64 on the host, by one copy from the device."""
        table = torch.cat([gramian, *(column.to(gramian.device).unsqueeze(1) for column in (values, *columns))], dim=1)
        return Host(table.to("cpu", torch.float64).numpy(), gramian)

    def _solve(self, host: Host, seeds: Sequence[float]) -> Tensor:
        """Weights ``[T]`` in float64, scale included, from the gradients of seed_t L_t. Not finite in: nan out, state untouched."""
        if not np.isfinite(host.table[:, : self.num_tasks + 1]).all():
            return torch.full((self.num_tasks,), math.nan, dtype=torch.float64)
        gramian = (host.gramian + host.gramian.T) / 2  # a product in float32 need not be symmetric to the last bit, and certificates notice
        if any(seed != 1.0 for seed in seeds):
            inverse = 1 / np.array(seeds)
            gramian = gramian * inverse * inverse[:, None]
        alive = (gramian.diagonal() > 0).tolist()
        if not any(alive):
            return torch.zeros(self.num_tasks, dtype=torch.float64)
        vars(self)["rounding"] = host.eps
        square = torch.from_numpy(gramian)
        vars(self)["_gramian"] = torch.from_numpy(gramian.copy())  # a method may change what it is given
        weights = self._weights_of_alive(square, torch.from_numpy(host.losses.copy()), alive)
        factor = self._norm_factor(square, weights, host.eps) if self.scale == "grad_norm" else self._factor()
        return weights if factor == 1.0 else weights * factor

    def _checked(self, weights: Any, losses: Tensor) -> Tensor:
        """What ``weights`` returned, if it is what it ought to be."""
        if not isinstance(weights, Tensor) or weights.shape != losses.shape or weights.is_complex():
            what = f"shape {tuple(weights.shape)} and {weights.dtype}" if isinstance(weights, Tensor) else f"a {type(weights).__name__}"
            raise MethodError(f"{self.card.name}: weights() returned {what}; expected a real tensor of shape ({len(losses)},)")
        return weights.to(losses)

    def _weights_of_alive(self, gramian: Tensor, losses: Tensor, alive: Sequence[bool]) -> Tensor:
        """Weights ``[T]``, with 0 for a task whose gradient is zero unless the method wants to see it."""
        if self.zero_rows == "seen" or all(alive):
            return self._checked(self.weights(gramian, losses), losses)
        kept = torch.tensor(alive)
        weights = torch.zeros_like(losses)
        weights[kept] = self._checked(self.weights(gramian[kept][:, kept], losses[kept]), losses[kept])
        return weights


def last_matrix(shared: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """The last parameter with two or more dimensions and everything after it: the last shared layer of a trunk built in forward order."""
    start = max((i for i, p in enumerate(shared) if p.dim() >= 2), default=len(shared) - 1)
    return list(shared[start:])
