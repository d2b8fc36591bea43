"""The three families around a foreign object, which gets what it would get at home: fresh tensors, in the dtype and on the device of the
gradients (of the losses, for an objective), with gradients enabled and torch's global generators to draw from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from methods import jacobian
from methods.adam import Adam
from methods.adapters import Role
from methods.base import Method
from methods.errors import MethodError
from methods.families import GramianMethod, Host, JacobianMethod, LossMethod
from methods.foreign import state
from methods.foreign.randomness import standing_in
from methods.foreign.source import ForeignCard
from methods.graph import Root


class _Adapted(Method):
    """What the adapted families share: the object, how it is called, what it remembers.

    Attributes:
        object: the foreign object, for those who know more methods of it than LossBench does.
    """

    parameters_lr: float
    role: Role
    _given: Any
    _others: dict[tuple[str, str], Any]
    _moved: bool

    def __init__(self, card: ForeignCard, thing: Any, role: Role, num_tasks: int, **common: Any) -> None:
        vars(self).update(card=card, role=role, _given=thing, _moved=False)
        super().__init__(num_tasks, **common)

    def setup(self) -> None:
        super().setup()
        self.object = vars(self).pop("_given")
        vars(self)["_others"] = state.others(self.object)

    def _call(self, given: Tensor) -> Any:
        """What the object makes of a tensor. Before the first call it is moved to the tensor's device, once, as its owner would do."""
        if not self._moved:
            self.to(given.device)
            vars(self)["_moved"] = True
        with torch.enable_grad(), standing_in(self.generator, given.device):
            return self.role.call(self.object, given)

    def _checked_tensor(self, found: Any, shape: tuple[int, ...]) -> Tensor:
        """Raises MethodError for anything but a real tensor of this shape."""
        if not isinstance(found, Tensor) or found.shape != shape or found.is_complex():
            raise MethodError(f"{self.card.name} returned {_what(found)}; expected a real tensor of shape {shape}")
        return found

    def get_extra_state(self) -> dict[str, Any]:
        left = [(path, name) for (path, name), value in state.others(self.object).items() if self._others.get((path, name)) is not value]
        if left:
            what = ", ".join(f"{path}.{name}" if path else name for path, name in left)
            warnings.warn(
                f"{self.card.name}: state_dict leaves out {what}, neither tensors nor plain data: a run continued from it starts them anew",
                stacklevel=2,
            )
        return {**super().get_extra_state(), "object": state.save(self.object, without={path for path, _ in left})}

    def set_extra_state(self, found: dict[str, Any]) -> None:
        super().set_extra_state(found)
        state.restore(self.object, found["object"])
        vars(self)["_moved"] = False

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        if isinstance(self.object, nn.Module):
            state.fit_buffers(self.object, dict(state_dict), f"{prefix}object.")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class AdaptedLoss(_Adapted, LossMethod):
    """The object is the objective. Its parameters, if it is an ``nn.Module`` with some, are stepped by an Adam of their own."""

    _seen: bool

    def setup(self) -> None:
        super().setup()
        self.adams = nn.ModuleList([Adam(tuple(p.shape), self.parameters_lr, p.dtype) for p in self.parameters()])
        vars(self)["_seen"] = False

    def _learned(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def objective(self, losses: Tensor) -> Tensor:
        given = losses.clone()  # no leaf: the object may work on it in place
        found = self._call(given)
        if not isinstance(found, Tensor) or found.numel() != 1 or found.is_complex():
            raise MethodError(f"{self.card.name} returned {_what(found)}; expected a scalar tensor")
        if not found.requires_grad:
            raise MethodError(f"{self.card.name} returned a scalar that does not depend on the losses; was it detached?")
        if not self._seen:
            known = {id(losses), *map(id, self._learned())}
            if any(id(leaf) not in known for leaf in jacobian.leaves([Root(found, found)], given)):
                raise MethodError(
                    f"{self.card.name} depends on parameters that it does not own, which nothing would train: make it a torch.nn.Module "
                    "that holds them"
                )
            vars(self)["_seen"] = True
        return found.reshape(())

    def learn(self, gradients: Sequence[Tensor | None]) -> None:
        adams = [adam for adam, parameter in zip(self.adams, self.parameters(), strict=True) if parameter.requires_grad]
        for adam, parameter, gradient in zip(adams, self._learned(), gradients, strict=True):
            if gradient is not None:
                adam.step(parameter, gradient)  # type: ignore[operator]

    def _derivatives(self, losses: Tensor) -> Tensor:
        leaf = losses.clone().requires_grad_()
        learned = self._learned()
        weights, *gradients = torch.autograd.grad(self.objective(leaf), [leaf, *learned], allow_unused=True)
        self.learn(gradients)
        return torch.zeros_like(losses) if weights is None else weights

    def _protected(self, act: Callable[[Tensor], Any], losses: Tensor, total: Tensor) -> Any:
        """The object never sees losses that are not finite, whatever it keeps and wherever; looking waits for the device."""
        return act(losses) if total.isfinite() else torch.full_like(losses, math.nan)


class AdaptedObserver(AdaptedLoss):
    """An objective that learns from the losses of the same batch after the model's step."""

    reforward = True

    def observe(self, losses: Tensor) -> None:
        assert self.role.observe is not None  # what makes it an observer
        with standing_in(self.generator, losses.device):
            self.role.observe(self.object, losses.clone())


class AdaptedGramian(_Adapted, GramianMethod):
    """The object gives the weights, from G in the gradients' dtype and on their device; it sees tasks whose gradient is zero too."""

    zero_rows = "seen"
    _home: Tensor

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        return Method._apply(self, fn, recurse)

    def _solve(self, host: Host, seeds: Sequence[float]) -> Tensor:
        vars(self)["_home"] = host.like.new_empty(0)
        return super()._solve(host, seeds)

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return self._checked_tensor(self._call(gramian.to(self._home)), (self.num_tasks,)).detach().to(losses)


class AdaptedJacobian(_Adapted, JacobianMethod):
    """The object gives the direction, from a copy of J that is its own to keep."""

    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        return self._checked_tensor(self._call(jacobian.clone()), tuple(jacobian.shape[1:])).detach()


def family(role: Role) -> type[_Adapted]:
    """The adapted family for a role."""
    if role.family == "loss":
        return AdaptedObserver if role.observe else AdaptedLoss
    return AdaptedGramian if role.family == "gramian" else AdaptedJacobian


def _what(found: Any) -> str:
    return f"a {found.dtype} tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
