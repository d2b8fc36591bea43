"""Methods that see the losses alone."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

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
        seeds = weights if given.scaler == 1.0 else weights * given.scaler
        if given.stacked is not None and self._untrained:  # through the stack, heads that are not trained would get gradients of zero
            roots = self._roots(losses, given)
            trained = [(root, seeds[t]) for t in self.tasks if (root := roots[t]) is not None]
            torch.autograd.backward([root.start for root, _ in trained], [seed.to(root.loss).view_as(root.loss) for root, seed in trained])
        elif stacked.requires_grad:
            torch.autograd.backward(stacked, seeds)
        self._passed(1)
        if self.reforward:
            vars(self)["_awaits"] = True
        return Step(values, weights)

    def weigh(self, losses: Tensor) -> Tensor:
        """Weights ``[T]`` for detached losses ``[T]``, scale and priority included; the method's state takes its step.

        For a caller who does the backward pass: of Σ w_t L_t, heads included. Not finite in: nan out, state untouched.

        Raises:
            MethodError: the method needs more than the losses: ``reforward``, or a scale of ``grad_norm``.
        """
        if self.reforward or self.scale == "grad_norm":
            what = "the losses after the step" if self.reforward else "gradients, for scale='grad_norm'"
            raise MethodError(f"{self.card.name} needs {what}: call backward(losses, ...) in place of weigh(losses)")
        with jacobian.plain_mode(losses.device):  # with gradients: an objective alone is differentiated
            weights: Tensor = self._protected(self._derivatives, losses, self._total(losses))
        weights = weights.detach()
        factor = 1.0 if self.scale == "native" else self._factor()
        if factor != 1.0:
            weights = weights * factor
        if self.priority is not None:
            weights = weights * weights.new_tensor(self.priority)
        self._passed(1)
        return weights

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

    def _stack(self, losses: Sequence[Tensor]) -> Tensor:
        """Losses ``[T]`` on one device, in float32 at least; no gradient reaches a task that is not trained."""
        untrained = self._untrained
        return super()._stack([loss.detach() if task in untrained else loss for task, loss in enumerate(losses)] if untrained else losses)

    @cached_property
    def _untrained(self) -> frozenset[int]:
        return frozenset(range(self.num_tasks)).difference(self.tasks)

    _state_device: torch.device | None = None
    """Where buffers and learned parameters are known to be: with the last losses, unless they were moved or replaced since."""

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        vars(self)["_state_device"] = None
        return super()._apply(fn, recurse)

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
