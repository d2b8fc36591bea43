"""The table for four readers: a terminal, a Markdown page, a spreadsheet, a program.

A table becomes grids of plain cells first; each format then only draws and escapes. Names come from records, and records from anywhere, so
no text is ever interpreted: not as rich markup or terminal codes, not as Markdown or HTML, not as a formula.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from benchmark.runs import Problem
    from benchmark.table import Cell, Estimate, Row, Table

Format = Literal["table", "md", "csv", "json"]
By = Literal["method", "task"]

LIKE = "≈"
"""Marks rows that cannot be told apart from the best one."""


@dataclass(frozen=True)
class Grid:
    """A titled rectangle of text, left column the entrant; ``marks`` gives each row's style: best, reference, incomplete or nothing."""

    title: str
    header: list[str]
    rows: list[list[str]]
    marks: list[str]


def render(table: Table, format: Format = "table", *, by: By = "method", width: int = 100, colour: bool = False) -> str:
    """The table as text that ends with a newline.

    Args:
        table: what to show.
        format: ``table`` for a terminal, ``md``, ``csv`` or ``json`` (which carries everything, whatever ``by`` is).
        by: ``method`` for one row an entrant with its Δ, ``task`` for the means of every metric.
        width: columns of the terminal.
        colour: whether the terminal shows colour.

    Raises:
        ValueError: an unknown format or ``by``.
    """
    if by not in get_args(By):
        raise ValueError(f"by={by!r}: expected one of {', '.join(get_args(By))}")
    if format == "json":
        return _json(table)
    if format == "csv":
        return _csv(metric_lines(table) if by == "task" else method_lines(table))
    if format not in get_args(Format):
        raise ValueError(f"format={format!r}: expected one of {', '.join(get_args(Format))}")
    grids = list(_by_task(table) if by == "task" else _by_method(table))
    return _markdown(grids, footer(table)) if format == "md" else _terminal(grids, footer(table), width, colour)


def footer(table: Table) -> list[str]:
    """What a reader must know to read the numbers, one line each."""
    seeds = len({seed for problem in table.problems for seed in problem.seeds})
    level = f"{100 * table.confidence:g} %"
    lines = [
        f"{_count(table.records, 'record')}, {_count(len(table.problems), 'problem')}, {_count(seeds, 'seed')}, "
        f"{_count(len(table.damaged), 'damaged record')}.",
        "Lower Δm is better; negative = better than single-task training. Higher Δp is better. Mean rank: 1 is best, ties averaged.",
        "n: seeds on every problem, or finished/expected runs. Cost: time of a step against the cheapest. Passes: backward, each step.",
        f"[low, high]: {level} interval, paired bootstrap over seeds ({table.draws} draws, baseline resampled too) with Student's t.",
        f"{LIKE}: cannot be told apart from the best row ({level} interval of the paired difference contains 0); ?: not known, as there is "
        "no interval.",
    ]
    if any(row.rank is not None and not row.complete for row in table.rows):
        lines.append("(in parentheses): of the finished runs only, as others failed or are missing; such rows rank below complete ones.")
    lines += [f"Note: {note}" for note in table.notes]
    return lines + [f"Damaged: {each.path}: {each.reason}" for each in table.damaged]


def _by_method(table: Table) -> Iterator[Grid]:
    marks = [_mark(row) for row in table.rows]
    header = ["method", "rank", "Δm %", "[low, high]", "Δp %", "mean rank", "n", "failed", "cost", "passes"]
    best = next((row for row in table.rows if row.rank is not None), None)
    title = ", ".join(table.suites) or "no evaluation records"
    yield Grid(title, header, [_method_row(row, row is best) for row in table.rows], marks)
    labels = [problem.label for problem in table.problems]
    if len(labels) > 1:
        rows = [[row.entrant, *(_delta(row, row.cells[label]) for label in labels)] for row in table.rows]
        yield Grid("Δm % by problem", ["method", *labels], rows, marks)


def _method_row(row: Row, best: bool) -> list[str]:
    place = "-" if row.rank is None else str(row.rank)
    if row.rank is not None and not best and row.complete and not math.isnan(row.delta_m.value):
        place += {True: LIKE, False: "", None: "?"}[row.like_best]
    seeds = sorted({cell.seeds for cell in row.cells.values()})
    ran = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
    return [
        row.entrant,
        place,
        "reference" if row.reference else _bracket(_number(row.delta_m.value, 2, sign=True), row.complete),
        "" if row.reference else _interval(row.delta_m, 2),
        "" if row.reference else _bracket(_number(row.delta_p.value, 2, sign=True), row.complete),
        _number(row.mean_rank, 2),
        ran if row.finished == row.expected else f"{row.finished}/{row.expected}",
        ", ".join(f"{count} {status}" for status, count in row.failures.items()) or "0",
        _number(row.cost, 2) + ("" if math.isnan(row.cost) else "x"),
        _number(row.passes, 1),
    ]


def _by_task(table: Table) -> Iterator[Grid]:
    marks = [_mark(row) for row in table.rows]
    for problem in table.problems:
        rows = []
        for row in table.rows:
            cell = row.cells[problem.label]
            means = [_bracket(_number(mean.value, 4), cell.complete) + _gap(_interval(mean, 4)) for mean in cell.metrics.values()]
            rows.append([row.entrant, str(cell.seeds), *means])
        yield Grid(problem.label, ["method", "n", *(_titled(problem, key) for key in problem.metrics)], rows, marks)


def _titled(problem: Problem, key: str) -> str:
    info = problem.metrics[key]
    owner = f"{info.task}: " if info.task is not None and info.task not in key else ""
    return f"{owner}{key} {'↑' if info.higher_is_better else '↓'}"


def _delta(row: Row, cell: Cell) -> str:
    if row.reference:
        return "reference"
    return _bracket(_number(cell.delta_m.value, 2, sign=True), cell.complete) + _gap(_interval(cell.delta_m, 2))


def _mark(row: Row) -> str:
    if row.rank is None:
        return "reference"
    if not row.complete:
        return "incomplete"
    return "best" if row.rank == 1 or row.like_best else ""


def _number(value: float, digits: int, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "n/a"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    small = float(text) == 0.0 and value != 0.0
    return f"{value:.1e}" if (small and digits > 2) or abs(value) >= 1e7 else text


def _interval(estimate: Estimate, digits: int) -> str:
    if math.isnan(estimate.low):
        return ""
    return f"[{_number(estimate.low, digits)}, {_number(estimate.high, digits)}]"


def _bracket(text: str, complete: bool) -> str:
    return text if complete or text == "n/a" else f"({text})"


def _gap(text: str) -> str:
    return f" {text}" if text else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Without anything that moves the cursor, starts a line or turns the direction of writing: such characters are spelled out."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _terminal(grids: Sequence[Grid], lines: Sequence[str], width: int, colour: bool) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=colour, color_system="standard" if colour else None, _environ={})
    styles = {"best": "bold green", "reference": "cyan", "incomplete": "dim", "": ""}
    for grid in grids:
        for columns in _blocks(grid, width):
            drawn = RichTable(title=Text(printable(grid.title), style="bold"), title_justify="left", box=SIMPLE_HEAD, padding=0)
            for index, cells in columns.items():
                name = grid.header[index]
                justify: Literal["left", "right"] = "left" if name in _LEFT else "right"
                drawn.add_column(Text(printable(name)), justify=justify, overflow="fold", width=cells)
            for row, mark in zip(grid.rows, grid.marks, strict=True):
                drawn.add_row(*(Text(printable(row[index])) for index in columns), style=styles[mark])
            console.print(drawn)
    for line in lines:
        console.print(Text(printable(line)))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _blocks(grid: Grid, width: int) -> Iterator[dict[int, int]]:
    """Columns with their widths, in blocks that fit the terminal; every block starts with the entrant. Nothing is cut off: cells fold."""
    from rich.cells import cell_len

    sizes = []
    for index, name in enumerate(grid.header):
        longest = max(cell_len(printable(row[index])) for row in [grid.header, *grid.rows])
        sizes.append(min(longest, _FOLDED.get(name, longest)))
    first = min(sizes[0], width // 2)
    block = {0: first}
    for index, size in enumerate(sizes[1:], start=1):
        fits = sum(block.values()) + size + len(block) + 2 <= width  # a space between columns and at both edges
        if len(block) > 1 and not fits:
            yield block
            block = {0: first}
        block[index] = min(size, width - first - 3)
    yield block


_LEFT = ("method", "failed")
_FOLDED = {"method": 28, "failed": 11, "mean rank": 5}
"""Columns that fold beyond so many characters."""

_ENTITIES = re.compile(r"[&<>|@]|:(?=//)|(?<=www)\.")
_SYNTAX = re.compile(r"[\\`*\[\]~$]|(?<!\w)_|_(?!\w)")


def markdown(text: str) -> str:
    """Text that Markdown and HTML show as it is, links, mentions and tables included."""
    escaped = _SYNTAX.sub(lambda match: f"\\{match.group()}", printable(text))
    return _ENTITIES.sub(lambda match: f"&#{ord(match.group())};", escaped)


def _markdown(grids: Sequence[Grid], lines: Sequence[str]) -> str:
    parts = []
    for grid in grids:
        aligned = ["---" if name in _LEFT else "---:" for name in grid.header]
        body = [[markdown(cell) for cell in row] for row in grid.rows]
        rows = [[markdown(name) for name in grid.header], aligned, *body]
        parts.append(f"**{markdown(grid.title)}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    parts.append("\n".join(f"- {markdown(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


Line = dict[str, str | float | int | None]


def method_lines(table: Table) -> list[Line]:
    """A line an entrant with the numbers of its row, nan where there is none; all lines have the same keys."""
    lines = []
    for row in table.rows:
        line: Line = {"rank": row.rank, "entrant": row.entrant, "reference": _truth(row.reference)}
        line |= {"complete": _truth(row.complete), "like_best": _truth(row.like_best)}
        for name, estimate in (("delta_m", row.delta_m), ("delta_p", row.delta_p)):
            line |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        line |= {"mean_rank": row.mean_rank, "runs_finished": row.finished, "runs_expected": row.expected}
        line |= {"failures": sum(row.failures.values()), "failures_by_status": " ".join(f"{k}:{v}" for k, v in row.failures.items())}
        line |= {"relative_cost": row.cost, "passes_per_step": row.passes}
        for label, cell in row.cells.items():
            for name, value in (("", cell.delta_m.value), ("_low", cell.delta_m.low), ("_high", cell.delta_m.high)):
                line[f"delta_m{name} {label}"] = value
        lines.append(line)
    return lines


def metric_lines(table: Table) -> list[Line]:
    """A line a metric and entrant: the mean over the seeds and its interval."""
    lines: list[Line] = []
    for problem in table.problems:
        for key, info in problem.metrics.items():
            for row in table.rows:
                cell = row.cells[problem.label]
                mean = cell.metrics[key]
                lines.append(
                    {
                        "suite": problem.suite,
                        "problem": problem.name,
                        "task": info.task,
                        "metric": key,
                        "higher_is_better": _truth(info.higher_is_better),
                        "entrant": row.entrant,
                        "complete": _truth(cell.complete),
                        "mean": mean.value,
                        "low": mean.low,
                        "high": mean.high,
                        "seeds": cell.seeds,
                    }
                )
    return lines


def _truth(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _csv(lines: list[Line]) -> str:
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    if lines:
        writer.writerow([_cell(name) for name in lines[0]])
        writer.writerows([_cell(value) for value in line.values()] for line in lines)
    return output.getvalue()


def _cell(value: str | float | int | None) -> str | float | int:
    """A spreadsheet runs text that starts like a formula, so such text is quoted; numbers are numbers, and nan is empty."""
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text
    return "" if value is None or math.isnan(value) else value


def _json(table: Table) -> str:
    """Everything, nan as null; <, > and & are escaped so that the text may stand inside a page's script element."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(table), indent=1).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"
