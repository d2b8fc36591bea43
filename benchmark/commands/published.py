"""From the published tables to a screen: ``leaderboard --published NAME``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from rich.console import Console

import methods as registry
from benchmark.commands.flags import one_of
from benchmark.commands.leaderboard import warn
from benchmark.errors import UsageError
from benchmark.published.beside import beside
from benchmark.published.exports import Written, export
from benchmark.published.facts import FOLDER, Table, load
from benchmark.published.recompute import recompute
from benchmark.published.views import Drawn, Page, contents, draw, render
from benchmark.store import Scan, Store

FORMATS = (*get_args(Drawn), *get_args(Written))


def published(*, name: str, output: str, results: Path, protocol: int | None = None, folder: Path = FOLDER) -> str:
    """The published tables that a name means, each by itself, with our own runs of their problems; without a name a list of all.

    Raises:
        UsageError: an unknown format or name, a damaged file, or records of ours that are of several protocols, none of which is asked for.
    """
    one_of("--format", output, FORMATS)
    tables = load(folder)
    console = Console()
    width, colour = min(console.width, 100) if console.is_terminal else 100, console.is_terminal
    if not name and output in get_args(Drawn):
        listed = contents([recompute(table) for table in tables.values() if table.entrants])
        lines = ["Show one, or all of a benchmark: python -m benchmark leaderboard --published NAME"]
        return draw([listed], lines, cast(Drawn, output), width=width, colour=colour)
    chosen = meant(name, tables) if name else [table for table in tables.values() if table.entrants]
    problems = {problem for table in chosen for problem in table.problems}
    scan = Store(results).scan() if problems else Scan([], [])
    warn(scan)
    ours = {(table.benchmark, table.problems): table for table in chosen}
    records = [record for record in scan.records if protocol in (None, record.spec.protocol)]
    scored = {key: beside(records, table) for key, table in ours.items()}
    pages = []
    for table in chosen:
        rows, notes = scored[table.benchmark, table.problems]
        pages.append(Page(recompute(table), tuple(rows), tuple(notes)))
    if output in get_args(Written):
        return export(pages, cast(Written, output))
    return render(pages, cast(Drawn, output), width=width, colour=colour)


def meant(name: str, tables: Mapping[str, Table], where: str = "--published") -> list[Table]:
    """The tables of this name: one by its own name, or all of a benchmark, with or without its network. Case does not matter.

    Raises:
        UsageError: there is none.
    """
    wanted = name.casefold()
    shown = [table for table in tables.values() if table.entrants]
    found = [table for table in tables.values() if table.name.casefold() == wanted]
    found = found or [table for table in shown if wanted in (table.benchmark.casefold(), table.title.casefold())]
    if not found:
        names = list(dict.fromkeys(each for table in shown for each in (table.benchmark, table.title, table.name)))
        close = registry.suggestion(wanted, [each.casefold() for each in names])
        benchmarks = ", ".join(dict.fromkeys(table.benchmark for table in shown))
        raise UsageError(f"{where} is {name!r}; expected a benchmark ({benchmarks}) or a table{close} (all: leaderboard --published)")
    return found
