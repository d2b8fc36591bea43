"""Loss balancing: T losses in, one update out.

    import methods

    balancer = methods.create("gradnorm", num_tasks=3)
    ...
    balancer.backward(losses, shared=trunk.parameters())  # fills .grad everywhere
    optimizer.step()

Importing this package is instant; torch is imported when a method is created.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from methods.card import Card, Hyperparameter
from methods.errors import LossRangeError, MethodError, suggestion
from methods.registry import card, find, get, load, names, register

if TYPE_CHECKING:
    from methods.base import Method, Step
    from methods.families import GramianMethod, JacobianMethod, LossMethod, LossWeighting
    from methods.several import BilevelMethod, CrossGramianMethod, Lookahead

__all__ = [
    "BilevelMethod",
    "Card",
    "CrossGramianMethod",
    "GramianMethod",
    "Hyperparameter",
    "JacobianMethod",
    "Lookahead",
    "LossMethod",
    "LossRangeError",
    "LossWeighting",
    "Method",
    "MethodError",
    "Step",
    "card",
    "create",
    "find",
    "get",
    "load",
    "names",
    "register",
    "suggestion",
]

_NEED_TORCH = {
    **dict.fromkeys(("GramianMethod", "JacobianMethod", "LossMethod", "LossWeighting", "Method", "Step"), "methods.families"),
    **dict.fromkeys(("BilevelMethod", "CrossGramianMethod", "Lookahead"), "methods.several"),
}
"""What is imported on first use, and from where."""


def __getattr__(name: str) -> Any:
    if name in _NEED_TORCH:
        return getattr(importlib.import_module(_NEED_TORCH[name]), name)
    raise AttributeError(f"module 'methods' has no attribute {name!r}")


def create(
    name: str,
    num_tasks: int,
    *,
    priority: Sequence[float] | None = None,
    scale: str = "native",
    seed: int = 0,
    kinds: Sequence[str] | None = None,
    initial_losses: Sequence[float] | None = None,
    prior_losses: Sequence[float] | None = None,
    preference: Sequence[float] | None = None,
    **hyperparameters: Any,
) -> Method:
    """Builds a method by its registry name.

    Args:
        name: as printed by :func:`names`.
        num_tasks: T, the number of losses.
        priority: T numbers >= 0 that multiply the weights the method finds; only their ratios matter (they are rescaled to mean 1).
        scale: ``native``, or bring the update to the scale of a ``sum`` or ``mean`` of the losses, or to the norm of the mean gradient
            (``grad_norm``, which costs a loss method T backward passes).
        seed: of the method's own random generator; the global one is never used.
        kinds: ``classification`` or ``regression`` for each task, where a likelihood matters.
        initial_losses: ``[T]`` theoretical losses of an untrained network (log K, mean ‖y‖², ...).
        prior_losses: ``[T]`` losses of the best constant prediction (label entropy, label variance, ...).
        preference: T numbers > 0, the trade-off that preference scalarisations (``tchebycheff``, ``pbi``, ...) look for; only their
            ratios matter (they are rescaled to sum 1). Other methods ignore it; ``priority`` works on top of any.
        **hyperparameters: as the method's card declares them.

    Raises:
        MethodError: anything unknown, missing or out of range.
    """
    return get(name)(
        num_tasks,
        priority=priority,
        scale=scale,
        seed=seed,
        kinds=kinds,
        initial_losses=initial_losses,
        prior_losses=prior_losses,
        preference=preference,
        **hyperparameters,
    )
