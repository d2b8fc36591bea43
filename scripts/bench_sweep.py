"""What a sweep costs besides training: overhead a trial, what a second worker gains, a thousand trivial trials; by executor.

Everything that is compared is measured in the same round, one after the other, and the ratio or difference is taken within the round: other
work on the machine changes both. Reported are the median and the quartiles over the rounds, beside what is asked.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import csv_rows
import torch
from bench_steps import processor
from rich.console import Console
from sweep_work import WORK, Span, job, rate, span, turn

from benchmark import executors
from benchmark.executors import Resources

PATH = Path(__file__).parent.parent / "results" / "bench" / "sweep.csv"
POOLS = ("local", "ray")


@dataclass(frozen=True)
class Row:
    """One figure over n rounds. ``asked`` is the most that it may be, or the least where ``least`` is 1; nothing where nothing is."""

    part: str
    figure: str
    unit: str
    median: float
    q25: float
    q75: float
    n: int
    asked: float | None
    least: int
    torch: str
    cpu: str
    date: str

    @property
    def missed(self) -> bool:
        return self.asked is not None and (self.median < self.asked if self.least else self.median > self.asked)


@dataclass(frozen=True)
class Asked:
    """What a figure should be, and its unit."""

    unit: str
    value: float | None = None
    least: bool = False


Round = dict[str, float]
"""Figures by name."""
Part = tuple[Callable[[argparse.Namespace], Iterator[Round]], dict[str, Asked]]
"""What measures, a round every time that it is asked for the next, and what its figures should be."""


# -- the part `executors` ----------------------------------------------------------------------------------------------------------------


def executor_rounds(given: argparse.Namespace) -> Iterator[Round]:
    loops = calibrated(given.seconds)
    while True:
        found: Round = {}
        each = {name: spacing(ran(name, 1, given.trivial)) for name in POOLS}
        found |= {f"{name}: seconds between trivial trials": value for name, value in each.items()}
        found["ray over local: seconds a trial"] = each["ray"] - each["local"]
        for name in POOLS:
            one, two = (rate(ran(name, jobs, given.trials, loops)) for jobs in (1, 2))
            found[f"{name}: two jobs over one"] = two / one
        for name in POOLS:
            began = time.perf_counter()
            ran(name, 2, 1000)
            found[f"{name}: 1,000 trivial trials, start included"] = time.perf_counter() - began
        yield found


EXECUTORS = {
    "local: seconds between trivial trials": Asked("s"),
    "ray: seconds between trivial trials": Asked("s"),
    "ray over local: seconds a trial": Asked("s", 0.1),
    "local: two jobs over one": Asked("x", 1.7, least=True),
    "ray: two jobs over one": Asked("x", 1.7, least=True),
    "local: 1,000 trivial trials, start included": Asked("s", 60.0),
    "ray: 1,000 trivial trials, start included": Asked("s", 60.0),
}


def calibrated(seconds: float) -> int:
    """Turns that take so many seconds of one core."""
    matrix, count = torch.full((64, 64), 0.01), 2000
    for _ in range(count // 4):
        matrix = turn(matrix)
    began = time.process_time()
    for _ in range(count):
        matrix = turn(matrix)
    return round(seconds * count / (time.process_time() - began))


def ran(name: str, jobs: int, trials: int, loops: int = 0) -> list[Span]:
    """The spans of so many equal trials, in the order of their ends; the executor is started and stopped around them."""
    with executors.create(name, Resources(jobs=jobs), work=WORK) as pool:
        return sorted(map(span, pool.run([job(seed, loops) for seed in range(trials)])), key=lambda each: each.end)


def spacing(spans: Sequence[Span]) -> float:
    """Seconds from one trial's end to the next one's, without the start of the workers."""
    return (spans[-1].end - spans[0].end) / (len(spans) - 1)


# -- the command line --------------------------------------------------------------------------------------------------------------------


PARTS: dict[str, Part] = {"executors": (executor_rounds, EXECUTORS)}
"""By the name that ``--part`` takes."""


def rows_of(part: str, rounds: Sequence[Round], asked: dict[str, Asked]) -> list[Row]:
    """A row a figure, in the order in which they are asked for."""
    rows = []
    for figure, wanted in asked.items():
        values = [found[figure] for found in rounds]
        q25, median, q75 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        rows.append(
            Row(
                part=part,
                figure=figure,
                unit=wanted.unit,
                median=round(median, 5),
                q25=round(q25, 5),
                q75=round(q75, 5),
                n=len(values),
                asked=wanted.value,
                least=int(wanted.least),
                torch=str(torch.__version__),
                cpu=processor("cpu"),
                date=date.today().isoformat(),
            )
        )
    return rows


def said(row: Row) -> str:
    """One line: the figure, its spread, what is asked."""
    asked = (
        "" if row.asked is None else f"  asked {'>=' if row.least else '<='} {row.asked:g} {row.unit}: {'MISSED' if row.missed else 'met'}"
    )
    return f"{row.figure}: {row.median:.4g} {row.unit} [{row.q25:.4g}, {row.q75:.4g}], n={row.n}{asked}"


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, default=None, help="only this one; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=12, help="long trials of a measurement")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a long trial takes on an idle core")
    parser.add_argument("--trivial", type=int, default=200, help="trivial trials of the overhead")
    parser.add_argument("--quick", action="store_true", help="one round of few and short trials: does it run?")
    parser.add_argument("--out", type=Path, default=PATH, help="the CSV; rows of other parts in it stay")
    found = parser.parse_args(given)
    if found.quick:
        found.rounds, found.trials, found.seconds, found.trivial = 1, 6, 0.3, 50
    return found


def main(argv: Sequence[str] | None = None) -> None:
    given = arguments(argv)
    torch.set_num_threads(1)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for part in [given.part] if given.part else PARTS:
        measure, asked = PARTS[part]
        rounds: list[Round] = []
        for found in measure(given):
            rounds.append(found)
            console.print(f"{part}, round {len(rounds)} of {given.rounds}: {', '.join(f'{k} {v:.4g}' for k, v in found.items())}")
            rows = rows_of(part, rounds, asked)
            csv_rows.write(given.out, Row, [*(row for row in csv_rows.read(given.out, Row) if row.part != part), *rows])
            if len(rounds) >= given.rounds:
                break
        for row in rows:
            print(said(row))


if __name__ == "__main__":
    main()
