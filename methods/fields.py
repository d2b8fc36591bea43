"""Whether the fields of a card are of the types that they are declared with: a card is written as literals, and those may be anything."""

from __future__ import annotations

import math
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from methods.errors import MethodError, suggestion

EXACT = 2**53
"""Largest whole number up to which every reader of a record has the same one: JSON's numbers are often read as float64."""
LONGEST = 80
"""Characters of a value that a message shows."""
WORDS = {bool: "True or False", int: "a whole number up to 2^53", float: "a number below 1e308", str: "text that UTF-8 can hold"}


def check(thing: Any, whose: str) -> None:
    """Looks at every field of a dataclass.

    Raises:
        MethodError: the first that is of another type, or holds what no record could: the field, its value and what was expected.
    """
    for name, hint in _hints(thing.__class__).items():
        if found := _odd(name, getattr(thing, name), hint):
            where, value, expected = found
            raise MethodError(f"{whose}: {where} is {shown(value)}; expected {expected}")


def shown(value: object) -> str:
    """A value for a message, of bounded length."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits, which Python does not print
        text = f"a {type(value).__name__} that is too long to be shown"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def finite(value: Any) -> bool:
    """Whether a real number is finite, as a float64."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that is larger than any float
        return False


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _odd(where: str, value: object, hint: Any) -> tuple[str, object, str] | None:
    """What is not as the type says, and what that asks for; None where all is."""
    if get_origin(hint) is tuple and isinstance(value, tuple):
        wanted = get_args(hint)
        each = wanted[:1] * len(value) if wanted[1:] == (...,) else wanted
        if len(each) != len(value):
            return where, value, _words(hint)
        parts = (_odd(f"{where}[{index}]", *part) for index, part in enumerate(zip(value, each, strict=True)))
        return next(filter(None, parts), None)
    if get_origin(hint) in (Union, types.UnionType):
        found = [_odd(where, value, each) for each in get_args(hint)]
        return None if None in found else (where, value, _words(hint))
    if get_origin(hint) is Literal:
        known = get_args(hint)
        near = suggestion(value, known) if isinstance(value, str) else ""
        return None if isinstance(value, str) and value in known else (where, value, _words(hint) + near)
    return None if _is(value, hint) else (where, value, _words(hint))


def _is(value: Any, hint: Any) -> bool:
    if hint in (int, float) and isinstance(value, int):
        return not isinstance(value, bool) and (abs(value) <= EXACT if hint is int else finite(value))
    if hint is float:
        return isinstance(value, float) and not math.isnan(value)
    if hint is str:
        return isinstance(value, str) and _is_text(value)
    return isinstance(hint, type) and isinstance(value, hint)


def _is_text(value: str) -> bool:
    """Half of a surrogate pair is a character that no file, and no terminal, can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _words(hint: Any) -> str:
    """A type, for people."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(parts)}"
    if get_origin(hint) is tuple:
        if not parts:
            return "()"
        return f"a tuple, each {_words(parts[0])}" if parts[1:] == (...,) else f"a tuple ({', '.join(map(_words, parts))})"
    if parts:
        return " or ".join(dict.fromkeys(map(_words, parts)))
    return WORDS.get(hint, f"a {hint.__name__}" if isinstance(hint, type) else str(hint))
