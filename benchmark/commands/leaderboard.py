"""From records to a table on the screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console

import methods as registry
from benchmark import budgets, selection
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
    """Prints the table of one suite, or of every suite that has records; by default with the largest search that all in it had.

    Raises:
        UsageError: an unknown format, search or rule, or nothing to show: no records, or none that a table ranks.
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
    tables, empty = [], []
    for name in suites if suite is None else [suite]:
        of_suite = [record for record in scan.records if record.spec.suite == name]
        made = replace(budgets.common(of_suite, kind, study_seed), rule=decides)
        made = made if budget is None else replace(made, budget=budget)
        records, notes = selection.shown(of_suite, made)
        if records:
            unequal = budgets.notes(budgets.sizes(of_suite, made), made, records, asked=budget is not None)
            tables.append((records, [*notes, *unequal]))
        else:
            empty.append(_why_empty(name, of_suite, made))
    if not tables:
        raise UsageError("; ".join(empty))
    for why in empty:
        print(f"warning: {why}", file=sys.stderr)
    for records, notes in tables:
        print_table(records, scan.damaged, output, notes)


def _why_empty(suite: str, records: Sequence[RunRecord], search: selection.Search) -> str:
    """Why there are records, but no row; and the command that makes one."""
    if any(record.spec.role == "eval" and not selection.explored(record.spec) for record in records):
        found = f"none is an evaluation of what this search ({search.kind}, budget {search.budget}) chose"
    else:
        search = selection.largest(records) if search.budget == 1 else search
        found = "all are of tuning or of adaptive searches, and a leaderboard ranks neither"
    command = f"python -m benchmark run --suite {suite}"
    if search.budget > 1:
        how = [f" --search {search.kind}"] * (search.kind != "quasi-random") + [f" --study-seed {search.seed}"] * bool(search.seed)
        command = f"python -m benchmark sweep --suite {suite} --budget {search.budget}{''.join(how)}"
    return f"nothing to rank of suite {suite!r}: of its {len(records)} records {found} (make evaluation records: {command})"


def print_table(records: list[RunRecord], damaged: Sequence[Damaged], output: str, notes: Sequence[str] = ()) -> None:
    console = Console()
    built = build(records, damaged=damaged)
    built = replace(built, notes=[*built.notes, *notes])
    print(render(built, cast(Format, output), width=min(console.width, 100) if console.is_terminal else 100, colour=console.is_terminal))


def warn(scan: Scan) -> None:
    for damaged in scan.damaged:
        print(f"warning: skipped {printable(damaged.path)}: {printable(damaged.reason)}", file=sys.stderr)
