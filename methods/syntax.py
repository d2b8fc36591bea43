"""Files of Python as text: parsed, and never run. What others have written may be anything."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from methods.errors import MethodError


def parse(path: Path) -> ast.Module:
    """Raises MethodError for a file that cannot be read, is not Python, or is nested too deeply for Python to read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes and the like in the text of others, on everybody's screen
            return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise MethodError(f"{path} cannot be read: {error.strerror or error}") from error
    except (RecursionError, MemoryError) as error:  # the parser gives up, with or without words
        raise MethodError(f"{path} is nested too deeply to be read as Python: write it flatter") from error
    except (SyntaxError, ValueError) as error:
        raise MethodError(f"{path} is not Python: {error}") from error


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


def digest(path: Path) -> str:
    """Hash of what a source file does (comments and layout left out, docstrings not), whichever Python reads it; of others, of their bytes.

    Raises:
        MethodError: as :func:`parse`.
        OSError: a file that is not source cannot be read.
    """
    data = "".join(_written(parse(path))).encode("utf-8") if path.suffix == ".py" else path.read_bytes()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


LATER = ("type_params",)
"""Fields of nodes since Python 3.12: without a value in every text that an older one can read, and then not written."""


def _written(tree: ast.AST) -> Iterator[str]:
    """The pieces of what ``ast.dump`` of Python 3.11 makes of a tree; later ones write other fields. However deep it is: no call nests."""
    todo: list[ast.AST | str] = [tree]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            yield part
            continue
        parts: list[ast.AST | str] = []
        for name, value in ast.iter_fields(part):
            if isinstance(part, ast.JoinedStr):  # early releases of Python 3.12 leave empty pieces in it
                value = [piece for piece in value if not (isinstance(piece, ast.Constant) and piece.value == "")]
            optional = getattr(type(part), name, ...) is None
            if not (value is None and optional) and not (value == [] and name in LATER):
                parts += [", " if parts else "", f"{name}=", *_value(value)]
        todo += reversed([f"{type(part).__name__}(", *parts, ")"])


def _value(value: object) -> list[ast.AST | str]:
    """What is written of a field: nodes as they are, constants in words."""
    if isinstance(value, ast.AST):
        return [value]
    if isinstance(value, list):
        inner = [part for each in value for part in (", ", *_value(each))]
        return ["[", *inner[1:], "]"]
    return [hex(value) if type(value) is int and value.bit_length() > 14_000 else repr(value)]  # decimals end at 4300
