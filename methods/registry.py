"""Where methods are found: the files of this package, files named by the user, and installed packages (entry points).

Cards are read from the source text, without running it: listing and planning stay instant, work without torch, and never execute a
file that somebody submitted. The class itself is imported when it is first created.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import keyword
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from methods import syntax
from methods.card import Card, Hyperparameter
from methods.errors import MethodError, suggestion

if TYPE_CHECKING:
    from methods.base import Method
    from methods.packages import Installed, LeftOut

_LITERALS: dict[str, Callable[..., Any]] = {"Card": Card, "Hyperparameter": Hyperparameter}
C = TypeVar("C", bound="type[Method]")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a method's class can be imported from."""

    card: Card
    path: Path
    class_name: str
    module: str
    """Dotted name for a file of an importable package; empty for a loose file."""
    origin: str = ""
    """What :func:`load` must be given to know it elsewhere: a file of the user, an object in one; empty for what is installed."""
    package: str = ""
    """Name and version of the distribution whose entry point names it; empty for all others."""

    def load(self) -> type[Method]:
        return getattr(self.run(), self.class_name)  # type: ignore[no-any-return]

    def run(self) -> Any:
        """The module, imported once. What it registers before it fails is forgotten again: half a module is no method."""
        before = dict(_defined)
        try:
            return importlib.import_module(self.module) if self.module else _import_file(self.path)
        except BaseException:
            _defined.clear()
            _defined.update(before)
            raise

    def digest(self) -> str:
        """Hash of what the source file does (comments and layout left out), recorded with every run.

        Raises:
            MethodError: it is no Python any more, or nested too deeply.
        """
        return syntax.digest(self.path)

    @property
    def remedy(self) -> str:
        """How to say that the file does something else than it did."""
        if self.card.family != "foreign":
            return "raise version= on its card"
        return f"raise __version__ in {self.path.name}" if self.origin else f"give the changed {self.card.release} a version of its own"


_defined: dict[str, type[Method]] = {}
_loaded: dict[str, Source] = {}


def register(card: Card) -> Callable[[C], C]:
    """Class decorator that gives a method its card and makes it known to :func:`get`.

    Raises:
        MethodError: the name belongs to a method of another file. (A class of the same file, or session, replaces the one before.)
    """

    def decorate(cls: C) -> C:
        taken = _builtin().get(card.name) or _loaded.get(card.name) or _installed().get(card.name)
        here = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if taken and (here is None or Path(here).resolve() != taken.path.resolve()):
            raise MethodError(f"{cls.__qualname__} registers {card.name!r}, but that name belongs to {taken.path}: choose another")
        cls.card = card
        _defined[card.name] = cls
        return cls

    return decorate


def names() -> list[str]:
    """Every known method, in alphabetical order."""
    return sorted({*_builtin(), *_installed(), *_loaded, *_defined})


def card(name: str) -> Card:
    """The card of a method.

    Raises:
        MethodError: no such method.
    """
    source = find(name)
    return source.card if source else _defined[name].card


def find(name: str) -> Source | None:
    """Where the method's file is; None for a class that was registered in a running session.

    A name with a colon, ``MODULE:OBJECT`` or ``FILE.py:OBJECT``, is that of an object to adapt, which no registry knows beforehand.

    Raises:
        MethodError: no such method.
    """
    if ":" in name:
        from methods.foreign import source

        return source.find(name)
    for known in (_builtin(), _loaded, _installed()):
        if name in known:
            return known[name]
    if name in _defined:
        return None
    raise MethodError(f"unknown method {name!r}{suggestion(name, names())} (list them: python -m benchmark list methods){_lacking(name)}")


def _lacking(name: str) -> str:
    """What an unknown name may owe to a broken package: why that of an entry point so called is left out, else that there are such."""
    why = [each.why for each in left_out() if each.entry == name]
    if left_out() and not why:
        why = [f"{len(left_out())} entry points of other packages are left out: python -m benchmark doctor says why"]
    return "".join(f"; {line}" for line in why)


def get(name: str) -> type[Method]:
    """The class of a method, imported on first use.

    Raises:
        MethodError: no such method.
    """
    source = find(name)
    if source is not None and source.card.family == "foreign":
        raise MethodError(f"{name} is no method's class but an object to adapt: methods.create({name!r}, num_tasks=T)")
    return _defined[name] if name in _defined or source is None else source.load()


def load(path: str | Path) -> list[str]:
    """Makes the methods of a file, or one object to adapt, known and returns their names. The file is read, not run.

    Raises:
        MethodError: no such file, not Python, no registered class in it, or a name that is taken.
    """
    if ":" in Path(path).name and not str(path).endswith(".py"):
        from methods.foreign import source

        return [source.load(str(path)).card.name]
    path = Path(path).resolve()
    if not path.is_file():
        raise MethodError(f"no such method file: {path}")
    found = read(path)
    if not found:
        raise MethodError(f"{path} registers no method: decorate a class with @methods.register(methods.Card(...))")
    for name in found:
        taken = _builtin().get(name) or _installed().get(name) or _loaded.get(name)
        if taken and taken.path != path:
            raise MethodError(f"{path} registers {name!r}, but that name belongs to {taken.path}: choose another")
        if why := reserved(name):
            raise MethodError(f"{path} registers {name!r}, {why}: choose another")
    _loaded.update(found)
    return list(found)


def reserved(name: str) -> str:
    """Why no new method can have a name, whose file in this package would take the place of something else; nothing where it can."""
    if keyword.iskeyword(name):
        return "which is a word of Python"
    package = __name__.partition(".")[0]
    if hasattr(sys.modules[package], name) or importlib.util.find_spec(f"{package}.{name}") is not None:
        return f"which the package {package} has for something else"
    return ""


def read(path: Path, module: str = "") -> dict[str, Source]:
    """The cards that a file registers, from its text alone.

    Raises:
        MethodError: a syntax error, or a card that is not written out as literals.
    """
    found = {}
    for node in (n for n in syntax.parse(path).body if isinstance(n, ast.ClassDef)):
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and _called(decorator) == "register" and decorator.args:
                try:
                    built = _evaluate(decorator.args[0])
                except (ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:  # literals may be anything
                    raise MethodError(f"{path}:{decorator.lineno}: the card cannot be read: {error}") from error
                if not isinstance(built, Card):
                    raise MethodError(f"{path}:{decorator.lineno}: register(...) needs a Card(...) written out in place")
                found[built.name] = Source(built, path, node.name, module, origin="" if module else str(path))
    return found


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""


def _evaluate(node: ast.expr) -> Any:
    """ast.literal_eval that also builds Card(...) and Hyperparameter(...)."""
    if isinstance(node, ast.Call) and _called(node) in _LITERALS:
        if any(each.arg is None for each in node.keywords):
            raise ValueError(f"{_called(node)}(**...) is not written out in place")
        positional = [_evaluate(argument) for argument in node.args]
        return _LITERALS[_called(node)](*positional, **{k.arg: _evaluate(k.value) for k in node.keywords if k.arg is not None})
    if isinstance(node, ast.Tuple):
        return tuple(_evaluate(element) for element in node.elts)
    return syntax.literal(node)


@cache
def _builtin() -> dict[str, Source]:
    package = Path(__file__).parent
    found: dict[str, Source] = {}
    for path in sorted(package.glob("*.py")):
        found |= read(path, f"methods.{path.stem}")
    return found


def left_out() -> tuple[LeftOut, ...]:
    """The entry points of other packages whose methods cannot be had."""
    return _others().left_out


def _installed() -> dict[str, Source]:
    return _others().sources


@cache
def _others() -> Installed:
    from methods import packages

    return packages.find(_builtin())


def _import_file(path: Path) -> Any:
    """The module of a loose file, run once."""
    name = "lossbench_method_" + hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise MethodError(f"{path} is no Python file: its name must end in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
