"""Grids of plain cells: what every format then only draws and escapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.views.columns import COLUMNS
from benchmark.views.text import bracket, gap, interval, number

if TYPE_CHECKING:
    from benchmark.board import Cell, Row, Table
    from benchmark.runs import Problem


@dataclass(frozen=True)
class Grid:
    """A titled rectangle of text, left column the entrant; ``marks`` gives each row's style: best, reference, incomplete or nothing."""

    title: str
    header: list[str]
    rows: list[list[str]]
    marks: list[str]
    left: list[int] = field(default_factory=lambda: [0])
    """Columns of text, aligned to the left."""
    optional: list[int] = field(default_factory=list)
    """Columns that a narrow page leaves out: their numbers are in the CSV."""


def standings(table: Table, title: str = "") -> Grid:
    """One row an entrant with everything that there is to say of it."""
    columns = [column for column in COLUMNS if column.shown(table)]
    return Grid(
        title or ", ".join(table.suites) or "no evaluation records",
        [column.header(table) for column in columns],
        [[column.text(row, table) for column in columns] for row in table.rows],
        marks(table),
        left=[index for index, column in enumerate(columns) if column.left],
        optional=[index for index, column in enumerate(columns) if column.optional],
    )


def by_method(table: Table) -> Iterator[Grid]:
    yield standings(table)
    labels = [problem.label for problem in table.problems]
    if len(labels) > 1:
        rows = [[row.entrant, *(delta(row, row.cells[label]) for label in labels)] for row in table.rows]
        yield Grid("Δm % by problem", ["method", *labels], rows, marks(table))


def by_task(table: Table) -> Iterator[Grid]:
    """The means of every metric, a grid a problem."""
    for problem in table.problems:
        rows = []
        for row in table.rows:
            cell = row.cells[problem.label]
            means = [bracket(number(mean.value, 4), cell.complete) + gap(interval(mean, 4)) for mean in cell.metrics.values()]
            rows.append([row.entrant, str(cell.seeds), *means])
        yield Grid(problem.label, ["method", "n", *(_titled(problem, key) for key in problem.metrics)], rows, marks(table))


def by_suite(whole: Table, parts: Sequence[Table]) -> Grid:
    """One row an entrant: its place over all problems of all suites, then Δm on each suite with the letters of that suite's own table."""
    titles = ["all", *(", ".join(part.suites) for part in parts)]
    rows = []
    for row in whole.rows:
        cells = [of_suite(row, whole)]
        for part in parts:
            mine = next((each for each in part.rows if each.entrant == row.entrant), None)
            cells.append("n/a" if mine is None else of_suite(mine, part))
        rows.append([row.entrant, "-" if row.rank is None else str(row.rank), *cells])
    return Grid("Δm % by suite", ["method", "rank", *titles], rows, marks(whole))


def of_suite(row: Row, table: Table) -> str:
    """Δm of a row with its interval and letters, ``(-1.23)`` where it lacks runs."""
    if row.reference:
        return "reference"
    value = bracket(number(row.delta_m.value, 2, sign=True), row.complete)
    return value + gap(interval(row.delta_m, 2)) + gap(row.group)


def delta(row: Row, cell: Cell) -> str:
    if row.reference:
        return "reference"
    return bracket(number(cell.delta_m.value, 2, sign=True), cell.complete) + gap(interval(cell.delta_m, 2))


def marks(table: Table) -> list[str]:
    return [_mark(row) for row in table.rows]


def _mark(row: Row) -> str:
    if row.rank is None:
        return "reference"
    if not row.complete:
        return "incomplete"
    return "best" if row.rank == 1 or row.like_best else ""


def _titled(problem: Problem, key: str) -> str:
    info = problem.metrics[key]
    owner = f"{info.task}: " if info.task is not None and info.task not in key else ""
    return f"{owner}{key} {'↑' if info.higher_is_better else '↓'}"
