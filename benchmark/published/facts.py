"""The published tables as they were printed: every number with its digits, every table with its source.

Nothing is computed here. The files and their keys are described in results/published/README.md.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeVar, get_args

import msgspec

import methods as registry
from benchmark.errors import UsageError

FOLDER = Path(__file__).resolve().parents[2] / "results" / "published"
"""The tables that come with the repository."""

Summary = Literal["Delta_m", "Delta_p", "MR"]
SUMMARIES: tuple[Summary, ...] = get_args(Summary)
"""Columns that are made of the others: Δm %, Δp % and the mean rank."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of cells."""

    unit: str
    higher_is_better: bool
    task: str
    """What Δp counts it to."""
    ours: str
    """The metric of our records that measures the same."""


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What tables of one benchmark share."""

    protocol: str
    difference: str
    """How our runs of it differ from published ones."""
    metrics: dict[str, Metric]
    problems: dict[str, list[str]] = {}
    """Our problems, by the network of a table."""


class _Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    row: str | None = None
    table: str | None = None
    why: str = ""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    benchmark: str
    network: str
    source: str
    confidence: str
    baseline: _Baseline | None = None
    excerpt: str = ""
    ranked: int | None = None
    protocol: str = ""
    decimals: dict[str, int] = {}
    padded: dict[str, int] = {}
    factor: dict[str, int] = {}
    remarks: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Number:
    """A printed number: it stands for everything within half a unit of its last digit."""

    text: str
    """As printed."""
    value: Fraction
    half: Fraction
    """Half a unit of the last digit, above 0."""

    @property
    def low(self) -> Fraction:
        return self.value - self.half

    @property
    def high(self) -> Fraction:
        return self.value + self.half


@dataclass(frozen=True, slots=True)
class Line:
    """A row as printed."""

    method: str
    note: str
    """On where this row comes from, if it differs from the table's source."""
    cells: dict[str, Number]
    """By metric, in the units of the benchmark; what the source lacks is not there."""
    printed: dict[Summary, Number]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Single-task training, which changes are relative to."""

    line: Line
    source: str
    """Where it was published; empty for a row of the table itself."""
    why: str
    """Why another source's row may be used."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of one source. Tables are never mixed: networks, recipes and the methods that are ranked differ."""

    name: str
    title: str
    benchmark: str
    network: str
    source: str
    confidence: str
    protocol: str
    difference: str
    metrics: dict[str, Metric]
    problems: tuple[str, ...]
    """Ours, with the same network."""
    lines: tuple[Line, ...]
    baseline: Baseline | None
    excerpt: str
    """Why only some of the source's rows are here; empty where all are."""
    ranked: int | None
    """Methods that the printed mean ranks rank, where the source says it."""
    remarks: dict[str, str]
    """By method."""

    @property
    def entrants(self) -> tuple[Line, ...]:
        """All but the baseline."""
        return tuple(line for line in self.lines if self.baseline is None or line is not self.baseline.line)


Kind = TypeVar("Kind")


def load(folder: Path = FOLDER) -> dict[str, Table]:
    """All tables by name, in the order of the file that lists them.

    Raises:
        UsageError: a file that is missing or breaks a rule, with the place.
    """
    if not folder.is_dir():
        raise UsageError(f"no published tables in {folder}: expected the folder results/published of the repository (run from a checkout)")
    listed = folder / "tables.toml"
    benchmarks = _read(folder / "benchmarks.toml", Benchmark)
    sections = _read(listed, _Section)
    unlisted = sorted({path.stem for path in folder.glob("*.csv")} - sections.keys())
    if unlisted:
        raise UsageError(f"{folder / unlisted[0]}.csv: no section [{unlisted[0]}] in tables.toml says what it is; write one")
    lines = {}
    for name, section in sections.items():
        _known(listed, f"[{name}]: benchmark", [section.benchmark], benchmarks)
        columns = [*benchmarks[section.benchmark].metrics, *SUMMARIES]
        for key, given in (("decimals", section.decimals), ("padded", section.padded), ("factor", section.factor)):
            _known(listed, f"[{name}]: {key}", given, columns)
        lines[name] = _lines(folder / f"{name}.csv", benchmarks[section.benchmark], section)
        _known(listed, f"[{name}]: remarks", section.remarks, [line.method for line in lines[name]])
    return {name: _table(listed, name, sections, benchmarks[section.benchmark], lines) for name, section in sections.items()}


def _table(listed: Path, name: str, sections: Mapping[str, _Section], of: Benchmark, lines: Mapping[str, tuple[Line, ...]]) -> Table:
    section = sections[name]
    return Table(
        name=name,
        title=f"{section.benchmark} ({section.network})",
        benchmark=section.benchmark,
        network=section.network,
        source=section.source,
        confidence=section.confidence,
        protocol=section.protocol or of.protocol,
        difference=of.difference,
        metrics=of.metrics,
        problems=tuple(of.problems.get(section.network, ())),
        lines=lines[name],
        baseline=_baseline(listed, name, sections, lines),
        excerpt=section.excerpt,
        ranked=section.ranked,
        remarks=section.remarks,
    )


def _baseline(listed: Path, name: str, sections: Mapping[str, _Section], lines: Mapping[str, tuple[Line, ...]]) -> Baseline | None:
    """The row that a section names: one of its own, or that of another table of the same benchmark, with the reason."""
    asked = sections[name].baseline
    if asked is None:
        return None
    if (asked.row is None) == (asked.table is None) or bool(asked.table) != bool(asked.why):
        raise UsageError(f"{listed}: [{name}]: baseline has to be a row of this table, or another table and why")
    owner = asked.table or name
    _known(listed, f"[{name}]: baseline", [owner], [other for other in sections if sections[other].benchmark == sections[name].benchmark])
    row = (sections[owner].baseline or _Baseline()).row or ""
    _known(listed, f"[{owner}]: baseline: row", [row], [line.method for line in lines[owner]])
    line = next(line for line in lines[owner] if line.method == row)
    return Baseline(line, sections[owner].source if asked.table else "", asked.why)


def _lines(path: Path, benchmark: Benchmark, section: _Section) -> tuple[Line, ...]:
    """The rows of one file; every cell is a number as printed, or empty."""
    rows = list(csv.reader(io.StringIO(_text(path), newline="")))
    header = rows[0] if rows else []
    if header[:1] != ["method"]:
        raise UsageError(f"{path}: line 1 starts with {''.join(header[:1])!r}; expected the column method")
    doubled = next((name for index, name in enumerate(header) if name in header[:index]), None)
    if doubled is not None:
        raise UsageError(f"{path}: column {doubled!r} is there twice; leave one out")
    columns = [name for name in header[1:] if name != "note"]
    _known(path, "column", columns, [*benchmark.metrics, *SUMMARIES])
    missing = [name for name in benchmark.metrics if name not in columns]
    if 0 < len(missing) < len(benchmark.metrics):
        raise UsageError(f"{path}: no column {missing[0]!r}; expected all metrics of {section.benchmark}, or none")
    lines: dict[str, Line] = {}
    for number, row in enumerate(rows[1:], start=2):
        where = f"{path}: line {number}"
        if len(row) != len(header):
            raise UsageError(f"{where} has {len(row)} cells; expected {len(header)}, as many as columns")
        cells = dict(zip(header, row, strict=True))
        method = cells["method"]
        if not method or method in lines:
            raise UsageError(f"{where}: method {method!r} is {'there twice' if method else 'empty'}; expected a name of its own")
        numbers = {name: _number(f"{where}, {name}", cells[name], name, section) for name in columns if cells[name]}
        lines[method] = Line(
            method,
            cells.get("note", ""),
            {name: numbers[name] for name in benchmark.metrics if name in numbers},
            {name: numbers[name] for name in SUMMARIES if name in numbers},
        )
    return tuple(lines.values())


def _number(where: str, text: str, column: str, section: _Section) -> Number:
    """A number with its precision: the digits that are there, unless the section says that zeros were dropped or padded."""
    if not (text.isascii() and _NUMBER.fullmatch(text)):
        raise UsageError(f"{where} is {text!r}; expected a number as it is printed, such as 39.29")
    digits = text.partition(".")[2]
    decimals = max(len(digits), section.decimals.get(column, 0))
    rounded = section.padded.get(column, decimals)
    if decimals > rounded and not digits[rounded:].strip("0"):
        decimals = rounded
    scale = section.factor.get(column, 1)
    return Number(text, Fraction(text) * scale, Fraction(scale, 2 * 10**decimals))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path} is not there: expected a file with every section of tables.toml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _read(path: Path, kind: type[Kind]) -> dict[str, Kind]:
    """The sections of a file by name. Metrics are checked one by one first, so that an error can name the one."""
    try:
        data = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error
    for name, section in data.items():
        metrics = section.get("metrics") if isinstance(section, dict) else None
        for metric, about in metrics.items() if isinstance(metrics, dict) else ():
            _convert(f"{path}: [{name}]: {metric}", about, Metric)
    return {name: _convert(f"{path}: [{name}]", section, kind) for name, section in data.items()}


def _convert(where: str, data: object, kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}") from error


def _known(where: Path, what: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            raise UsageError(f"{where}: {what} {name!r}; expected one of {', '.join(allowed)}{registry.suggestion(name, allowed)}")
