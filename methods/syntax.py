"""Files of Python as text: parsed, and never run."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

from methods.errors import MethodError


def parse(path: Path) -> ast.Module:
    """Raises MethodError for a file that is not Python, or nested too deeply for Python to read."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (RecursionError, MemoryError) as error:  # the parser gives up, with or without words
        raise _too_deep(path) from error
    except (SyntaxError, ValueError) as error:
        raise MethodError(f"{path} is not Python: {error}") from error


def digest(path: Path) -> str:
    """Hash of what a file of Python does (comments and layout left out); of any other file, of its bytes.

    Raises:
        MethodError: as :func:`parse`.
    """
    if path.suffix != ".py":
        return _hash(path.read_bytes())
    tree = parse(path)
    try:
        return _hash(ast.dump(tree).encode())
    except (RecursionError, MemoryError) as error:
        raise _too_deep(path) from error


def literal(node: ast.expr) -> object:
    """The value of an expression that is written out.

    Raises:
        ValueError: it would have to be computed.
        TypeError: a key that no dict or set can have.
    """
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ValueError(f"{ast.unparse(node)[:80]!r} is not written out; expected a number, text, a tuple, True or False") from error


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _too_deep(path: Path) -> MethodError:
    return MethodError(f"{path} is nested too deeply to be read as Python: write it flatter")
