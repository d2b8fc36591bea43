"""What several commands accept, checked: errors name the flag, its value and what was expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import methods as registry
import tasks
from benchmark.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


def whole(flag: str, text: str, least: int) -> int:
    """The number of a flag; a number's own parser would not say what was given.

    Raises:
        UsageError: no whole number, or below ``least``.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise UsageError(f"{flag} is {text!r}; expected a whole number of {least} or more")
    return int(text)


def positive(flag: str, text: str) -> float:
    """The seconds of a flag.

    Raises:
        UsageError: no finite number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{flag} is {text!r}; expected a number of seconds above 0")
    return value


def amount(flag: str, text: str) -> float:
    """How much of something a trial needs; parts of a GPU are possible.

    Raises:
        UsageError: no finite number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{flag} is {text!r}; expected a number above 0, such as 1 or 0.25")
    return value


def one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        words = ", ".join(word for word in allowed if word)
        raise UsageError(f"{what} is {value!r}; expected one of {words}{registry.suggestion(value, allowed)}")


def locations(data_dir: Path | None, offline: bool) -> tasks.Locations:
    """Where data may come from, as the command line says it.

    Raises:
        UsageError: ``--data-dir`` is no folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise UsageError(f"--data-dir {data_dir}: expected a folder that holds the data set, or a folder NAME a problem")
    return tasks.Locations(data=str(data_dir.resolve()) if data_dir else None, offline=offline)
