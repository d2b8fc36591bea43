"""Where seeds can be trained together, decided by what the problem and the method can do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from torch import nn

import methods
import tasks
from benchmark.records import Value
from methods.families import GramianMethod, JacobianMethod, LossMethod
from tasks.inmemory import InMemoryProblem

Kind = Literal["losses", "last", "shared", "representation", "jacobian"]
"""What a method decides by; the name of its step in :class:`benchmark.vectorized.passes.Passes`."""


class Unsupported(ValueError):
    """These seeds must be trained one by one; the message says why."""


def kind_of(method: methods.Method) -> Kind:
    """What a method decides by.

    Raises:
        Unsupported: it needs more than one look at one batch, or goes about its step in a way of its own.
    """
    name = method.card.name
    if method.extra_batches or method.reforward:
        raise Unsupported(f"{name} looks at {'further batches' if method.extra_batches else 'the losses after the step'}")
    if method.priority is not None and isinstance(method, JacobianMethod):
        raise Unsupported(f"{name} has priorities")
    step = type(method)._step
    if isinstance(method, LossMethod) and step is LossMethod._step:
        if method.scale == "grad_norm":
            raise Unsupported(f"{name} has a scale that needs gradients")
        return "losses"
    if isinstance(method, GramianMethod) and step is GramianMethod._step and method.every == 1:
        return method.where  # type: ignore[return-value]
    if isinstance(method, JacobianMethod) and step is JacobianMethod._step:
        return "jacobian"
    raise Unsupported(f"{name} makes its steps in a way of its own")


def check(problem: tasks.Problem, method: str, hyperparameters: Mapping[str, Value], optimizer: str = "adam") -> Kind:
    """What the method decides by, where it and the problem allow several seeds in one pass. No data is needed.

    Raises:
        Unsupported: they do not.
    """
    check_problem(problem)
    if optimizer != "adam":
        raise Unsupported(f"the optimizer is {optimizer}")
    card = problem.card
    count = len(card.tasks)
    kinds = [task.kind for task in card.tasks]
    try:
        built = methods.create(method, count, kinds=kinds, initial_losses=[1.0] * count, prior_losses=[1.0] * count, **hyperparameters)  # type: ignore[arg-type]
    except Exception as error:  # a user's method may raise anything, which is then the outcome of its trials
        raise Unsupported(f"{method} cannot be built") from error
    return kind_of(built)


@lru_cache(maxsize=64)
def check_problem(problem: tasks.Problem) -> None:
    """Raises Unsupported where the problem does not allow several seeds in one pass."""
    name = problem.card.name
    if not problem.stackable or not isinstance(problem, InMemoryProblem):
        raise Unsupported(f"the losses of {name} are not a function of parameters and batch alone")
    check_model(name, problem.network())


def check_model(name: str, model: nn.Module) -> None:
    """Raises Unsupported for a network that keeps statistics, draws at random, or has parameters that differ in kind."""
    for module in model.modules():
        if list(module.buffers(recurse=False)):
            raise Unsupported(f"the network of {name} keeps statistics ({type(module).__name__})")
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise Unsupported(f"the network of {name} draws at random ({type(module).__name__})")
    if len({parameter.dtype for parameter in model.parameters()}) > 1 or not all(p.requires_grad for p in model.parameters()):
        raise Unsupported(f"the network of {name} has parameters of several dtypes, or some that are not trained")
