"""Suites: which problems, for how long, and under which protocol. A suite is a TOML file; the packaged ones lie in ``tasks/suites/``.

    name = "mixed"                # letters, digits, - and _
    version = 1                   # grows whenever a run of the suite would be another run
    summary = "one line"

    [protocol]
    seeds = 5                     # evaluation seeds 0, 1, ..., seeds - 1
    evaluations = 20              # on the validation split, evenly over a run; the last one is at the last step
    selection = "best"            # which of them the metrics are taken from: the best or the last

    [[problems]]
    name = "digits"               # optional beside it: steps, batch_size, learning_rate, halve_every, optimizer, seeds, selection

    [[problems]]
    name = "adult"
    on_request = true             # runs only where it is named (--problem adult): its data does not ship

What is left out beside a problem is the problem's default, or the protocol's. A name may be ``MODULE:OBJECT`` or ``FILE.py:OBJECT`` (from
the suite's folder on): the problem that the object is, which takes part under the name on its card.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from tasks.errors import TaskError, suggest
from tasks.registry import problem

Selection = Literal["best", "last"]
Optimizer = Literal["adam", "sgd"]

_PACKAGED = Path(__file__).parent / "suites"
_LIST = "(list them: python -m benchmark list suites)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One problem of a suite with everything a run of it needs; what the suite left out is the problem's default."""

    problem: str
    steps: int
    batch_size: int
    learning_rate: float
    eval_every: int
    """Steps between two evaluations on the validation split; the last step is evaluated besides."""
    selection: Selection
    seeds: int
    """Number of evaluation seeds: 0, 1, ..., seeds - 1."""
    on_request: bool = False
    """Whether the problem runs only where it is named."""
    halve_every: int | None = None
    """Steps after which the learning rate is halved, again and again; None: it is constant."""
    optimizer: Optimizer = "adam"
    """``sgd``: plain gradient steps, without momentum."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A named list of problems under one protocol."""

    name: str
    version: int
    summary: str
    entries: tuple[Entry, ...]


def suite_names() -> list[str]:
    """Names of the packaged suites."""
    return sorted(path.stem for path in _PACKAGED.glob("*.toml"))


def suite(name: str | Path) -> Suite:
    """The packaged suite of that name, or the one in the file ``name`` where it ends in ``.toml``.

    Raises:
        TaskError: no such suite or file, or a file that breaks the format; one line that names the value, what is allowed and the nearest
            match.
    """
    if not str(name).endswith(".toml"):
        known = suite_names()
        if name not in known:
            raise TaskError(f"unknown suite {str(name)!r}{suggest(str(name), known)} {_LIST}, or give a FILE.toml")
        return _read(_PACKAGED / f"{name}.toml", str(name))
    path = Path(name)
    loaded = _read(path, str(path))
    if loaded.name in suite_names() and path.resolve().parent != _PACKAGED.resolve():
        raise TaskError(
            f"suite {path}: name {loaded.name!r} belongs to a packaged suite, whose records it would be mixed with; choose another"
        )
    return loaded


def _read(path: Path, shown: str) -> Suite:
    where = f"suite {shown}"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(f"{where}: cannot read the file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{where}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{where}: not valid TOML: {error}") from error
    return parse_suite(document, where, path.parent)


def parse_suite(document: Mapping[str, Any], where: str, folder: Path) -> Suite:
    """The suite that a document of this format describes; ``where`` begins the message of an error, ``folder`` is that of its files.

    Raises:
        TaskError: it breaks the format.
    """
    head = _table(document, where, required={"name": _name, "version": _count, "summary": _text, "protocol": _mapping, "problems": _tables})
    protocol = _table(head["protocol"], f"{where}, [protocol]", required={"seeds": _count, "evaluations": _count, "selection": _selection})
    entries = [_entry(table, f"{where}, problem {position}", protocol, folder) for position, table in enumerate(head["problems"], start=1)]
    names = [entry.problem for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TaskError(f"{where}: problem {twice!r} is named twice; results are kept by problem, so each may appear once")
    return Suite(head["name"], head["version"], head["summary"], tuple(entries))


def _entry(table: Mapping[str, Any], where: str, protocol: Mapping[str, Any], folder: Path) -> Entry:
    counts = dict.fromkeys(("steps", "batch_size", "halve_every", "seeds"), _count)
    optional = {**counts, "learning_rate": _rate, "selection": _selection, "optimizer": _optimizer, "on_request": _yes}
    given = _table(table, where, required={"name": _text}, optional=optional)
    try:
        card = problem(given["name"], folder).card
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error
    steps = given.get("steps", card.steps)
    return Entry(
        problem=card.name,
        steps=steps,
        batch_size=given.get("batch_size", card.batch_size),
        learning_rate=given.get("learning_rate", card.learning_rate),
        halve_every=given.get("halve_every", card.halve_every),
        eval_every=math.ceil(steps / protocol["evaluations"]),
        selection=given.get("selection", protocol["selection"]),
        seeds=given.get("seeds", protocol["seeds"]),
        on_request=given.get("on_request", False),
        optimizer=given.get("optimizer", "adam"),
    )


# --- checking a table ---------------------------------------------------------------------------------------------------------------------

Check = Callable[[Any], Any]
"""Returns the value, or raises ValueError with what is allowed."""


def _table(
    table: Mapping[str, Any], where: str, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None
) -> dict[str, Any]:
    checks = {**required, **(optional or {})}
    for key in table:
        if key not in checks:
            raise TaskError(f"{where}: unknown key {key!r}{suggest(key, checks)} (allowed: {_join(checks)})")
    missing = [key for key in required if key not in table]
    if missing:
        raise TaskError(f"{where}: {missing[0]!r} is missing (required: {_join(required)})")
    checked = {}
    for key, value in table.items():
        try:
            checked[key] = checks[key](value)
        except ValueError as error:
            raise TaskError(f"{where}: {key} = {value!r} {error}") from error
    return checked


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _count(value: Any) -> int:
    # bool is an int to Python, but `steps = true` is a mistake
    if type(value) is not int or value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _yes(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def _rate(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError("must be a number above 0")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise ValueError("must be a text of letters, digits, - and _")
    return value


def _selection(value: Any) -> Selection:
    if value not in ("best", "last"):
        near = suggest(value, ("best", "last")) if isinstance(value, str) else ""
        raise ValueError(f"must be 'best' or 'last'{near}")
    return cast(Selection, value)


def _optimizer(value: Any) -> Optimizer:
    if value not in ("adam", "sgd"):
        raise ValueError("must be 'adam' or 'sgd' (plain gradient steps)")
    return cast(Optimizer, value)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be a table: [protocol]")
    return value


def _tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise ValueError("must be a list of at least one table: [[problems]]")
    return value
