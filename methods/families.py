"""The three families that see one batch. They own what methods would otherwise copy: gradients, ``.grad``, priorities, scale, state.

A method sees the T losses of a step (:class:`LossMethod`), or the Gramian of the task gradients as well (:class:`GramianMethod`), or their
whole Jacobian (:class:`JacobianMethod`), and says how the T losses become one update. Its file holds that equation and nothing else.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from methods import graph, jacobian, layers
from methods.base import Given, Losses, Method, Step
from methods.errors import MethodError
from methods.graph import Root
from methods.layers import Layerwise, Plan, Scratch


class LossMethod(Method):
    """A scalar function of the losses; its derivatives are the weights. One backward pass; heads follow the objective too."""

    @abstractmethod
    def objective(self, losses: Tensor) -> Tensor:
        """The scalar to minimise, from losses ``[T]`` (a leaf that requires gradients), written as the paper writes it."""

    def learn(self, gradients: Sequence[Tensor | None]) -> None:
        """Steps the learned parameters with their gradients; a method that has some says how."""
        raise MethodError(f"{self.card.name} has parameters of its own but no learn() to step them")

    def _step(self, losses: list[Tensor], given: Given) -> Step:
        if self._awaits:
            raise MethodError(
                f"{self.card.name} learns from the losses after the model's step, and has not seen them: after optimizer.step(), call "
                "balancer.after_step(losses) with the losses of the same batch, computed again without gradients"
            )
        stacked = self._stack(losses)
        values = stacked.detach()
        weights = self._protected(self._derivatives, values, self._total(values))
        factor = 1.0 if self.scale == "native" else self._factor()
        if self.scale == "grad_norm":
            parameters = self._shared(given.shared)
            rows = self._buffer(parameters)
            jacobian.gradient_rows(self._roots(losses, given), parameters, rows)
            self._passed(self.num_tasks)
            factor = self._norm_factor(rows.gramian(), weights)
        if factor != 1.0:
            weights = weights * factor
        if self.priority is not None:
            weights = weights * weights.new_tensor(self.priority)
        if stacked.requires_grad:
            torch.autograd.backward(stacked, weights if given.scaler == 1.0 else weights * given.scaler)
        self._passed(1)
        if self.reforward:
            vars(self)["_awaits"] = True
        return Step(values, weights)

    def after_step(self, losses: Losses) -> None:
        if not self.reforward:
            return
        if not self._awaits:
            raise MethodError(f"{self.card.name}: after_step() has no step to follow; call it once after every backward() and model step")
        scalars = self._scalars(losses, trained=False)
        device = scalars[0].device.type
        plain = torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
        with torch.no_grad(), plain:
            values = self._stack(scalars)
            self._protected(self.observe, values, self._total(values))
        vars(self)["_awaits"] = False

    def observe(self, losses: Tensor) -> None:
        """Learns from the losses ``[T]`` of the last batch after the model's step; a ``reforward`` method says how."""
        raise MethodError(f"{self.card.name} asks for the losses after the step but has no observe() to learn from them")

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        """∂objective/∂L ``[T]`` and ∂objective/∂θ for every learned parameter θ, from detached losses ``[T]``.

        By autograd, unless a method writes them out, for a tenth of the time; the contract tests then compare the two.
        """
        leaf = losses.clone().requires_grad_()
        weights, *gradients = torch.autograd.grad(self.objective(leaf), [leaf, *self.parameters()], allow_unused=True)
        return torch.zeros_like(losses) if weights is None else weights, gradients

    def _derivatives(self, losses: Tensor) -> Tensor:
        """∂objective/∂L ``[T]``; the learned parameters take their step."""
        weights, gradients = self.derivatives(losses)
        if gradients:
            self.learn(gradients)
        return weights

    def _total(self, values: Tensor) -> Tensor:
        """Sum of the trained losses: not finite where one of them is not."""
        return torch.stack([values[task] for task in self.tasks]).sum() if self._untrained else values.sum()

    def _protected(self, act: Callable[[Tensor], Any], losses: Tensor, total: Tensor) -> Any:
        """``act(losses)``; where the losses are not finite (as their total then is not), nan, and the method's state stays as it was.

        Weights of nan make every gradient nan, as 0 * inf and 0 * nan are.
        """
        device = losses.device
        if self._state_device != device:
            self.to(device)
            vars(self)["_state_device"] = device
        if losses.is_cpu:  # where looking costs no wait for a device
            return act(losses) if math.isfinite(total.item()) else torch.full_like(losses, math.nan)
        state = [*self.buffers(), *self.parameters()]
        before = [tensor.detach().clone() for tensor in state]
        result = act(losses)
        with torch.no_grad():
            finite = total.isfinite()
            for tensor, old in zip(state, before, strict=True):
                tensor.copy_(torch.where(finite, tensor, old))
        return None if result is None else torch.add(result, total, alpha=0.0)

    def _stack(self, scalars: Sequence[Tensor]) -> Tensor:
        """Losses ``[T]`` on one device, in float32 at least; no gradient reaches a task that is not trained."""
        device, untrained = scalars[0].device, self._untrained
        if untrained:
            scalars = [loss.detach() if task in untrained else loss for task, loss in enumerate(scalars)]
        stacked = torch.stack([loss if loss.device == device else loss.to(device) for loss in scalars])
        return stacked if stacked.dtype in (torch.float32, torch.float64) else stacked.float()

    @cached_property
    def _untrained(self) -> frozenset[int]:
        return frozenset(range(self.num_tasks)).difference(self.tasks)

    _state_device: torch.device | None = None
    """Where buffers and learned parameters are known to be: with the last losses, unless they were moved or replaced since."""

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        vars(self)["_state_device"] = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        vars(self)["_state_device"] = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_state_device": None}


class LossWeighting(LossMethod):
    """A loss method of the form Σ w_t L_t, whose weights are constants to the gradient: written as the weights alone."""

    @abstractmethod
    def weights(self, losses: Tensor) -> Tensor:
        """Weights ``[T]`` from detached losses ``[T]``, in their dtype and on their device."""

    def objective(self, losses: Tensor) -> Tensor:
        return (self.weights(losses.detach()) * losses).sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        return self.weights(losses), ()

    def _derivatives(self, losses: Tensor) -> Tensor:
        return self.weights(losses)


class _GradientMethod(Method):
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


@dataclass(frozen=True, slots=True)
class Host:
    """G, the losses and what else was asked for, as the columns of one table ``[T, T + 1 + ...]``; ``eps`` is the rounding of G."""

    table: NDArray[np.float64]
    eps: float

    @property
    def gramian(self) -> NDArray[np.float64]:
        return self.table[:, : len(self.table)]

    @property
    def losses(self) -> NDArray[np.float64]:
        return self.table[:, len(self.table)]

    def cancels(self) -> bool:
        """Whether some G_tt is so small beside the last column, what its rounding is relative to, that the rounding would show."""
        return bool((self.table[:, -1] > layers.CANCELLATION * self.table.diagonal()).any())


class GramianMethod(_GradientMethod):
    """T weights from the Gramian of the task gradients. T backward passes; heads get their own plain gradient.

    With ``where == "last"`` the gradients are those of the last shared layer alone, and one backward pass of the weighted losses
    follows, heads included. With ``where == "representation"`` they are those at the trunk's output, and one backward pass through
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

    def get_extra_state(self) -> dict[str, Any]:
        return {**super().get_extra_state(), "held": None if self._held is None else self._held.tolist(), "age": self._age}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self._held = None if state["held"] is None else torch.tensor(state["held"], dtype=torch.float64)
        self._age = state["age"]

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_scratch": Scratch()}

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
        priority = 1.0 if self.priority is None else torch.tensor(self.priority, dtype=torch.float64)
        if self._held is not None and self._age < self.every:
            weights = self._held
            self._backward_held(roots, weights, given)
        else:
            weights = self._backward(roots, values, given)
            solved = self.every > 1 and bool(weights.isfinite().all() & weights.any())
            self._held, self._age = weights if solved else None, 0
        self._age += 1
        return Step(values, (weights * priority).to(values, non_blocking=True))

    def _backward(self, roots: list[Root | None], values: Tensor, given: Given) -> Tensor:
        """Weights ``[T]``, float64 on the host, from the task gradients; the update with them is in ``.grad``."""
        if self.where == "last":
            layer = self._last_layer(given)
            rows = self._buffer(layer)
            jacobian.gradient_rows(roots, layer, rows)
            weights = self._solve(self._host(rows.gramian(), values), [1.0] * self.num_tasks)
            self._backward_total(roots, weights, given.scaler)
        elif self.where == "representation":
            weights = self._backward_representation(roots, values, self._representation(given), given.scaler)
        else:
            weights = self._backward_shared(roots, values, self._shared(given.shared), given.scaler)
        return weights

    def _last_layer(self, given: Given) -> list[nn.Parameter]:
        if given.last_layer is not None:
            return self._shared(given.last_layer, "last_layer")
        return last_matrix(self._shared(given.shared))

    def _representation(self, given: Given) -> Tensor:
        z = given.representation
        if z is None or not z.requires_grad:
            what = "got none" if z is None else "the one given is detached from the trunk"
            raise MethodError(f"{self.card.name} works on the representation, but {what}: backward(losses, representation=z, ...)")
        return z

    def _backward_shared(self, roots: list[Root | None], values: Tensor, shared: list[nn.Parameter], scaler: float) -> Tensor:
        seeds = self._seeds(scaler)
        plan = layers.plan(roots, shared, self.path == "layers") if self.path != "rows" and all(seeds) else None
        if plan is not None:
            return self._backward_layers(plan, [root for root in roots if root is not None], values, shared, seeds)
        if self.path == "layers":
            raise MethodError(f"{self.card.name}: path is 'layers', but the trunk has no layer that can be taken so: path='auto' decides")
        rows = self._buffer(shared)
        reached = self._reached(jacobian.backward_rows(roots, seeds, shared, rows, unseeded=scaler))
        self._took("rows", self.num_tasks)
        weights = self._solve(self._host(rows.gramian(), values), [seed or scaler for seed in seeds])
        jacobian.deposit(shared, rows.pieces(rows.combine(self._combining(weights)), shared), reached)
        return weights

    def _backward_layers(self, plan: Plan, roots: list[Root], values: Tensor, shared: list[nn.Parameter], seeds: Sequence[float]) -> Tensor:
        gradients = Layerwise(plan, shared, self.num_tasks, self._scratch)
        gradients.backward(roots, seeds)
        self._took(plan.summary, self.num_tasks)
        gramian, bound = gradients.gramian()
        host = self._host(gramian, values, bound)
        if host.cancels():
            self.count("layers_cancelled")
            gradients.by_rows()
            host = self._host(gradients.gramian()[0], values)
        weights = self._solve(host, seeds)
        for index, piece in gradients.combine(weights):
            jacobian.accumulate(shared[index], piece)
        return weights

    def _backward_representation(self, roots: list[Root | None], values: Tensor, z: Tensor, scaler: float) -> Tensor:
        seeds = self._seeds(scaler)
        rows = self._buffer([z])
        jacobian.representation_rows(roots, seeds, z, rows, unseeded=scaler)
        weights = self._solve(self._host(rows.gramian(), values), [seed or scaler for seed in seeds])
        ((_, gradient),) = rows.pieces(rows.combine(self._combining(weights)), [z])
        torch.autograd.backward(z, gradient)
        self._took("representation", 1)
        return weights

    def _combining(self, weights: Tensor) -> Tensor:
        """What combines the rows: row t holds priority_t · scaler · g_t already, except that of a priority 0, which holds scaler · g_t."""
        if self.priority is None or all(self.priority):
            return weights
        return weights * torch.tensor([float(p > 0) for p in self.priority], dtype=weights.dtype)

    def _backward_total(self, roots: Sequence[Root | None], weights: Tensor, scaler: float) -> None:
        """One backward pass of Σ w_t L_t, heads included."""
        total = [(root, float(weights[t]) * seed) for t, (root, seed) in enumerate(zip(roots, self._seeds(scaler), strict=True)) if root]
        if total:
            torch.autograd.backward([root.start for root, _ in total], [root.seed(factor) for root, factor in total])
        self._took("last", 1)

    def _backward_held(self, roots: list[Root | None], weights: Tensor, given: Given) -> None:
        """One backward pass with weights of an earlier step, which act where the heads meet the trunk; heads get their plain gradient."""
        if self.where == "last":
            self._backward_total(roots, weights, given.scaler)
            return
        shared = self._shared(given.shared)
        seeds = self._seeds(given.scaler)
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

    def _host(self, gramian: Tensor, values: Tensor, *columns: Tensor) -> Host:
        """G, the losses and further columns ``[T]``, in float64 on the host, by one copy from the device."""
        beside = [column.to(gramian.device, torch.float64).unsqueeze(1) for column in (values, *columns)]
        return Host(torch.cat([gramian.to(torch.float64), *beside], dim=1).cpu().numpy(), torch.finfo(gramian.dtype).eps)

    def _solve(self, host: Host, seeds: Sequence[float]) -> Tensor:
        """Weights ``[T]`` in float64, scale included, from the gradients of seed_t L_t. Not finite in: nan out, state untouched."""
        if not np.isfinite(host.table).all():
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


class JacobianMethod(_GradientMethod):
    """An update from the whole Jacobian. T backward passes; heads get their own plain gradient.

    Priorities multiply the rows that ``direction`` sees, since its result need not be a weighted sum of them.
    """

    remembers: ClassVar[tuple[str, ...]] = ()
    """Names of buffers whose size depends on J: they are None until :meth:`remembered` first asks for them."""

    def setup(self) -> None:
        for name in self.remembers:
            self.register_buffer(name, None)

    def remembered(self, name: str, like: Tensor) -> Tensor:
        """The buffer ``name``, of the shape, dtype and device of ``like``; zeros at first, and again (with a warning) if those change."""
        buffer = getattr(self, name)
        if buffer is None or (buffer.shape, buffer.dtype, buffer.device) != (like.shape, like.dtype, like.device):
            if buffer is not None:
                warnings.warn(f"{self.card.name}: the shared gradients changed shape, dtype or device; {name} starts anew", stacklevel=2)
            buffer = torch.zeros_like(like)
            setattr(self, name, buffer)
        return buffer  # type: ignore[no-any-return]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name in self.remembers:
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @abstractmethod
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        """Direction ``[P]`` from J ``[T, P]`` (a buffer: do not keep it) and losses ``[T]``, on the parameters' device, all finite."""

    def _step(self, losses: list[Tensor], given: Given) -> Step:
        with torch.no_grad():
            values = self._values(losses)
            parameters = self._shared(given.shared)
            scaler = given.scaler
            seeds = self._seeds(scaler)
            rows = self._buffer(parameters)
            reached = self._reached(jacobian.backward_rows(self._roots(losses, given), seeds, parameters, rows))
            self._passed(self.num_tasks)
            matrix = rows.matrix() if scaler == 1.0 else rows.matrix() / scaler
            if not bool(torch.isfinite(values).all() & torch.isfinite(matrix.sum())):
                direction = torch.full_like(matrix[0], math.nan)
            else:
                mean = matrix.mean(0)
                direction = self.direction(matrix, values)
                if direction.shape != mean.shape:
                    shapes = f"{tuple(direction.shape)}; expected {tuple(mean.shape)}"
                    raise MethodError(f"{self.card.name}: direction() returned shape {shapes}")
                norm = direction.norm()
                if self.scale == "grad_norm":
                    direction = torch.where(norm > 0, direction * (mean.norm() / norm), direction)
                else:
                    direction = direction * self._factor()
            flat = rows.split(direction if scaler == 1.0 else direction * scaler)
            jacobian.deposit(parameters, rows.pieces(flat, parameters), reached)
        return Step(values, None)


def last_matrix(shared: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """The last parameter with two or more dimensions and everything after it: the last shared layer of a trunk built in forward order."""
    start = max((i for i, p in enumerate(shared) if p.dim() >= 2), default=len(shared) - 1)
    return list(shared[start:])
