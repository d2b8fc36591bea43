"""The three families that see one batch. They own what methods would otherwise copy: gradients, ``.grad``, priorities, scale, state.

A method sees the T losses of a step (:class:`LossMethod`), or the Gramian of the task gradients as well (:class:`GramianMethod`), or their
whole Jacobian (:class:`JacobianMethod`), and says how the T losses become one update. Its file holds that equation and nothing else.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from methods import jacobian
from methods.base import Given, Losses, Method, Step
from methods.errors import MethodError


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
        total = self._total(values)
        # Where a trained loss is not finite the weights are nan, so that every gradient is: 0 * inf and 0 * nan are nan.
        weights = torch.add(self._protected(self._derivatives, values, total), total, alpha=0.0)
        factor = self._factor()
        if self.scale == "grad_norm":
            parameters = self._shared(given.shared)
            rows = self._buffer(parameters)
            jacobian.gradient_rows(losses, parameters, rows)
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
        scalars = self._scalars(losses, graph=False)
        with torch.no_grad(), torch.autocast(scalars[0].device.type, enabled=False):
            values = self._stack(scalars).detach()
            self._protected(self.observe, values, self._total(values))
        vars(self)["_awaits"] = False

    def observe(self, losses: Tensor) -> None:
        """Learns from the losses ``[T]`` of the last batch after the model's step; a ``reforward`` method says how."""
        raise MethodError(f"{self.card.name} asks for the losses after the step but has no observe() to learn from them")

    def _total(self, values: Tensor) -> Tensor:
        """Sum of the trained losses: not finite where one of them is not."""
        return values.sum() if len(self.tasks) == self.num_tasks else torch.stack([values[task] for task in self.tasks]).sum()

    def _derivatives(self, losses: Tensor) -> Tensor:
        """∂objective/∂L ``[T]``; the learned parameters take their step."""
        leaf = losses.clone().requires_grad_()
        learned = list(self.parameters())
        weights, *gradients = torch.autograd.grad(self.objective(leaf), [leaf, *learned], allow_unused=True)
        if learned:
            self.learn(gradients)
        return torch.zeros_like(losses) if weights is None else weights

    def _protected(self, act: Callable[[Tensor], Any], losses: Tensor, total: Tensor) -> Any:
        """``act(losses)``; where the losses are not finite (as their total then is not), the method's state stays as it was."""
        state = self._state(losses.device)
        if not state:
            return act(losses)
        finite = total.isfinite()
        if finite.device.type == "cpu":  # where looking costs no wait for a device
            return act(losses) if finite else torch.full_like(losses, math.nan)
        before = [tensor.detach().clone() for tensor in state]
        result = act(losses)
        with torch.no_grad():
            for tensor, old in zip(state, before, strict=True):
                tensor.copy_(torch.where(finite, tensor, old))
        return result

    def _stack(self, scalars: Sequence[Tensor]) -> Tensor:
        """Losses ``[T]`` on one device, in float32 at least; no gradient reaches a task that is not trained."""
        tasks, device = self.tasks, scalars[0].device
        if len(tasks) < self.num_tasks:
            scalars = [loss if task in tasks else loss.detach() for task, loss in enumerate(scalars)]
        stacked = torch.stack([loss if loss.device == device else loss.to(device) for loss in scalars])
        return stacked if stacked.dtype in (torch.float32, torch.float64) else stacked.float()

    def _state(self, device: torch.device) -> list[Tensor]:
        """Buffers and learned parameters, moved to the losses' device."""
        if not (self._buffers or self._parameters or self._modules):
            return []
        state = [*self.buffers(), *self.parameters()]
        if state and state[0].device != device:
            self.to(device)
            return self._state(device)
        return state


class LossWeighting(LossMethod):
    """A loss method of the form Σ w_t L_t, whose weights are constants to the gradient: written as the weights alone."""

    @abstractmethod
    def weights(self, losses: Tensor) -> Tensor:
        """Weights ``[T]`` from detached losses ``[T]``, in their dtype and on their device."""

    def objective(self, losses: Tensor) -> Tensor:
        return (self.weights(losses.detach()) * losses).sum()

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


class GramianMethod(_GradientMethod):
    """T weights from the Gramian of the task gradients. T backward passes; heads get their own plain gradient.

    With ``where == "last"`` the gradients are those of the last shared layer alone, and one backward pass of the weighted losses
    follows, heads included. With ``where == "representation"`` they are those at the trunk's output, and one backward pass through
    the trunk follows.

    G is taken in the gradients' precision, float32 at least: there, norms below 1e-19 count as zero and above 1e19 as infinite.
    """

    zero_rows: ClassVar[str] = "absent"
    """``absent``: a task whose gradient is zero gets weight 0 and ``weights`` sees the others only; ``seen``: ``weights`` sees them all."""

    rounding: float = torch.finfo(torch.float64).eps
    """Relative rounding of the Gramian that ``weights`` is given, that of the gradients' dtype: what is below it is zero."""

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
        if self.where == "last":
            named = given.last_layer is not None
            layer = self._shared(given.last_layer, "last_layer") if named else last_matrix(self._shared(given.shared))
            weights = self._backward_last(losses, values, layer, given.scaler)
        elif self.where == "representation":
            z = given.representation
            if z is None or not z.requires_grad:
                what = "got none" if z is None else "the one given is detached from the trunk"
                raise MethodError(f"{self.card.name} works on the representation, but {what}: backward(losses, representation=z, ...)")
            weights = self._backward_representation(losses, values, z, given.scaler)
        else:
            weights = self._backward_shared(losses, values, self._shared(given.shared), given.scaler)
        priority = 1.0 if self.priority is None else torch.tensor(self.priority, dtype=torch.float64)
        return Step(values, (weights * priority).to(values))

    def _backward_shared(self, losses: list[Tensor], values: Tensor, shared: list[nn.Parameter], scaler: float) -> Tensor:
        seeds = self._seeds(scaler)
        rows = self._buffer(shared)
        reached = self._reached(jacobian.backward_rows(losses, seeds, shared, rows, unseeded=scaler))
        self._passed(self.num_tasks)
        weights = self._solve(rows.gramian(), values, [seed or scaler for seed in seeds])
        jacobian.deposit(shared, rows.pieces(rows.combine(self._combining(weights)), shared), reached)
        return weights

    def _backward_representation(self, losses: list[Tensor], values: Tensor, z: Tensor, scaler: float) -> Tensor:
        seeds = self._seeds(scaler)
        rows = self._buffer([z])
        jacobian.representation_rows(losses, seeds, z, rows, unseeded=scaler)
        weights = self._solve(rows.gramian(), values, [seed or scaler for seed in seeds])
        ((_, gradient),) = rows.pieces(rows.combine(self._combining(weights)), [z])
        torch.autograd.backward(z, gradient)
        self._passed(1)
        return weights

    def _backward_last(self, losses: list[Tensor], values: Tensor, layer: list[nn.Parameter], scaler: float) -> Tensor:
        seeds = self._seeds(scaler)
        rows = self._buffer(layer)
        jacobian.gradient_rows(losses, layer, rows)
        weights = self._solve(rows.gramian(), values, [1.0] * self.num_tasks)
        roots = [t for t in range(self.num_tasks) if losses[t].requires_grad]
        if roots:
            factors = [torch.full_like(losses[t], float(weights[t]) * seeds[t]) for t in roots]
            torch.autograd.backward([losses[t] for t in roots], factors)
        self._passed(1)
        return weights

    def _solve(self, gramian: Tensor, values: Tensor, seeds: Sequence[float]) -> Tensor:
        """Weights ``[T]`` in float64 on the host, scale included; one copy from the device. Not finite in: nan out, state untouched."""
        host = torch.cat([gramian.to(torch.float64), values.to(gramian.device, torch.float64).unsqueeze(1)], dim=1).cpu()
        losses = host[:, -1]
        eps = torch.finfo(gramian.dtype).eps
        gramian = host[:, :-1]
        if any(seed != 1.0 for seed in seeds):
            inverse = torch.tensor(seeds, dtype=torch.float64).reciprocal()
            gramian = gramian * torch.outer(inverse, inverse)
        gramian = (gramian + gramian.T) / 2  # a product in float32 need not be symmetric to the last bit, and certificates notice
        if not bool(torch.isfinite(host).all()):
            return torch.full_like(losses, math.nan)
        alive = [squared > 0 for squared in gramian.diagonal().tolist()]
        if not any(alive):
            return torch.zeros_like(losses)
        vars(self)["rounding"] = eps
        weights = self._weights_of_alive(gramian, losses, alive)
        factor = self._norm_factor(gramian, weights, eps) if self.scale == "grad_norm" else self._factor()
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
            reached = self._reached(jacobian.backward_rows(losses, seeds, parameters, rows))
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
