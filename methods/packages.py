"""The methods of installed packages, by their entry points. Finding them runs nothing, and a broken package costs only itself."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from methods.errors import MethodError
from methods.foreign import text
from methods.registry import Source, read, reserved

GROUP = "lossbench.methods"
"""Entry-point group: ``name = "package.module"`` adds every registered class of that module."""


class LeftOut(NamedTuple):
    """An entry point that gives nothing."""

    entry: str
    """Its name; empty where the entry points of a package cannot be read at all."""
    why: str
    """One line: which package, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What the entry points give, by the method's name, and those that give nothing."""

    sources: dict[str, Source]
    left_out: tuple[LeftOut, ...]


def find(taken: Collection[str]) -> Installed:
    """Reads what every entry point of the group names; ``taken`` are the names that none of them may have."""
    found: dict[str, Source] = {}
    left_out: list[LeftOut] = []
    for entry, package in sorted(_entry_points(left_out), key=lambda each: each[1]):  # not in the order of a folder's files
        try:
            sources = _sources(entry)
            clash = next((name for name in sources if name in taken or name in found), None)
            if clash is not None:
                raise MethodError(f"the name {clash!r} belongs to another method: choose another")
            if shadows := next(filter(reserved, sources), None):
                raise MethodError(f"it registers {shadows!r}, {reserved(shadows)}: choose another")
        except Exception as error:  # noqa: BLE001 - whatever finding and reading a stranger's file raises is said of that entry point
            why = f"package {package}: entry point {entry.name!r} of {GROUP} is left out: {_line(error)}"
            left_out.append(LeftOut(entry.name, why))
        else:
            found |= {name: replace(source, package=package) for name, source in sources.items()}
    return Installed(found, tuple(left_out))


def _sources(entry: importlib.metadata.EntryPoint) -> dict[str, Source]:
    """The methods of the module that an entry point names.

    Raises:
        MethodError: no such module, or none in it; as :func:`methods.registry.read`.
    """
    module = entry.value.partition("[")[0].partition(":")[0].strip()
    if not all(part.isidentifier() for part in module.split(".")):
        raise MethodError(f"{module!r} is no module; expected package.module")
    path = text.file_of(module)
    if path is None or not path.is_file():
        raise MethodError(f"{module} cannot be found: reinstall its package")
    found = read(path, module)
    if not found:
        raise MethodError(f"{path} registers no method: decorate a class with @methods.register(methods.Card(...))")
    return found


def _entry_points(left_out: list[LeftOut]) -> Iterator[tuple[importlib.metadata.EntryPoint, str]]:
    """Those of the group with name and version of their package; one that is on the path twice counts where it is found first."""
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
            if (name, entry.name) not in seen:
                seen.add((name, entry.name))
                yield entry, package


def _line(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, MethodError) else f"{type(error).__name__}: {said}".rstrip(": ")
