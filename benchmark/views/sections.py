"""Sections: one heading of what is shown, with its grids and what their reader must be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmark.views.export import Line, method_lines, metric_lines
from benchmark.views.grids import Grid, by_method, by_suite, by_task, standings
from benchmark.views.legend import distinct, facts, legend, remarks

if TYPE_CHECKING:
    from benchmark.board import Table


@dataclass(frozen=True)
class Section:
    """All that there is to say of one suite, or of all together."""

    title: str
    grids: list[Grid]
    lines: list[Line]
    """The same numbers for a spreadsheet."""
    tables: list[Table]
    """And for a program; without one it has the lines."""
    remarks: list[str]
    legend: list[str]
    rerun: list[str] = field(default_factory=list)
    """Commands that make the records again."""


def of_method(table: Table) -> Section:
    """A row an entrant, and its Δm on every problem."""
    return _section(table, list(by_method(table)), method_lines(table))


def of_task(table: Table) -> Section:
    """The means of every metric."""
    return _section(table, list(by_task(table)), metric_lines(table))


def of_problems(whole: Table, parts: Sequence[Table]) -> Section:
    """A ranked table a problem; the parts are the problems of a suite alone."""
    suite = ", ".join(whole.suites)
    grids: list[Grid] = []
    lines: list[Line] = []
    for table in parts:
        problem = table.problems[0]
        grids.append(standings(table, f"{suite}/{problem.name}"))
        lines += [{"suite": suite, "problem": problem.name, **line} for line in method_lines(table)]
    told = distinct([facts(whole), *(line for each in [whole, *parts] for line in remarks(each))])
    said = distinct(line for table in parts for line in legend(table))
    return Section(f"suite {suite}", grids, _alike(lines), list(parts), told, said, whole.rerun)


def of_suites(whole: Table, parts: Sequence[Table]) -> Section:
    """A row an entrant, a column a suite; the parts are the suites alone."""
    lines = _alike([line for part in [whole, *parts] for line in method_lines(part)])
    told = distinct([facts(whole), *(line for each in [whole, *parts] for line in remarks(each))])
    weights = (
        "all: every problem of every suite counts the same; letters in a suite's column are of the table of that suite alone; n/a: takes "
        "no part in that suite."
    )
    commands = [command for part in parts for command in part.rerun]
    return Section("all suites together", [by_suite(whole, parts)], lines, [whole, *parts], told, [weights, *legend(whole)], commands)


def of_races(table: Table, grids: Sequence[Grid], told: Sequence[str], lines: Sequence[Line]) -> Section:
    """Races (:mod:`.races`), their rows in the order of the table; ``told`` is what their reader must know."""
    place = {row.entrant: index for index, row in enumerate(table.rows)}
    ordered = []
    for grid in grids:
        drawn = sorted(zip(grid.rows, grid.marks, strict=True), key=lambda each: place[each[0][0]])
        ordered.append(replace(grid, rows=[row for row, _ in drawn], marks=[mark for _, mark in drawn]))
    return Section(f"suite {', '.join(table.suites)}", ordered, list(lines), [], [facts(table), *remarks(table)], list(told), table.rerun)


def legend_of(parts: Sequence[Section]) -> list[str]:
    """How to read all of them: each line once, and under the title of its section where it is not true of all."""
    common = [set(part.legend) for part in parts]
    told = []
    for part in parts:
        told += [line if all(line in lines for lines in common) else f"{part.title}: {line}" for line in part.legend]
    return distinct(told)


def _section(table: Table, grids: list[Grid], lines: list[Line]) -> Section:
    title = f"suite {', '.join(table.suites)}" if table.suites else "no evaluation records"
    return Section(title, grids, lines, [table], [facts(table), *remarks(table)], legend(table) if table.rows else [], table.rerun)


def _alike(lines: Sequence[Line]) -> list[Line]:
    """Lines of several problems without the columns that name their problem: what is the same has the same column."""
    return [{name: value for name, value in line.items() if not name.startswith("delta_m") or " " not in name} for line in lines]
