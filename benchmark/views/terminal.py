"""Grids in a terminal: nothing is cut off. What does not fit folds inside its cell or goes on in a block below."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from benchmark.views.text import printable

if TYPE_CHECKING:
    from benchmark.views.grids import Grid

FOLDED = {"method": 28, "failed": 11, "mean rank": 5, "provenance": 24}
"""Columns that fold beyond so many characters."""
STYLES = {"best": "bold green", "reference": "cyan", "incomplete": "dim", "": ""}


def draw(grids: Sequence[Grid], lines: Sequence[str], width: int, colour: bool) -> str:
    """Text of at most ``width`` columns that ends with a newline."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=colour, color_system="standard" if colour else None, _environ={})
    for grid in grids:
        for place, columns in enumerate(blocks(grid, width)):
            title = f"{printable(grid.title)}{', continued' if place else ''}"
            drawn = RichTable(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, padding=0)
            for index, cells in columns.items():
                justify: Literal["left", "right"] = "left" if index in grid.left else "right"
                drawn.add_column(Text(printable(grid.header[index])), justify=justify, overflow="fold", width=cells)
            for row, mark in zip(grid.rows, grid.marks, strict=True):
                drawn.add_row(*(Text(printable(row[index])) for index in columns), style=STYLES[mark])
            console.print(drawn)
    for line in lines:
        console.print(Text(printable(line)))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def blocks(grid: Grid, width: int) -> list[dict[int, int]]:
    """Columns with their widths, in blocks that fit; every block starts with the entrant. Optional columns are there if they take no
    block of their own."""
    whole = list(_cut(grid, range(len(grid.header)), width))
    less = list(_cut(grid, [index for index in range(len(grid.header)) if index not in grid.optional], width))
    return whole if len(whole) == len(less) else less


def _cut(grid: Grid, columns: Sequence[int], width: int) -> Iterator[dict[int, int]]:
    from rich.cells import cell_len

    sizes = []
    for index in columns:
        name = grid.header[index]
        longest = max(cell_len(printable(row[index])) for row in [grid.header, *grid.rows])
        sizes.append(min(longest, FOLDED.get(name, longest)))
    first = min(sizes[0], width // 2)
    block = {columns[0]: first}
    for index, size in zip(columns[1:], sizes[1:], strict=True):
        fits = sum(block.values()) + size + len(block) + 2 <= width  # a space between columns and at both edges
        if len(block) > 1 and not fits:
            yield block
            block = {columns[0]: first}
        block[index] = min(size, width - first - 3)
    yield block
