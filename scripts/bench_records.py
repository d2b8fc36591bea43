"""How long a leaderboard takes over very many records, as a whole command: wall clock, seconds of processor, and the most memory it held.

The records are made up (``records_made_up.py``): a million packed ones, and twenty thousand loose ones. The folders are removed afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import csv_rows
from bench_steps import processor
from records_made_up import Size, records
from rich.console import Console

from benchmark.packed import Writer
from benchmark.store import Store

ROOT = Path(__file__).parent.parent
PATH = ROOT / "results" / "bench" / "records.csv"
SIZES = {"packed": Size(suites=5, problems=20, methods=50, seeds=96), "loose": Size(suites=1, problems=10, methods=30, seeds=25)}
ASKED = {("packed", "wall"): 10.0, ("packed", "memory"): 2.0, ("loose", "wall"): 5.0}


@dataclass(frozen=True)
class Row:
    """One figure over n calls. ``asked`` is the most that it may be; nothing where nothing is asked."""

    form: str
    records: int
    figure: str
    unit: str
    median: float
    least: float
    most: float
    n: int
    asked: float | None
    load: float
    """Processes that wanted a core, beside and with this one, a minute's mean at the end."""
    cores: int
    cpu: str
    date: str


def fill(folder: Path, form: str, size: Size) -> int:
    """Makes the records; how many."""
    count = 0
    if form == "loose":
        store = Store(folder)
        for count, record in enumerate(records(size), start=1):  # noqa: B007
            store.save(record)
        return count
    writer = Writer(folder / "packed")
    try:
        for record in records(size):
            writer.add(record)
        writer.close()
        writer.finish()
    finally:
        writer.drop()
    return writer.written


def called(folder: Path) -> dict[str, float]:
    """One leaderboard: seconds of wall clock and of processor, GiB of memory at the most."""
    command = [sys.executable, "-m", "benchmark", "leaderboard", "--results", str(folder)]
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"wall": wall, "processor": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 2**20}


def rows_of(form: str, count: int, rounds: Sequence[dict[str, float]]) -> list[Row]:
    return [
        Row(
            form=form,
            records=count,
            figure=figure,
            unit="GiB" if figure == "memory" else "s",
            median=round(statistics.median(each[figure] for each in rounds), 3),
            least=round(min(each[figure] for each in rounds), 3),
            most=round(max(each[figure] for each in rounds), 3),
            n=len(rounds),
            asked=ASKED.get((form, figure)),
            load=round(os.getloadavg()[0], 1),
            cores=os.cpu_count() or 1,
            cpu=processor("cpu"),
            date=date.today().isoformat(),
        )
        for figure in ("wall", "processor", "memory")
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--form", choices=SIZES, default=None, help="only this one; both by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round over few records: does it run?")
    parser.add_argument("--folder", type=Path, default=None, help="records that are there already; nothing is made or removed")
    parser.add_argument("--out", type=Path, default=PATH, help="the CSV; rows of the other form in it stay")
    given = parser.parse_args(argv)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for form in [given.form] if given.form else SIZES:
        size = Size(suites=1, problems=2, methods=4, seeds=3) if given.quick else SIZES[form]
        folder = given.folder or Path(tempfile.mkdtemp(prefix="records-"))
        try:
            count = sum(each.count for each in Store(folder).survey().records) if given.folder else fill(folder, form, size)
            console.print(f"{form}: {count:,} records")
            rounds: list[dict[str, float]] = []
            for _ in range(1 if given.quick else given.rounds):
                rounds.append(called(folder))
                console.print(", ".join(f"{name} {value:.2f}" for name, value in rounds[-1].items()))
                rows = rows_of(form, count, rounds)
                csv_rows.write(given.out, Row, [*(row for row in csv_rows.read(given.out, Row) if row.form != form), *rows])
        finally:
            if not given.folder:
                shutil.rmtree(folder)
        for row in rows:
            met = "" if row.asked is None else f", asked <= {row.asked:g}: {'MISSED' if row.median > row.asked else 'met'}"
            print(f"{form}, {count:,} records, {row.figure}: {row.median:g} {row.unit} [{row.least:g}, {row.most:g}], n={row.n}{met}")


if __name__ == "__main__":
    main()
