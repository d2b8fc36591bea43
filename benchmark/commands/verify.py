"""Checks a folder of records, and runs some of them again."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import methods as registry
from benchmark import executors, verification, verification_again
from benchmark.commands.flags import locations, one_of
from benchmark.commands.results import SHOWN, progress
from benchmark.errors import UsageError
from benchmark.executors import Resources
from benchmark.heap import uncollected
from benchmark.progress import counted
from benchmark.records import RunRecord
from benchmark.store import Store
from benchmark.verification_compare import SPREAD, Compared
from benchmark.verification_here import Here
from benchmark.verification_summary import Summary, summarise
from benchmark.views.text import printable

PATIENCE = 20.0
"""Times what the slowest of the records took, after which a run is given up; at least ten minutes."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be verified."""

    results: Path
    sample: int | None
    whole: bool
    again: bool
    suite: str
    methods: str
    seed: int | None
    jobs: int
    executor: str
    data_dir: Path | None
    offline: bool
    tolerance: float | None
    as_json: bool


@uncollected()
def verify(request: Request) -> int:
    """Prints what was found; 1 where anything failed.

    Raises:
        UsageError, MethodError: flags that do not go together, a folder without records, or names that are not in it.
        StoreError: verdicts cannot be written.
    """
    if request.whole and request.sample is not None:
        raise UsageError(f"--sample {request.sample} with --all: leave one of the two out")
    one_of("--executor", request.executor, ("local", "inline"))
    where = locations(request.data_dir, request.offline)
    names, sources = _named(request.methods)
    store, here = Store(request.results), Here(where)
    with progress() as step:
        found = verification.examine(store, here, _wanted(request.suite, names), step)
    if not found.entries and not found.damaged:
        of = f" of suite {request.suite}" * bool(request.suite) + f" of {', '.join(names)}" * bool(names)
        raise UsageError(f"{request.results.resolve()} has no records{of} (make some: python -m benchmark run)")
    seed = random.SystemRandom().randrange(10**6) if request.seed is None else request.seed
    count = len(found.entries) if request.whole else request.sample
    chosen = verification_again.draw(found, count, seed, again=request.again)
    verification_again.condemn(found)
    _run(request, found, verification_again.records(found, chosen), sources)
    summary = summarise(found)
    if request.as_json:
        print(_json(request, summary, seed))
    else:
        _print(summary, seed, bool(chosen) and not request.whole)
    return 0 if summary.passed else 1


def _named(words: str) -> tuple[list[str], tuple[str, ...]]:
    """``--methods``: files and objects are made known, and plain names are all that is looked at."""
    names: list[str] = []
    sources: list[str] = []
    for word in filter(None, (each.strip() for each in words.split(","))):
        if word.endswith(".py") or ":" in word:
            sources += [source.origin for name in registry.load(word) if (source := registry.find(name)) and source.origin]
        else:
            names.append(word)
    return names, tuple(dict.fromkeys(sources))


def _wanted(suite: str, names: list[str]) -> Callable[[RunRecord], bool]:
    return lambda record: suite in ("", record.spec.suite) and (not names or record.spec.method in names)


def _run(request: Request, found: verification.Examined, drawn: verification_again.Drawn, sources: tuple[str, ...]) -> None:
    """Runs again what was drawn, with a bar."""
    if not drawn:
        return
    slowest = max(found.entries[id_].seconds for id_ in drawn)
    resources = Resources(jobs=request.jobs or executors.cores(), timeout=max(600.0, PATIENCE * slowest))
    work = verification_again.jobs(drawn, sources, found.here.where)
    console = Console(stderr=True)
    recorded = sum(found.entries[id_].seconds for id_ in drawn)
    console.print(f"running {len(drawn):,} records again; they took {recorded:,.0f} s of training", highlight=False)
    with counted(console, "running again", len(drawn)) as advance, executors.create(request.executor, resources) as pool:
        start = time.monotonic()

        def done(record: RunRecord, compared: Compared) -> None:
            if compared.result == "off":
                name = f"{record.spec.entrant} on {record.spec.problem}, seed {record.spec.seed}"
                console.print(printable(f"  not the same: {name}: {compared.words}"), style="red", markup=False, highlight=False)
            advance(time.monotonic() - start)

        verification_again.run(found, drawn, work, pool, done, request.tolerance)


def _print(summary: Summary, seed: int, drew: bool) -> None:
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    grid.add_column("row")
    for name in ("records", "checked", "run again", "verified", "failed", "not possible"):
        grid.add_column(name, justify="right")
    for line in summary.rows:
        numbers = (line.records, line.checked, line.again, line.verified, line.failed, line.impossible)
        grid.add_row(
            Text(printable(f"{line.suite}/{line.entrant}")), *(f"{number:,}" for number in numbers), style="red" if line.failed else ""
        )
    Console(width=None if sys.stdout.isatty() else 120).print(grid)
    for reason, ids in summary.impossible.items():
        some = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
        print(f"not possible here, and self-reported: {len(ids):,} records: {printable(reason)} ({printable(some)})")
    for note in summary.notes:
        print(f"note: {printable(note)}")
    for each in summary.failures[:SHOWN]:
        print(f"failed: {printable(f'{each.record} ({each.row})' if each.row else each.record)}: {printable(each.message)}")
    if len(summary.failures) > SHOWN:
        print(f"failed: and {len(summary.failures) - SHOWN:,} more (--json has them all)")
    if drew:
        print(f"drawn with --seed {seed}; another call goes on with what has no verdict yet")
    records, verified = sum(line.records for line in summary.rows), sum(line.verified for line in summary.rows)
    print(
        f"{'nothing failed' if summary.passed else f'{len(summary.failures):,} failed'}; {verified:,} of {records:,} records are verified"
    )


def _json(request: Request, summary: Summary, seed: int) -> str:
    return json.dumps(
        {
            "results": str(request.results),
            "seed": seed,
            "passed": summary.passed,
            "rows": [asdict(line) for line in summary.rows],
            "failures": [asdict(failure) for failure in summary.failures],
            "impossible": summary.impossible,
            "notes": summary.notes,
            "tolerance": {"relative": request.tolerance, "deviations": SPREAD},
        },
        indent=1,
    )
