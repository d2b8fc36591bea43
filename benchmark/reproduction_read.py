"""Reads an experiment's file and checks that it holds together, before anything is trained."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

import methods as registry
import tasks
from benchmark.errors import UsageError
from benchmark.reproduction import WORDS, Document, Experiment, Numbers, Tolerance

LEAST = 3
"""Runs of a witness."""


def load(path: Path) -> Experiment:
    """Reads and checks one file.

    Raises:
        UsageError: it cannot be read or breaks a rule; one line with the file and the key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    try:
        told = msgspec.convert(data, Document)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}") from error
    suite = None
    if told.problems:
        head = {"name": told.name, "version": told.version, "summary": told.summary}
        suite = tasks.parse_suite({**head, "protocol": told.protocol, "problems": told.problems}, str(path), path.parent)
        if told.name in tasks.suite_names():
            raise UsageError(
                f"{path}: name {told.name!r} belongs to a packaged suite, whose records it would be mixed with; choose another"
            )
    elif not told.published:
        raise UsageError(f"{path}: neither problems nor published; expected [[problems]] to train, or published tables to recompute")
    experiment = Experiment(path, told.title, told.summary, suite, told)
    _check(experiment)
    return experiment


def _check(experiment: Experiment) -> None:
    """Raises UsageError where a part of the file names what another does not have."""
    told, path = experiment.told, experiment.path
    cards = {entry.problem: tasks.problem(entry.problem).card for entry in experiment.suite.entries} if experiment.suite else {}
    for name, tolerance in told.tolerances.items():
        _check_tolerance(f"{path}: tolerances.{name}", tolerance)
    for name, source in told.sources.items():
        _said(f"{path}: sources.{name}", source)
    for problem in told.step_seconds:
        _known(f"{path}: step_seconds", problem, cards)
    if told.step_seconds:
        _said(f"{path}: step_source", told.step_source)
    for index, table in enumerate(told.tables):
        where = f"{path}: tables[{index}]"
        _known(f"{where}.problem", table.problem, cards)
        _known(f"{where}.source", table.source, told.sources)
        _known(f"{where}.tolerance", table.tolerance, told.tolerances)
        for metric in table.metrics:
            _known(f"{where}.metrics", metric, cards[table.problem].metrics())
        _check_table(where, table, experiment)
    for index, relation in enumerate(told.relations):
        where = f"{path}: relations[{index}]"
        _known(f"{where}.problem", relation.problem, cards)
        _known(f"{where}.source", relation.source, told.sources)
        _known(f"{where}.metric", relation.metric, cards[relation.problem].metrics())
        for key, row in (("row", relation.row), ("than", relation.than)):
            if isinstance(row, str):
                _known(f"{where}.{key}", row, told.entrants)
    for index, printed in enumerate(told.printed):
        where = f"{path}: printed[{index}]"
        _known(f"{where}.problem", printed.problem, cards)
        _known(f"{where}.tolerance", printed.tolerance, told.tolerances)
        tolerance = told.tolerances[printed.tolerance]
        if tolerance.percent is None:
            raise UsageError(f"{path}: tolerances.{printed.tolerance}: percent is missing; cells of published tables are compared by it")
        if printed.baseline is not None and "Delta_m" not in tolerance.within:
            raise UsageError(f"{path}: tolerances.{printed.tolerance}: within.Delta_m is missing; Δm is compared by it")
        for row in (*printed.rows.values(), *([printed.baseline] if printed.baseline is not None else [])):
            _known(f"{where}.rows", row, told.entrants)
    used = {row for problem in cards for row in experiment.rows(problem)}
    unused = next((name for name in told.entrants if name not in used), None)
    if unused is not None:
        raise UsageError(f"{path}: entrants.{unused}: no table and no relation has this row; leave it out")


def _check_tolerance(where: str, tolerance: Tolerance) -> None:
    _said(f"{where}.reason", tolerance.reason)
    given = {f"within.{metric}": value for metric, value in tolerance.within.items()}
    given |= {"percent": tolerance.percent} if tolerance.percent is not None else {}
    for key, value in given.items():
        if not 0 < value < math.inf:
            raise UsageError(f"{where}.{key} is {value!r}; expected a number above 0")


def _check_table(where: str, table: Numbers, experiment: Experiment) -> None:
    told = experiment.told
    tolerance = told.tolerances[table.tolerance]
    seeds = next(entry.seeds for entry in experiment.suite.entries if entry.problem == table.problem) if experiment.suite else 0
    if len(table.columns) > seeds:
        raise UsageError(f"{where}.columns has {len(table.columns)}; expected at most {seeds}, a seed each")
    width = len(table.columns) or 1
    for metric in table.metrics:
        if tolerance.percent is None and metric not in tolerance.within:
            raise UsageError(f"{where}.tolerance {table.tolerance!r} has neither within.{metric!r} nor percent; give one of them")
    for row, cells in table.rows.items():
        _known(f"{where}.rows", row, told.entrants)
        if len(cells) != width:
            raise UsageError(f"{where}.rows.{row} has {len(cells)} cells; expected {width}, one a column")
        for cell in cells:
            if isinstance(cell, str) and cell not in WORDS:
                raise UsageError(f"{where}.rows.{row} has a cell {cell!r}; expected a list of numbers, {' or '.join(map(repr, WORDS))}")
            if cell == "stuck" and tolerance.stuck is None:
                raise UsageError(f"{where}.rows.{row} has a cell 'stuck', but tolerances.{table.tolerance}.stuck does not say what that is")
            if isinstance(cell, list) and len(cell) != len(table.metrics):
                raise UsageError(f"{where}.rows.{row}: {cell} has {len(cell)} numbers; expected {len(table.metrics)}, one a metric")
    _check_witnesses(where, table, told.sources)
    for note in table.notes:
        _known(f"{where}.notes.row", note.row, table.rows)
        if note.column is not None:
            _known(f"{where}.notes.column", note.column, table.columns)


def _check_witnesses(where: str, table: Numbers, sources: Iterable[str]) -> None:
    for index, witness in enumerate(table.witnesses):
        here = f"{where}.witnesses[{index}]"
        _known(f"{here}.row", witness.row, table.rows)
        _known(f"{here}.column", witness.column, table.columns)
        _known(f"{here}.source", witness.source, sources)
        if len(witness.ends) < LEAST:
            raise UsageError(f"{here}.ends has {len(witness.ends)} runs; expected at least {LEAST}, as one says nothing of their spread")
        for numbers in witness.ends:
            if len(numbers) != len(table.metrics) or not all(map(math.isfinite, numbers)):
                raise UsageError(f"{here}.ends has {numbers}; expected {len(table.metrics)} finite numbers, one a metric")


def _said(where: str, text: str) -> None:
    if not text.strip():
        raise UsageError(f"{where} is empty; expected a sentence")


def _known(where: str, name: str, allowed: Iterable[str] | Mapping[str, object]) -> None:
    allowed = list(allowed)
    if name not in allowed:
        shown = ", ".join(allowed) or "nothing"
        raise UsageError(f"{where}: {name!r} is not there{registry.suggestion(name, allowed)} (there is: {shown})")
