"""What the text of a module says about an object, without importing it: its file, whether it is there, what it must be given."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from methods.syntax import parse

HOPS = 8
"""How many re-exports are followed from one module to the next."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_DYNAMIC = {"globals", "exec", "setattr", "vars"}
"""Names whose use at the top of a module means that its text does not list all that is in it."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a class, or a function beside its first argument, can be given by name."""

    required: tuple[str, ...]
    known: tuple[str, ...]
    open: bool
    """Whether it takes any other name too (``**kwargs``)."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Where an object is defined, and what it takes; ``arguments`` is None where only importing it would tell."""

    path: Path
    arguments: Arguments | None


class Missing(LookupError):
    """A name that a module does not have; ``names`` are those that it has."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names


def file_of(module: str) -> Path | None:
    """The file of a module, found without importing it or a package that it is in; None where there is none."""
    first, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # a module that runs without having been found, as a notebook's __main__
        return None
    name = first
    for part in rest:
        name = f"{name}.{part}"
        spec = _inside(name, (spec and spec.submodule_search_locations) or ())
    return Path(spec.origin).resolve() if spec and spec.origin and spec.has_location else None


def _inside(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    """As importlib finds a module in the folders of its package, but for what it asks of the package, which need not be imported."""
    spread: list[str] = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        spec = finder.find_spec(name) if finder is not None else None
        if spec is not None and spec.loader is not None:
            return spec
        spread += (spec and spec.submodule_search_locations) or ()  # a folder without __init__.py
    if not spread:
        return None
    found = ModuleSpec(name, None, is_package=True)
    found.submodule_search_locations = spread
    return found


def definition(name: str, path: Path, module: str = "", hops: int = HOPS) -> Definition:
    """Where ``name`` of the module in a file comes from; imports are followed as far as their files can be found.

    Raises:
        Missing: the module has no such name, as far as its text tells.
        MethodError: the file is not Python.
    """
    if path.suffix != ".py":
        return Definition(path, None)  # compiled
    bound, complete = _bindings(parse(path))
    if name not in bound:
        if complete:
            raise Missing(sorted(known for known in bound if not known.startswith("_")))
        return Definition(path, None)
    node = bound[name]
    if isinstance(node, ast.ImportFrom) and hops:
        original = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        there = _absolute(node, module, path)
        file = file_of(there) if there else None
        if file is not None:
            try:
                return definition(original, file, there, hops - 1)
            except Missing:  # a submodule, or something that only running the module makes
                return Definition(path, None)
    return Definition(path, _arguments(node))


def version(path: Path) -> str:
    """What the text assigns to ``__version__``; empty where it does not, or not a literal."""
    if path.suffix != ".py":
        return ""
    for node in parse(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__version__" for t in node.targets):
            return str(node.value.value) if isinstance(node.value, ast.Constant) else ""
    return ""


def _bindings(tree: ast.Module) -> tuple[dict[str, ast.AST], bool]:
    """What each name at the top of a module was last bound by, and whether these are all its names."""
    bound: dict[str, ast.AST] = {}
    complete = True
    for node in _top(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound[name] = node
                complete &= name != "__getattr__"
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                bound.update({alias.asname or alias.name.partition(".")[0]: node for alias in names})
                complete &= all(alias.name != "*" for alias in names)
            case ast.Name(id=name, ctx=ast.Store()):
                bound[name] = node
            case ast.Name(id=name):
                complete &= name not in _DYNAMIC
    return bound, complete


def _top(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node in order that runs when the module is imported: what is inside functions and classes does not bind its names."""
    todo: list[ast.AST] = list(reversed(tree.body))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (*_Function.__args__, ast.ClassDef, ast.Lambda)):
            todo.extend(reversed(list(ast.iter_child_nodes(node))))


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The dotted name that an import is from; empty where it is relative to a loose file."""
    if not node.level:
        return node.module or ""
    parts = module.split(".") if module else []
    base = parts[: len(parts) - node.level + (path.stem == "__init__")]
    return ".".join([*base, *filter(None, [node.module])]) if base else ""


def _arguments(node: ast.AST) -> Arguments | None:
    """What a class or function takes, unless a base class, a decorator or a metaclass decides."""
    if isinstance(node, ast.ClassDef):
        found = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        if node.decorator_list or node.keywords or not found:
            return None
        node = found[-1]
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return None
    a = node.args
    positional = [*a.posonlyargs, *a.args]
    named = positional[max(1, len(a.posonlyargs)) :]  # without self, or without the losses
    needed = positional[: len(positional) - len(a.defaults)]
    required = [arg.arg for arg in named if arg in needed]
    required += [arg.arg for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True) if default is None]
    return Arguments(tuple(required), tuple(arg.arg for arg in [*named, *a.kwonlyargs]), a.kwarg is not None)
