"""From ``MODULE:OBJECT`` or ``FILE.py:OBJECT`` to a source and a card, from text alone: planning runs nothing that is foreign."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from methods.adapters import adapter, num_tasks_arguments, packages
from methods.card import Card, Hyperparameter, Value
from methods.errors import MethodError, suggestion
from methods.foreign import text
from methods.registry import Source

VERSION = 1
"""Of the adapted families: grows whenever the same object would be given, or made into, something else."""

PARAMETERS_LR = Hyperparameter("parameters_lr", 0.025, "of Adam on the object's own parameters, if it has any", low=0.0)

_known: dict[str, Source] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignCard(Card):
    """The card of an object that need not be built yet. What it takes is not declared, so nothing of it is ever tuned.

    ``arguments`` is what its text says that it takes; None where that is not known before it is imported.
    """

    arguments: text.Arguments | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise MethodError(f"method name {self.name!r}: expected a line of text")

    def resolve(self, given: dict[str, Value]) -> dict[str, Value]:
        """The given hyperparameters, over the default of the one that every adapted object has.

        Raises:
            MethodError: a name that the object is known not to take, or a number that no record can hold.
        """
        declared = {h.name for h in self.hyperparameters}
        own = {name: value for name, value in given.items() if name not in declared}
        for name, value in own.items():
            if self.arguments and not self.arguments.open and name not in self.arguments.known:
                known = [*self.arguments.known, *declared]
                raise MethodError(f"{self.name} has no argument {name!r}{suggestion(name, known)} (it has: {', '.join(known)})")
            if isinstance(value, float) and not math.isfinite(value):
                raise MethodError(f"{self.name}.{name} is {value!r}; expected a finite number")
        return {**Card.resolve(self, {name: value for name, value in given.items() if name in declared}), **own}

    def missing(self, given: Iterable[str]) -> tuple[str, ...]:
        """Arguments without a default that are neither given nor filled in with the number of tasks."""
        known = {*given, *num_tasks_arguments()}
        return tuple(name for name in (self.arguments.required if self.arguments else ()) if name not in known)


def find(name: str) -> Source:
    """The source of an object to adapt; one that is known is not read again.

    Raises:
        MethodError: no such module, file or object.
    """
    return _known.get(name) or load(name)


def load(name: str) -> Source:
    """Reads what the text of the object's module says of it, and makes it known by its module, or by its file's name without folders.

    Raises:
        MethodError: not of the form ``MODULE:OBJECT`` or ``FILE.py:OBJECT``; no such module, file or object; a file that is not Python;
            another file of the same name is known.
    """
    place, _, thing = name.rpartition(":")
    loose = place.endswith(".py")
    if not thing.isidentifier() or not (loose or all(part.isidentifier() for part in place.split("."))):
        hint = "; what it is made with goes into --set, or methods.create" if "(" in name else ""
        raise MethodError(f"{name!r}: expected MODULE:OBJECT or FILE.py:OBJECT, as in torchjd:UPGrad{hint}")
    source = _of_file(Path(place).resolve(), thing) if loose else _of_module(place, thing)
    _known[source.card.name] = source
    return source


def _of_file(path: Path, thing: str) -> Source:
    name = f"{path.name}:{thing}"
    if not path.is_file():
        raise MethodError(f"no such file: {path}")
    taken = _known.get(name)
    if taken and taken.path != path:
        raise MethodError(f"{path} would be known as {path.name!r}, but so is {taken.path}: choose another file name")
    try:
        found = text.definition(thing, path)
    except text.Missing as missing:
        raise _unknown(thing, path.name, missing.names) from None
    card = foreign_card(name, _call(thing, found.arguments), text.version(path), found.arguments)
    return Source(card, path, thing, "", origin=f"{path}:{thing}")


def _of_module(place: str, thing: str) -> Source:
    package = place.partition(".")[0]
    adapted = adapter(package)
    names: list[str] = []
    for module in adapted.modules if adapted and place == package else (place,):
        path = text.file_of(module)
        if path is None:
            raise not_installed(module)
        try:
            found = text.definition(thing, path, module)
        except text.Missing as missing:
            names += missing.names
            continue
        if adapted and thing in adapted.refused:
            raise MethodError(f"{place}:{thing}: {adapted.refused[thing]}")
        released = _distribution(package)
        card = foreign_card(f"{place}:{thing}", _call(thing, found.arguments), released or text.version(path), found.arguments)
        return Source(card, found.path, thing, module, origin="" if released else card.name)
    raise _unknown(thing, place, names)


def not_installed(module: str) -> MethodError:
    """Says how to get a module that cannot be found."""
    package = module.partition(".")[0]
    adapted = adapter(package)
    if adapted and text.file_of(package) is None:
        return MethodError(f"{package} is not installed: pip install '{adapted.install}'")
    what = f"no module {module!r}{suggestion(module, packages())}"
    return MethodError(f"{what} (install its package, or call from the folder that it is in)")


def _unknown(thing: str, place: str, names: list[str]) -> MethodError:
    return MethodError(f"unknown object {thing!r} in {place}{suggestion(thing, names)}")


def _call(thing: str, arguments: text.Arguments | None) -> str:
    """How an object is made, as far as its text tells."""
    return f"{thing}({', '.join(arguments.known if arguments else ['...'])})"


def foreign_card(name: str, title: str, release: str = "", arguments: text.Arguments | None = None) -> ForeignCard:
    """All that a card can say of an object that LossBench has never seen."""
    return ForeignCard(
        name=name,
        version=VERSION,
        title=title,
        paper=release,
        year=0,
        family="foreign",
        equation="its own",
        native_scale="unknown",
        hyperparameters=(PARAMETERS_LR,),
        release=release,
        arguments=arguments,
    )


def _distribution(package: str) -> str:
    """Name and version of what a top-level package was installed by; empty for one that merely lies on the path.

    The local part of a version, as in 2.13.0+cpu, says how it was built and is left out: a trial is the same on every build.
    """
    try:
        names = [metadata.distribution(package).name]
    except metadata.PackageNotFoundError:
        names = sorted(set(metadata.packages_distributions().get(package, [])))
    return ", ".join(f"{name} {metadata.version(name).partition('+')[0]}" for name in names)
