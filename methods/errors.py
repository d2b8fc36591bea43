"""What can go wrong when a method is chosen, built or used: one line that names the value, what was expected and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MethodError(ValueError):
    """A method was asked for something that it cannot do; the message is one line for the user."""


class LossRangeError(MethodError):
    """A loss has a value (zero, negative) for which the method is not defined."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'pcgrad'?`` where something known is near, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
