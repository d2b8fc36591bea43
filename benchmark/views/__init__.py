"""The table for four readers: a terminal, a Markdown page, a spreadsheet, a program.

A table becomes grids of plain cells first; each format then only draws and escapes. Names come from records, and records from anywhere, so
no text is ever interpreted: not as rich markup or terminal codes, not as Markdown or HTML, not as a formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from benchmark.views import page, sections, terminal
from benchmark.views.columns import SORTABLE, arranged
from benchmark.views.export import Line, as_csv, as_json, method_lines, metric_lines
from benchmark.views.grids import Grid
from benchmark.views.legend import footer
from benchmark.views.page import document, markdown
from benchmark.views.sections import Section
from benchmark.views.text import printable

if TYPE_CHECKING:
    from benchmark.board import Table

__all__ = [
    "SORTABLE",
    "By",
    "Format",
    "Grid",
    "Line",
    "Section",
    "arranged",
    "document",
    "footer",
    "markdown",
    "method_lines",
    "metric_lines",
    "printable",
    "render",
    "sections",
    "show",
]

Format = Literal["table", "md", "csv", "json"]
By = Literal["method", "task"]


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
    return show([sections.of_task(table) if by == "task" else sections.of_method(table)], format, width=width, colour=colour)


def show(parts: Sequence[Section], format: Format = "table", *, width: int = 100, colour: bool = False) -> str:
    """Sections as text that ends with a newline: how to read them is said once, below them all.

    Raises:
        ValueError: an unknown format.
    """
    if format == "json":
        tables = [table for part in parts for table in part.tables]
        return as_json(tables or [line for part in parts for line in part.lines])
    if format == "csv":
        return as_csv([line for part in parts for line in part.lines])
    if format not in get_args(Format):
        raise ValueError(f"format={format!r}: expected one of {', '.join(get_args(Format))}")
    last = sections.legend_of(parts)
    drawn = []
    for part in parts:
        told = part.remarks if part is not parts[-1] else [*part.remarks[:1], *last, *part.remarks[1:]]
        drawn.append(page.draw(part.grids, told) if format == "md" else terminal.draw(part.grids, told, width, colour))
    return "\n".join(drawn)
