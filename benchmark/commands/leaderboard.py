"""From records to a table on the screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console

import methods as registry
from benchmark import selection
from benchmark.commands.flags import one_of, search_kind, selection_rule
from benchmark.errors import UsageError
from benchmark.records import RunRecord
from benchmark.store import Damaged, Scan, Store
from benchmark.table import build
from benchmark.views import Format, printable, render

FORMATS = ("table", "md", "csv", "json")


def leaderboard(
    *,
    suite: str | None,
    output: str,
    results: Path,
    budget: int | None = None,
    search: str = "",
    study_seed: int | None = None,
    rule: str = selection.DEFAULT,
) -> None:
    """Prints the table of one suite, or of every suite that has records; by default with the largest search that was made.

    Raises:
        UsageError: an unknown format, search or rule, or no record to show.
    """
    one_of("--format", output, FORMATS)
    kind, decides = search_kind(search) if search else None, selection_rule(rule)
    scan = Store(results).scan()
    suites = sorted({record.spec.suite for record in scan.records})
    if suite is not None and suite not in suites:
        known = f"there are records of: {', '.join(suites)}" if suites else f"{results.resolve()} has no records"
        hint = registry.suggestion(suite, suites)
        raise UsageError(f"no records of suite {suite!r}{hint} ({known}; make some: python -m benchmark run --suite {suite})")
    if not suites:
        raise UsageError(f"{results.resolve()} has no records (make some: python -m benchmark run --suite smoke)")
    warn(scan)
    for name in suites if suite is None else [suite]:
        of_suite = [record for record in scan.records if record.spec.suite == name]
        made = replace(selection.largest(of_suite, kind, study_seed), rule=decides)
        records, notes = selection.shown(of_suite, made if budget is None else replace(made, budget=budget))
        print_table(records, scan.damaged, output, notes)


def print_table(records: list[RunRecord], damaged: Sequence[Damaged], output: str, notes: Sequence[str] = ()) -> None:
    console = Console()
    built = build(records, damaged=damaged)
    built = replace(built, notes=[*built.notes, *notes])
    print(render(built, cast(Format, output), width=min(console.width, 100) if console.is_terminal else 100, colour=console.is_terminal))


def warn(scan: Scan) -> None:
    for damaged in scan.damaged:
        print(f"warning: skipped {printable(damaged.path)}: {printable(damaged.reason)}", file=sys.stderr)
