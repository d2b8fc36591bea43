"""Packs, unpacks, merges and checks folders of records."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from benchmark.commands.flags import one_of
from benchmark.errors import UsageError
from benchmark.heap import uncollected
from benchmark.packing import Step
from benchmark.shelf import Damaged
from benchmark.store import Store
from benchmark.views.text import printable

SHOWN = 50
"""Lines of what is wrong, or of conflicts, before they are only counted."""


@uncollected()
def pack(results: Path) -> None:
    """Packs the loose records.

    Raises:
        UsageError: there are no records at all.
    """
    from benchmark import packing

    store = Store(results)
    with progress() as step:
        done = packing.pack(store, step)
    _skipped(done.left)
    if not done.records and not done.known:
        if not store.shelf.packs([]) and not done.left:
            raise UsageError(f"{results.resolve()} has no records to pack (make some: python -m benchmark run)")
        print("nothing to pack")
        return
    if done.path is not None:
        size = done.path.stat().st_size
        print(f"packed {done.records:,} records into {done.path} ({size / 1e6:,.1f} MB, {size / done.records:,.0f} bytes a record)")
    if done.known:
        print(f"removed {done.known:,} loose records that were packed already")


def unpack(results: Path) -> None:
    """Makes the packed records loose again.

    Raises:
        UsageError: there are none.
    """
    from benchmark import packing

    store = Store(results)
    with progress() as step:
        done = packing.unpack(store, step)
    _skipped(done.left)
    if not done.records and not done.known and not done.left:
        raise UsageError(f"{results.resolve()} has no packed records (pack some: python -m benchmark results pack)")
    print(f"unpacked {done.records:,} records" + (f"; {done.known:,} were loose already" if done.known else ""))


def merge(results: Path, other: Path, prefer: str) -> int:
    """Takes the records of another folder; 2 where conflicts stand in the way.

    Raises:
        UsageError: the other folder is this one, or has no records.
    """
    from benchmark import merging

    one_of("--prefer", prefer, ["", "ours", "theirs"])
    if other.resolve() == results.resolve():
        raise UsageError(f"{other} is the folder that it would be merged into; give another one, or --results")
    theirs = Store(other)
    if not other.is_dir() or not (next(theirs.loose([]), None) or theirs.shelf.names()):
        raise UsageError(f"{other.resolve()} has no records: expected a folder of results, with records/ or packed/ in it")
    with progress() as step:
        done = merging.merge(Store(results), theirs, cast(Literal["ours", "theirs"] | None, prefer or None), step)
    _skipped(done.damaged)
    if done.conflicts:
        lines = [f"{each.id} ({each.name}): ours is {each.ours}, theirs {each.theirs}" for each in done.conflicts]
        _list("conflict: ", lines)
        print(
            f"error: {len(done.conflicts):,} trials have other results in {other}, and nothing was merged; "
            "say whose shall stay: --prefer ours or --prefer theirs",
            file=sys.stderr,
        )
        return 2
    settled = f", {done.replaced:,} replaced by theirs" * bool(done.replaced) + f", {done.kept:,} kept against theirs" * bool(done.kept)
    print(f"merged {other} into {results}: {done.added:,} records added, {done.same:,} were there already{settled}")
    if done.verdicts:
        print(f"{done.verdicts:,} verdicts came with them; look again yourself: python -m benchmark verify {results} --again")
    return 0


def check(results: Path) -> int:
    """Prints what is there and what is wrong with it; 1 where anything is.

    Raises:
        UsageError: there are no records.
    """
    from benchmark import checking

    with progress() as step:
        report = checking.check(Store(results), step)
    if not report.loose and not report.files and not report.wrong:
        raise UsageError(f"{results.resolve()} has no records (make some: python -m benchmark run)")
    grid = Table(box=None, show_header=False, pad_edge=False)
    for name, text in (
        ("trials", f"{report.trials:,}"),
        ("loose records", f"{report.loose:,}"),
        ("packed records", f"{report.packed:,} in {report.files:,} files"),
        ("suites", ", ".join(f"{name} {count:,}" for name, count in sorted(report.suites.items()))),
        ("statuses", ", ".join(f"{name} {count:,}" for name, count in report.statuses.most_common())),
        ("wrong", f"{len(report.wrong):,}"),
    ):
        grid.add_row(Text(name, style="bold"), Text(printable(text)))
    Console(width=None if sys.stdout.isatty() else 100).print(grid)
    for note in report.notes:
        print(f"note: {printable(note)}")
    _list("wrong: ", [f"{each.path}: {each.reason}" for each in report.wrong])
    return 1 if report.wrong else 0


def _skipped(damaged: Iterable[Damaged]) -> None:
    _list("warning: skipped ", [f"{each.path}: {each.reason}" for each in damaged])


def _list(head: str, lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        print(head + printable(line), file=sys.stderr)
    if len(lines) > SHOWN:
        print(f"{head}and {len(lines) - SHOWN:,} more", file=sys.stderr)


@contextmanager
def progress() -> Iterator[Step]:
    """A bar for each thing that is done, in a terminal only."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bars: dict[str, int] = {}

        def step(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total or None)
            progress.update(progress.tasks[bars[what]].id, completed=done)

        yield step
