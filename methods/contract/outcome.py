"""What a check finds, and how it says that a method breaks the contract. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "note", "skipped"]


class Broken(Exception):
    """A method does not keep the contract; the message is one line that names the input, the values and what was expected."""


class Skipped(Exception):
    """A check that cannot be made here, or says nothing of this method; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. A ``note`` has passed and has something to say; ``message`` is one line, empty where all is said."""

    check: str
    status: Status
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the contract. Those that need a step are not made where the first check shows that there can be none.

    ``run(name)`` examines the method that the registry knows by that name, and returns a remark for the reader, or nothing.

    Raises:
        Broken: from ``run``, where the method does not keep it.
        Skipped: from ``run``, where it cannot be made.
    """

    name: str
    summary: str
    run: Callable[[str], str]
    needs_a_step: bool = True


def one_line(error: BaseException, limit: int = 400) -> str:
    """What an exception says, without line breaks and of bounded length; with its kind, unless that is ours."""
    words = " ".join(str(error).split())
    text = words if isinstance(error, (Broken, Skipped)) else f"raised {type(error).__name__}: {words}"
    return text if len(text) <= limit else text[: limit - 4] + " ..."
