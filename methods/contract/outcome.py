"""What a check finds, and how it says that a method breaks the contract. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "note", "skipped"]


class Broken(Exception):
    """A method does not keep the contract; the message is one line that names the input, the values and what was expected."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. A ``note`` has passed and has something to say; ``message`` is one line, empty where all is said.

    Raises:
        ValueError: all is not said: what has not simply passed needs words.
    """

    check: str
    status: Status
    message: str
    seconds: float

    def __post_init__(self) -> None:
        if self.status != "passed" and not self.message.strip():
            raise ValueError(f"check {self.check} has status {self.status!r} and no message; expected the reason")


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the contract. Those that need a step are not made where the first check shows that there can be none.

    ``run(name)`` examines the method that the registry knows by that name, and returns a remark for the reader, or nothing.
    ``unless(name)`` says beforehand why the check cannot be made here, or says nothing of this method; a check without it is always made.

    Raises:
        Broken: from ``run``, where the method does not keep it.
    """

    name: str
    summary: str
    run: Callable[[str], str]
    needs_a_step: bool = True
    unless: Callable[[str], str] | None = None


def one_line(error: BaseException, limit: int = 400) -> str:
    """What an exception says, without line breaks and of bounded length; with its kind, unless that is ours. Never empty."""
    words = " ".join(_said(error).split())
    kind = f"raised {type(error).__name__}"
    text = words if words and isinstance(error, Broken) else f"{kind}: {words}" if words else f"{kind} without a word"
    return text if len(text) <= limit else text[: limit - 4] + " ..."


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as other:  # noqa: BLE001  (of a class that somebody wrote, as that of the error)
        return f"(its message cannot be had: {type(other).__name__})"
