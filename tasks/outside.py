"""Problems that are not of this package: of installed packages (entry points), and objects that the user names by module or file.

A problem is an object with its card, so knowing one means importing its module, which runs it. That happens on the first look-up of a
name that is unknown without it, or when everything is listed; whatever goes wrong is one line that names the package or the object, and
the others stay as they are.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import traceback
from collections.abc import Collection, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tasks.base import Problem, ProblemCard, Task
from tasks.errors import TaskError, suggest

GROUP = "lossbench.problems"
"""Entry-point group: ``name = "package.module"`` adds the problems in that module's ``PROBLEMS``, ``name = "package.module:OBJECT"`` those
that the object is: a problem, its class, or several of them."""

OBJECT = "PROBLEMS"
EXPECTED = "expected a tasks.Problem, a subclass of it that is made without arguments, or a list of such"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """A problem and where it is from."""

    problem: Problem
    module: str
    path: Path | None
    """File of the module; None where it has none."""
    source: str = ""
    """What :func:`load` must be given to know it in another process; empty for what is installed."""
    package: str = ""
    """Name and version of the distribution that brings it; empty for what the user names."""


class LeftOut(NamedTuple):
    """An entry point that gives nothing."""

    entry: str
    """Its name; empty where the entry points of a package cannot be read at all."""
    why: str
    """One line: which package, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What the entry points give, and those that give nothing."""

    origins: dict[str, Origin]
    left_out: tuple[LeftOut, ...]


loaded: dict[str, Origin] = {}
"""What :func:`load` has made known, by the problem's name."""


def load(source: str, own: Collection[str], folder: Path | None = None) -> tuple[Origin, ...]:
    """Imports ``MODULE:OBJECT`` or ``FILE.py:OBJECT`` and makes the problems that it is known by their names.

    Args:
        own: names of this package's problems, which nobody else may have.
        folder: where a relative path of a file starts; the current folder by default.

    Raises:
        TaskError: not of that form, nothing there, it cannot be imported, it is no problem, or a name is taken.
    """
    place, _, thing = source.rpartition(":")
    loose = place.endswith(".py")
    if not thing.isidentifier() or not (loose or all(part.isidentifier() for part in place.split("."))):
        raise TaskError(f"{source!r}: expected MODULE:OBJECT or FILE.py:OBJECT, as in my_problem.py:PROBLEM")
    path = (Path(folder or ".") / Path(place).expanduser()).resolve() if loose else None
    if path is not None and not path.is_file():
        raise TaskError(f"{source}: no such file: {path}")
    module = _imported(source, place, path)
    others = {*own, *(name for name, known in {**installed(own).origins, **loaded}.items() if known.module != module.__name__)}
    origin = f"{path or place}:{thing}"
    found = tuple(Origin(problem, module.__name__, _file(module), origin) for problem in _problems(source, module, thing, others))
    loaded.update({each.problem.card.name: each for each in found})
    return found


def installed(own: Collection[str]) -> Installed:
    """The problems of installed packages, imported once; ``own`` are the names that none of them may have."""
    return _installed(tuple(own))


@cache
def _installed(own: tuple[str, ...]) -> Installed:
    found: dict[str, Origin] = {}
    left_out: list[LeftOut] = []
    for entry, package in sorted(_entries(left_out), key=lambda each: each[1]):  # not in the order of a folder's files
        place, colon, thing = entry.value.partition("[")[0].replace(" ", "").partition(":")
        try:
            if not all(part.isidentifier() for part in place.split(".")):
                raise TaskError(f"{entry.value!r} is no MODULE or MODULE:OBJECT")
            module = _imported(entry.value, place)
            others = {*own, *(name for name, known in found.items() if known.module != module.__name__)}
            for problem in _problems(entry.value, module, thing if colon else OBJECT, others):
                found[problem.card.name] = Origin(problem, module.__name__, _file(module), package=package)
        except TaskError as error:
            left_out.append(LeftOut(entry.name, f"package {package}: entry point {entry.name!r} of {GROUP} is left out: {error}"))
    return Installed(found, tuple(left_out))


def _entries(left_out: list[LeftOut]) -> Iterator[tuple[importlib.metadata.EntryPoint, str]]:
    """Entry points of the group with the name and version of their package; the rest of what is installed is not even parsed."""
    seen: set[tuple[str, str]] = set()
    for distribution in importlib.metadata.distributions():
        try:
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, package = distribution.name, f"{distribution.name} {distribution.version}"
            entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one package's metadata is said of it, and of no other
            where = getattr(distribution, "_path", "unknown")
            left_out.append(LeftOut("", f"package {where}: its entry points cannot be read: {_line(error)}"))
            continue
        for entry in entries:
            if (name, entry.name) not in seen:  # a package that is on the path twice counts where it is found first
                seen.add((name, entry.name))
                yield entry, package


def _imported(named: str, place: str, path: Path | None = None) -> ModuleType:
    """The module, run once; what it prints goes to standard error, as standard output may be a table or JSON."""
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(place) if path is None else _run(path)
    except (Exception, SystemExit) as error:
        raise TaskError(f"{named} cannot be imported: {_line(error)}") from error


def _run(path: Path) -> ModuleType:
    name = "lossbench_problem_" + hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None  # its name ends in .py
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _problems(named: str, module: ModuleType, thing: str, taken: Collection[str]) -> list[Problem]:
    """What the object is, checked as far as planning relies on it; whatever it does when it is looked at is said in one line."""
    try:
        return _checked(named, module, thing, taken)
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"{named} cannot be made: {_line(error)}") from error


def _checked(named: str, module: ModuleType, thing: str, taken: Collection[str]) -> list[Problem]:
    try:
        value = getattr(module, thing)
        found = [each() if isinstance(each, type) else each for each in (value if isinstance(value, list | tuple) else [value])]
    except AttributeError as error:
        if thing in vars(module):
            raise
        raise TaskError(f"{named}: the module has no {thing!r}{suggest(thing, vars(module))}") from error
    for problem in found:
        if not isinstance(problem, Problem):
            raise TaskError(f"{named} is of type {type(problem).__name__}; {EXPECTED}")
        wrong = _wrong(getattr(problem, "card", None))
        if wrong:
            raise TaskError(f"{named}: {wrong}")
        if problem.card.name in taken:
            raise TaskError(f"{named}: the name {problem.card.name!r} belongs to another problem: choose another")
    names = [problem.card.name for problem in found]
    if len(set(names)) < max(1, len(names)):
        raise TaskError(f"{named}: {'two problems have one name' if names else 'an empty list'}; {EXPECTED}")
    return found


def _wrong(card: Any) -> str:
    """What is the matter with a card; nothing where it is sound."""
    if not isinstance(card, ProblemCard):
        return f"its card is {card!r}; expected a tasks.ProblemCard"
    if not isinstance(card.name, str) or not _NAME.fullmatch(card.name):
        return f"its card's name is {card.name!r}; expected letters, digits, - and _"
    for field in ("version", "steps", "batch_size"):
        value = getattr(card, field)
        if type(value) is not int or value < 1:
            return f"{field} of the card of {card.name} is {value!r}; expected a whole number of at least 1"
    if not card.tasks or not all(isinstance(task, Task) and task.name and "/" not in task.name for task in card.tasks):
        return f"tasks of the card of {card.name} are {card.tasks!r}; expected at least one tasks.Task, with a name without /"
    names = [task.name for task in card.tasks]
    return f"two tasks of {card.name} have one name ({', '.join(names)})" if len(set(names)) < len(names) else ""


def _file(module: ModuleType) -> Path | None:
    path = getattr(module, "__file__", None)
    return Path(path).resolve() if isinstance(path, str) else None


def _line(error: BaseException) -> str:
    """One line: what happened, and where in the code that was imported."""
    said = " ".join("".join(traceback.format_exception_only(error)[-1:]).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames and not isinstance(error, ImportError) else ""
    return said + ("" if isinstance(error, SyntaxError) else where)
