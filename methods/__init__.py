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
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from methods.card import Card, Hyperparameter
from methods.errors import LossRangeError, MethodError, suggestion
from methods.registry import card, find, get, load, names, register

if TYPE_CHECKING:
    from methods.base import Method, Step
    from methods.families import GramianMethod, JacobianMethod, LossMethod, LossWeighting
    from methods.families.several import BilevelMethod, CrossGramianMethod, Lookahead

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
    "adapt",
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
    **dict.fromkeys(("BilevelMethod", "CrossGramianMethod", "Lookahead"), "methods.families.several"),
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
    every: int = 1,
    path: str = "auto",
    **hyperparameters: Any,
) -> Method:
    """Builds a method by its registry name, or an object of other code by ``MODULE:OBJECT`` or ``FILE.py:OBJECT`` (see :func:`adapt`).

    Args:
        name: as printed by :func:`names`; ``torchjd:UPGrad`` finds the object in torchjd's modules of aggregators and scalarizers.
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
        every: a Gramian method looks at the task gradients in every k-th step only; in between it keeps its weights, at the cost of
            equal weights.
        path: how a Gramian method takes the task gradients: a backward pass a task (``rows``), layer by layer (``layers``: see
            :mod:`methods.layers`), or what needs fewer multiplications (``auto``). The update is the same to rounding.
        **hyperparameters: as the method's card declares them; for an object of other code, what it is made with, and ``parameters_lr``.

    Raises:
        MethodError: anything unknown, missing or out of range.
    """
    make: Callable[..., Method]
    if ":" in name:
        from methods.foreign import build

        make = partial(build.create, name)
    else:
        make = get(name)
    return make(
        num_tasks,
        priority=priority,
        scale=scale,
        seed=seed,
        kinds=kinds,
        initial_losses=initial_losses,
        prior_losses=prior_losses,
        preference=preference,
        every=every,
        path=path,
        **hyperparameters,
    )


def adapt(
    thing: Any,
    num_tasks: int,
    *,
    name: str | None = None,
    priority: Sequence[float] | None = None,
    scale: str = "native",
    seed: int = 0,
    parameters_lr: float = 0.025,
) -> Method:
    """Makes a method of an object that exists: a torchjd aggregator, weighting or scalarizer, or a callable from losses to a scalar.

    - A callable, or scalarizer, is given the losses ``[T]`` as one tensor and returns the scalar to minimise. If it is an ``nn.Module``
      with parameters, they are learned by an Adam of their own: do not give them to your optimizer as well.
    - A weighting is given G ``[T, T]``, or J ``[T, P]`` where its type says ``Matrix``, and an aggregator J; both in the dtype of the
      gradients and on their device, as at home.
    - What it draws from torch's global generators comes from the method's own. What it keeps in parameters, buffers and attributes of
      plain data is in ``state_dict``; a warning says so if there is anything else.

    Args:
        thing: the object; it is used as it is, and can be reached as ``.object`` of the result.
        num_tasks: T, the number of losses.
        name: what messages call it; by default its own name, or that of its class.
        priority, scale, seed: as for :func:`create`; of the scales only ``native`` and ``grad_norm``, since its own is not known.
        parameters_lr: learning rate of that Adam.

    Raises:
        MethodError: it is nothing that can be adapted.
    """
    from methods.foreign import build

    return build.adapt(thing, num_tasks, name=name, priority=priority, scale=scale, seed=seed, parameters_lr=parameters_lr)
