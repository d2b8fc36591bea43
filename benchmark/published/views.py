"""Published tables on a terminal and as Markdown. Names come from others' tables and from records, so no text is ever interpreted."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmark.published.beside import Ours
from benchmark.published.facts import SUMMARIES, Summary
from benchmark.published.recompute import Recomputed, Recount, Row
from benchmark.views import markdown, printable

Drawn = Literal["table", "md"]

CONTRADICTED = "✗"
SYMBOL: dict[Summary, str] = {"Delta_m": "Δm", "Delta_p": "Δp", "MR": "MR"}
_UNIT: dict[Summary, str] = {"Delta_m": "Δm %", "Delta_p": "Δp %", "MR": "MR"}
_MANY = 12
"""Cells of a baseline that are listed; more are in the table's file."""


@dataclass(frozen=True, slots=True)
class Page:
    """A published table, what its cells say, and our own runs of it."""

    recount: Recount
    ours: tuple[Ours, ...] = ()
    notes: tuple[str, ...] = ()
    """On our own runs."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A titled rectangle of text; ``marks`` gives each row's style."""

    title: str
    header: list[str]
    rows: list[list[str]]
    marks: list[str]
    lines: list[str]
    """Below it."""


def render(pages: Sequence[Page], format: Drawn = "table", *, width: int = 100, colour: bool = False) -> str:
    """The tables one after another, each by itself, as text that ends with a newline.

    Several of them begin with a list for a terminal and in Markdown, where those without Δm are in that list alone.

    Args:
        pages: what to show.
        format: ``table`` for a terminal, or ``md``.
        width: columns of the terminal.
        colour: whether the terminal shows colour.
    """
    whole = [page for page in pages if len(pages) == 1 or page.recount.table.baseline is not None]
    grids = [_grid(page) for page in whole]
    if len(pages) > 1:
        grids.insert(0, contents([page.recount for page in pages]))
        if len(whole) < len(pages):
            grids[0].lines.append("Those without Δm are not shown in full here: ask for them by their own name.")
    return draw(grids, footer(pages), format, width=width, colour=colour)


def contents(recounts: Sequence[Recount]) -> Grid:
    """A line a table: its name for the command line, whose it is, and how many printed summaries its cells contradict."""
    rows = []
    for recount in recounts:
        counts = [_count(recount, name) for name in SUMMARIES]
        agree, against = (sum(count[index] for count in counts) for index in (0, 1))
        checked = f"{against} of {agree + against}" if agree + against else "-"
        rows.append([recount.table.name, recount.table.title, recount.table.source, str(len(recount.rows)), checked])
    title = f"{len(recounts)} published tables, which differ in network, recipe or methods and are never mixed"
    return Grid(title, ["table", "benchmark", "source", "rows", "contradicted"], rows, [""] * len(rows), [])


def footer(pages: Sequence[Page]) -> list[str]:
    """What a reader must know to read the numbers, one line each."""
    lines = [
        "Recomputed from the printed cells by the functions that score our runs. Δm: mean over metrics, lower is better, negative = better "
        "than single-task training. Δp: mean over tasks, higher is better. MR: mean rank, 1 is best, ties averaged.",
        "rounding: how far from it the cells reach, each of them, and each of single-task training's, being anywhere within half a unit of "
        "its last printed digit. It is no confidence interval: the sources give no spread, so published rows have none, and none is made "
        "up.",
        f"{CONTRADICTED}: no cells that print like these have this summary. An MR without it may differ from the one beside it, as papers "
        "break ties, and order cells that print alike, in other ways.",
    ]
    bases = [page.recount.table.baseline for page in pages]
    lines += dict.fromkeys(
        f"Single-task training of {base.source}: {', '.join(f'{name} {number.text}' for name, number in base.line.cells.items())}."
        for base in bases
        if base is not None and base.source and len(base.line.cells) <= _MANY
    )
    if any(page.ours for page in pages):
        lines.append(
            "ours: our own runs, against our own single-task runs; [low, high] is a 95 % interval over n seeds, paired bootstrap with "
            "Student's t (baseline resampled too); none for one seed. (in parentheses): of the finished runs only. Ranks are among the "
            "rows of the source, so ours have none."
        )
        lines += dict.fromkeys(f"Protocols differ: {page.recount.table.difference}." for page in pages if page.ours)
    return lines


Column = tuple[str, Callable[[Row], str], Callable[[Ours], str]]
"""Its header, and its cell of a published row and of one of ours."""


def _columns(page: Page) -> list[Column]:
    """Those that some row has a number for. Ranges by rounding stand apart from ours, which are intervals."""
    rows = page.recount.rows
    columns: list[Column] = []
    for name in SUMMARIES:
        printed = any(row.summaries[name].printed is not None for row in rows)
        recomputed = any(not math.isnan(row.summaries[name].value) for row in rows)
        if printed:
            columns.append((f"{SYMBOL[name]} printed", partial(_printed, name=name), _nothing))
        if recomputed or (page.ours and name != "MR"):
            columns.append((_UNIT[name], partial(_recomputed, name=name), partial(_our_number, name=name)))
        if printed and recomputed and name != "MR":
            columns.append(("rounding", partial(_rounding, name=name), _nothing))
    return [*columns, ("n", _nothing, lambda ours: str(ours.seeds))] if page.ours else columns


def _grid(page: Page) -> Grid:
    """Sorted by recomputed Δm, single-task training first, and what lacks a run of ours last."""
    columns = _columns(page)
    entries: list[tuple[tuple[float, ...], list[str], str]] = []
    for index, row in enumerate(page.recount.rows):
        wrong = contradicted(row)
        cells = [f"{row.line.method} {CONTRADICTED}" if wrong else row.line.method, *(published(row) for _, published, _ in columns)]
        entries.append((_order(row, index), cells, "reference" if row.reference else "contradicted" if wrong else ""))
    for each in page.ours:
        key = (0.0, 1.0) if each.reference else (1.0 if each.complete else 2.0, _last(each.delta_m.value))
        entries.append((key, [f"ours: {each.entrant}", *(own(each) for _, _, own in columns)], "ours"))
    entries.sort(key=lambda entry: entry[0])
    table = page.recount.table
    header = ["method", *(title for title, _, _ in columns)]
    return Grid(f"{table.title}: {table.source}", header, [cells for _, cells, _ in entries], [mark for _, _, mark in entries], notes(page))


def notes(page: Page) -> list[str]:
    """Below a table: whose it is, what its cells say of what is printed, and what cannot be recomputed."""
    recount = page.recount
    table = recount.table
    lines = [f"Table {table.name} ({table.confidence}): {table.protocol}."]
    if table.baseline is not None and table.baseline.source:
        lines.append(f"Single-task training is from another source, {table.baseline.source}: {table.baseline.why}.")
    for name in SUMMARIES:
        agree, against = _count(recount, name)
        if agree + against:
            lines.append(f"Printed {SYMBOL[name]}: {agree} of {agree + against} agree with the cells.")
    lines += [f"{line[0].upper()}{line[1:]}." for line in recount.missing]
    for row in recount.rows:
        remark = table.remarks.get(row.line.method)
        wrong = [_explained(name, each) for name, each in row.summaries.items() if each.verdict == "contradicted"]
        said = [*wrong, *([remark] if remark else [])]
        if said:
            lines.append(f"{CONTRADICTED + ' ' if wrong else ''}{row.line.method}: {'; '.join(said)}.")
    return lines + [f"Note: {note}." for note in page.notes]


def _explained(name: Summary, summary: Recomputed) -> str:
    allowed = _range(summary, name) or " under every rule for ties"
    return f"{SYMBOL[name]} is printed as {as_printed(summary, mark=False)}, and the cells give {_value(summary.value, name)}{allowed}"


def _nothing(row: object) -> str:
    return ""


def _printed(row: Row, name: Summary) -> str:
    return as_printed(row.summaries[name])


def _recomputed(row: Row, name: Summary) -> str:
    if row.reference:
        return "reference" if name == "Delta_m" else ""
    return _value(row.summaries[name].value, name)


def _rounding(row: Row, name: Summary) -> str:
    """How far what the cells allow reaches."""
    summary = row.summaries[name]
    if math.isnan(summary.low):
        return ""
    return "any" if math.isinf(summary.low) else f"±{max(summary.high - summary.value, summary.value - summary.low):.2f}"


def _value(value: float, name: Summary) -> str:
    return "n/a" if math.isnan(value) else f"{value:.2f}" if name == "MR" else f"{value:+.2f}"


def _range(summary: Recomputed, name: Summary) -> str:
    """Empty where the cells leave one mean rank only."""
    if math.isnan(summary.low) or (name == "MR" and summary.low == summary.high):
        return ""
    return f" [{summary.low:.2f}, {summary.high:.2f}]"


def as_printed(summary: Recomputed, mark: bool = True) -> str:
    """With the zeros that the source's precision says were there."""
    if summary.printed is None:
        return ""
    decimals = max(0, round(-math.log10(2 * summary.printed.half)))
    return f"{float(summary.printed.value):.{decimals}f}" + (f" {CONTRADICTED}" if mark and summary.verdict == "contradicted" else "")


def _our_number(each: Ours, name: Summary) -> str:
    if each.reference:
        return "reference" if name == "Delta_m" else ""
    if name == "MR":
        return ""
    estimate = each.delta_m if name == "Delta_m" else each.delta_p
    text = "n/a" if math.isnan(estimate.value) else f"{estimate.value:+.2f}"
    bounds = "" if math.isnan(estimate.low) else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"{text}{bounds}" if each.complete or text == "n/a" else f"({text})"


def _order(row: Row, index: int) -> tuple[float, ...]:
    """Recomputed Δm, then what else there is, then the order of the source."""
    if row.reference:
        return (0.0, 0.0, float(index))
    printed = [row.summaries[name].printed for name in ("Delta_m", "MR")]
    others = [math.nan if number is None else float(number.value) for number in printed]
    return (1.0, *(_last(value) for value in (row.summaries["Delta_m"].value, row.summaries["MR"].value, *others)), float(index))


def _last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def contradicted(row: Row) -> bool:
    """Whether any printed summary of the row is."""
    return any(summary.verdict == "contradicted" for summary in row.summaries.values())


def _count(recount: Recount, name: Summary) -> tuple[int, int]:
    """How many printed summaries agree, and how many are contradicted."""
    verdicts = [row.summaries[name].verdict for row in recount.rows]
    return verdicts.count("agrees"), verdicts.count("contradicted")


def draw(grids: Sequence[Grid], lines: Sequence[str], format: Drawn, *, width: int = 100, colour: bool = False) -> str:
    """Grids and closing lines for a terminal or as Markdown."""
    return _markdown(grids, lines) if format == "md" else _terminal(grids, lines, width, colour)


_LEFT = ("method", "table", "benchmark", "source", "claim", "evidence", "verdict")
_FOLDED = ("method", "benchmark", "source", "claim", "ours", "evidence")
"""Columns that fold, to _LEAST characters and below, before any other does."""
_LEAST = 12
_STYLES = {"reference": "cyan", "contradicted": "bold red", "ours": "bold green", "": ""}


def _terminal(grids: Sequence[Grid], lines: Sequence[str], width: int, colour: bool) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=colour, color_system="standard" if colour else None, _environ={})
    for grid in grids:
        drawn = RichTable(box=SIMPLE_HEAD, padding=0)
        stiff = [
            max(map(len, (*name.split(), *cells))) for name, *cells in zip(grid.header, *grid.rows, strict=True) if name not in _FOLDED
        ]
        fits = sum(stiff) + _LEAST * (len(grid.header) - len(stiff)) + len(grid.header) < width
        for name in grid.header:
            justify: Literal["left", "right"] = "left" if name in _LEFT else "right"
            title = printable(name).replace(" printed", "\nprinted")
            drawn.add_column(Text(title), justify=justify, overflow="fold", no_wrap=fits and name not in _FOLDED)
        for row, mark in zip(grid.rows, grid.marks, strict=True):
            drawn.add_row(*(Text(printable(cell)) for cell in row), style=_STYLES[mark])
        console.print(Text(printable(grid.title), style="bold"))
        console.print(drawn)
        for line in grid.lines:
            console.print(Text(printable(line)))
        console.print()
    for line in lines:
        console.print(Text(printable(line), style="dim" if colour else ""))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _markdown(grids: Sequence[Grid], lines: Sequence[str]) -> str:
    parts = []
    for grid in grids:
        rows = [[markdown(name) for name in grid.header], ["---" if name in _LEFT else "---:" for name in grid.header]]
        rows += [[markdown(cell) for cell in row] for row in grid.rows]
        parts.append(f"**{markdown(grid.title)}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
        parts += ["\n".join(f"- {markdown(line)}" for line in grid.lines)] if grid.lines else []
    parts += ["---\n\n" + "\n".join(f"- {markdown(line)}" for line in lines)] if lines else []
    return "\n\n".join(parts) + "\n"
