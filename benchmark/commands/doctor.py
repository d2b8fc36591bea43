"""Whether this machine can run a study."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark.doctor import examine
from benchmark.views import printable


def doctor(results: Path, *, offline: bool, as_json: bool) -> None:
    """Prints every check; exit status 1 where something would make a study fail."""
    found = examine(results, offline=offline)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("check", "", "what was found", "what mends it"):
            grid.add_column(column)
        for check in found:
            grid.add_row(*(escape(printable(text)) for text in (check.name, check.status, check.message, check.fix)))
        Console().print(grid)
    if any(check.status == "problem" for check in found):
        raise typer.Exit(1)
