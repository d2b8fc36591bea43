"""What several commands accept, checked: errors name the flag, its value and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import methods as registry
import tasks
from benchmark.errors import UsageError
from benchmark.search import KINDS, Adaptive, Kind
from benchmark.selection import RULES, Rule

LARGEST = 2**31 - 1
DEVICES = ("auto", "cpu", "cuda")


def whole(flag: str, text: str, least: int) -> int:
    """The number of a flag; a number's own parser would not say what was given.

    Raises:
        UsageError: no whole number, or below ``least``.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise UsageError(f"{flag} is {text!r}; expected a whole number of {least} or more")
    if int(text) > LARGEST:
        raise UsageError(f"{flag} is {text!r}; expected a whole number from {least} to {LARGEST:,}")
    return int(text)


def positive(flag: str, text: str, what: str = "number of seconds") -> float:
    """The number of a flag that may be a part of one.

    Raises:
        UsageError: no finite number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{flag} is {text!r}; expected a {what} above 0")
    return value


def one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        words = ", ".join(word for word in allowed if word)
        raise UsageError(f"{what} is {value!r}; expected one of {words}{registry.suggestion(value, allowed)}")


def unused(why: str, given: Mapping[str, object]) -> None:
    """Raises UsageError for the first of these flags that has a value: it would be ignored."""
    for flag, value in given.items():
        if value:
            raise UsageError(f"{flag} does not go with this: {why}; leave it out")


def only_after_sensitivity(name: str, of: str) -> None:
    """Raises UsageError: ``plot NAME OF`` where NAME is something to train."""
    hint = registry.suggestion(name, ["sensitivity"])
    raise UsageError(f"plot {name} {of}: a second argument goes with sensitivity only{hint} (python -m benchmark plot sensitivity {of})")


def search_kind(text: str) -> Kind:
    """Raises UsageError for a search that is not known."""
    one_of("--search", text, KINDS)
    return next(kind for kind in KINDS if kind == text)


def proposer(search: str, scheduler: str, budget: int) -> Kind | Adaptive:
    """What proposes configurations. An adaptive search needs packages and a budget.

    Raises:
        UsageError: an unknown search or scheduler, or two that do not go together.
        TaskError: a package is missing.
    """
    one_of("--search", search, [*KINDS, "optuna"])
    one_of("--scheduler", scheduler, ["", "asha"])
    if search != "optuna":
        if scheduler:
            raise UsageError(f"--scheduler {scheduler} ends trials by what came of others, as --search optuna does: add it, not {search}")
        return search_kind(search)
    if budget < 2:
        raise UsageError("--search optuna with --budget 1: expected 2 or more, as the first configuration is the published defaults")
    tasks.require(["ray", "optuna"], "--search optuna")
    return "asha" if scheduler else "optuna"


def selection_rule(text: str) -> Rule:
    """Raises UsageError for a rule that is not known."""
    one_of("--selection-rule", text, list(RULES))
    return next(rule for rule in RULES if rule == text)


def locations(data_dir: Path | None, offline: bool) -> tasks.Locations:
    """Where data may come from, as the command line says it.

    Raises:
        UsageError: ``--data-dir`` is no folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise UsageError(f"--data-dir {data_dir}: expected a folder that holds the data set, or a folder NAME a problem")
    return tasks.Locations(data=str(data_dir.resolve()) if data_dir else None, offline=offline)
