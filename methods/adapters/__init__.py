"""One file for each foreign package that needs one, found by the package's name: where its objects are and what they want.

Anything else is taken for a callable from losses ``[T]`` to a scalar. A file here defines ``ADAPTER`` and imports its package inside
functions only, since planning reads it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from methods.card import Family


def call(thing: Any, given: Any) -> Any:
    return thing(given)


@dataclass(frozen=True, slots=True)
class Role:
    """What an object is to LossBench.

    ``call(thing, given)`` is what its family asks for: a scalar from losses ``[T]`` (``loss``), weights ``[T]`` from G ``[T, T]``
    (``gramian``), a direction ``[P]`` from J ``[T, P]`` (``jacobian``). ``observe(thing, losses)`` takes the losses ``[T]`` again after
    the model's step, for a scalarizer that learns from them.
    """

    family: Family
    call: Callable[[Any, Any], Any] = call
    observe: Callable[[Any, Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is particular to one foreign package.

    Attributes:
        modules: where ``package:OBJECT`` is looked for, in this order.
        install: what to give to ``pip install`` where the package is missing.
        refused: objects that ``package:OBJECT`` cannot mean, and why not; said before anything is imported.
        num_tasks: constructor arguments that mean the number of tasks; they are filled in unless given.
        role: what an object of the package (or of a class derived from one of its classes) is; None for one that it does not know.
            Its second argument says whether the object was made from its name alone, so that nobody holds it to call other methods of it.
            Raises MethodError, with a sentence about the object, where it cannot do its work here.
    """

    modules: tuple[str, ...]
    install: str
    refused: Mapping[str, str]
    num_tasks: tuple[str, ...]
    role: Callable[[Any, bool], Role | None]


@cache
def packages() -> tuple[str, ...]:
    """The packages that have a file here."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def adapter(package: str) -> Adapter | None:
    """The adapter of a package, None where it needs none; the package itself is not imported."""
    if package not in packages():
        return None
    found: Adapter = importlib.import_module(f"{__name__}.{package}").ADAPTER
    return found


def adapter_of(kind: type) -> Adapter | None:
    """The adapter of the package that a class, or the nearest base class that has one, comes from."""
    for base in kind.__mro__:
        found = adapter(base.__module__.partition(".")[0])
        if found is not None:
            return found
    return None


def num_tasks_arguments() -> frozenset[str]:
    """Every argument that is filled in for some package, and ``num_tasks`` and ``n_tasks``, which are for all."""
    return frozenset({"num_tasks", "n_tasks"}.union(*(found.num_tasks for found in map(adapter, packages()) if found)))
