"""From a name or an object to a method. Here foreign code is imported and run."""

from __future__ import annotations

import copy
import functools
import inspect
from dataclasses import replace
from typing import Any

import torch

from methods import registry
from methods.adapters import Role, adapter_of
from methods.base import Method
from methods.errors import MethodError, suggestion
from methods.foreign import source as sources
from methods.foreign.families import family
from methods.foreign.randomness import standing_in
from methods.foreign.source import ForeignCard

EXPECTED = "expected a torchjd aggregator, weighting or scalarizer, or a callable losses -> scalar"


def create(name: str, num_tasks: int, /, *, seed: int = 0, **options: Any) -> Method:
    """Imports an object by its name, makes it (where it is a class), and adapts it.

    Hyperparameters are the constructor's arguments, or the keyword arguments of a function beside the losses. An argument that means
    the number of tasks (``num_tasks``, ``n_tasks``, and what the package's adapter says) is filled in. One that is called like an
    argument of ``methods.create`` cannot be given: make the object, and adapt it.

    Raises:
        MethodError: it cannot be found, imported, made or adapted.
    """
    source = sources.find(name)
    card = source.card
    assert isinstance(card, ForeignCard)  # as all that this finds
    common = {key: options.pop(key) for key in _COMMON & options.keys()}
    settings = card.resolve(options)
    own = {key: settings.pop(key) for key in [h.name for h in card.hyperparameters]}
    found = _imported(source)
    generator = torch.Generator().manual_seed(seed)
    with standing_in(generator, torch.device("cpu")):
        thing = _made(card.name, found, settings, num_tasks)
    return _adapted(card, thing, _role(card.name, thing, by_name=True), num_tasks, generator, seed=seed, **common, **own)


def adapt(thing: Any, num_tasks: int, *, name: str | None, seed: int, **options: Any) -> Method:
    """As :func:`methods.adapt` says."""
    if inspect.isclass(thing):
        raise MethodError(f"{thing.__name__} is a class; expected an object: methods.adapt({thing.__name__}(...), {num_tasks!r})")
    name = str(getattr(thing, "__name__", type(thing).__name__)) if name is None else name
    card = sources.foreign_card(name, name)
    generator = torch.Generator().manual_seed(seed)
    return _adapted(card, thing, _role(name, thing, by_name=False), num_tasks, generator, seed=seed, **options)


_COMMON = {"priority", "scale", "kinds", "initial_losses", "prior_losses", "preference", "every", "path"}


def _imported(source: registry.Source) -> Any:
    name = source.card.name
    try:
        with standing_in(torch.Generator().manual_seed(0), torch.device("cpu")):  # it runs once, for methods of every seed
            module = source.run()
    except ModuleNotFoundError as error:
        raise MethodError(f"{name} cannot be imported: {error}") from error
    if not hasattr(module, source.class_name):
        raise MethodError(f"unknown object {source.class_name!r} in {module.__name__}{suggestion(source.class_name, dir(module))}")
    return getattr(module, source.class_name)


def _made(name: str, thing: Any, settings: dict[str, Any], num_tasks: int) -> Any:
    """The object itself: a class is instantiated, a function given its keyword arguments."""
    if inspect.isroutine(thing):
        _check(name, thing, 1, settings, num_tasks)
        return functools.partial(thing, **settings) if settings else thing
    if not inspect.isclass(thing):
        if settings:
            raise MethodError(f"{name} is an object that is made already; it takes no {', '.join(settings)}")
        return _own(name, thing)
    if issubclass(thing, Method):
        raise MethodError(f"{name} is a method, and needs no adapting: register it, and give --methods FILE.py or its own name")
    settings = {**_filled(thing, num_tasks), **settings}
    _check(name, thing, 0, settings, num_tasks)
    try:
        return thing(**settings)
    except (TypeError, ValueError, ImportError) as error:
        raise MethodError(f"{name} cannot be made: {' '.join(str(error).split())}") from error


def _own(name: str, thing: Any) -> Any:
    """A copy of an object that its module made: two runs in one process must not share what it remembers."""
    try:
        return copy.deepcopy(thing)
    except (TypeError, ValueError, RuntimeError, copy.Error) as error:
        raise MethodError(f"{name} cannot be copied, for each run to have its own ({error}): name its class, or a function") from error


def _filled(kind: type, num_tasks: int) -> dict[str, Any]:
    """The constructor's arguments that mean the number of tasks."""
    adapted = adapter_of(kind)
    meant = {"num_tasks", "n_tasks", *(adapted.num_tasks if adapted else ())}
    return dict.fromkeys(meant & _parameters(kind).keys(), num_tasks)


def _parameters(thing: Any) -> dict[str, inspect.Parameter]:
    """Nothing where a signature cannot be told, as of compiled code."""
    try:
        return dict(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return {}


def _check(name: str, thing: Any, positional: int, settings: dict[str, Any], num_tasks: int) -> None:
    """Says which arguments are wrong before anything runs; the first ``positional`` ones are given otherwise."""
    parameters = _parameters(thing)
    if not parameters:
        return
    usual = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    known = [p.name for p in list(parameters.values())[positional:] if p.kind in usual]
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key in settings:
        if key not in known and not anything:
            raise MethodError(f"{name} has no argument {key!r}{suggestion(key, known)} (it has: {', '.join(known) or 'none'})")
    missing = [key for key in known if parameters[key].default is inspect.Parameter.empty and key not in settings]
    if missing:
        give = ", ".join(f"{key}=..." for key in missing)
        raise MethodError(f"{name} needs {', '.join(missing)}: methods.create({name!r}, {num_tasks}, {give})")


def _role(name: str, thing: Any, *, by_name: bool) -> Role:
    if isinstance(thing, Method):
        raise MethodError(f"{name} is a method already, and needs no adapting")
    adapted = adapter_of(type(thing))
    try:
        role = adapted.role(thing, by_name) if adapted else None
    except MethodError as error:
        raise MethodError(f"{name}: {error}") from error
    if role is None and not callable(thing):
        raise MethodError(f"{name} is of type {type(thing).__name__}; {EXPECTED}")
    return role or Role("loss")


def _adapted(card: ForeignCard, thing: Any, role: Role, num_tasks: int, generator: torch.Generator, **common: Any) -> Method:
    if role.family != "loss" and isinstance(thing, torch.nn.Module) and any(p.requires_grad for p in thing.parameters()):
        raise MethodError(f"{card.name} has parameters, but no loss depends on them, so that nothing could train them: freeze them")
    method = family(role)(replace(card, family=role.family), thing, role, num_tasks, **common)
    method.generator.set_state(generator.get_state())
    return method
