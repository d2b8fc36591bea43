"""Where a record lives: folders named by its spec, which must not lead anywhere else."""

from __future__ import annotations

import re
from functools import cache

from benchmark.records import TrialSpec

_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]+")


class StoreError(Exception):
    """The store cannot do what was asked; the message is one line that says why and what to do."""


def place(spec: TrialSpec) -> tuple[str, ...]:
    """Folders and file of a record below ``records``.

    Raises:
        StoreError: a name that cannot be a folder's.
    """
    return *_folders(spec.suite, spec.problem, spec.method), f"{spec.id}.json"


def unsafe(spec: TrialSpec) -> str:
    """Why a record of this spec has no place; nothing where it has one."""
    try:
        _folders(spec.suite, spec.problem, spec.method)
    except StoreError as error:
        return str(error)
    return ""


def folder(method: str) -> str:
    """That of a method."""
    return _escaped(method) if ":" in method else method


@cache
def _folders(suite: str, problem: str, method: str) -> tuple[str, str, str]:
    last = folder(method)
    for field, name in (("suite", suite), ("problem", problem), ("method", last)):
        if not _NAME.fullmatch(name):
            raise StoreError(f"{field} {name!r} cannot name a folder: use letters, digits, '_', '-' and '.', not starting with '.'")
    return suite, problem, last


def _escaped(name: str) -> str:
    """The folder of an adapted object: ``--`` for its colon, ``-2e`` for a dot, and so on for every byte but letters, digits and ``_``.

    Different names have different folders, of characters that are safe on every system; none is a device of Windows, as ``aux.py`` is.
    """

    def escape(found: re.Match[str]) -> str:
        return "--" if found[0] == ":" else "".join(f"-{byte:02x}" for byte in found[0].encode(errors="surrogatepass"))

    return re.sub(r"[^A-Za-z0-9_]", escape, name)
