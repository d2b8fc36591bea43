"""What `bench_problems` writes, and what may be said from it: whether a problem tells equal weights from balanced training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import csv_rows

import methods
import tasks

PATH = Path(__file__).parent.parent / "results" / "bench" / "problems.csv"
REFERENCE = "equal"
LEAST = 3.0  # % of Δm


@dataclass(frozen=True)
class Row:
    """One entrant on one problem over n seeds.

    ``seconds``: CPU time of a run with its evaluations, of equal weights alone. ``delta_m`` in % with its 95 % interval.
    ``gap``: Δm less that of equal weights, seeds paired, with an interval at 1 - 0.05 / m for the m entrants that are compared.
    """

    problem: str
    version: int
    suite: str
    steps: int
    method: str
    n: int
    failed: int
    seconds: float | None
    delta_m: float | None
    low: float | None
    high: float | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    torch: str
    cpu: str
    date: str

    @property
    def near(self) -> float:
        """The end of the gap's interval that is nearer to 0, in %: 0 where the interval holds 0 or is not known."""
        if self.gap_low is None or self.gap_high is None:
            return 0.0
        return max(self.gap_low, -self.gap_high, 0.0)


@dataclass(frozen=True)
class Verdict:
    """Equal weights beside the best of the balancing methods and beside single-task training."""

    equal: Row
    best: Row | None
    single: Row | None
    balanced: int
    """Methods that the best was picked from."""

    @property
    def discriminates(self) -> bool:
        """Equal weights is at least 3 % Δm away from one of the two, by the near end of the interval.

        The best is picked after the fact, out of ``balanced`` methods: that is why the intervals of all comparisons hold together
        (Bonferroni, which is Holm's first step). Random weights do not count as balancing.
        """
        return any(row is not None and row.near >= LEAST for row in (self.best, self.single))

    @property
    def text(self) -> str:
        return (
            f"{'tells' if self.discriminates else 'does not tell'} equal weights from balanced or single-task training (n = {self.equal.n})"
        )


def compared(entrant: str) -> bool:
    """Balancing methods and single-task training; not equal weights themselves, nor random ones."""
    card = methods.card(entrant)
    return card.per_task or not card.baseline


def verdict(rows: Sequence[Row]) -> Verdict:
    """Of the rows of one problem."""
    of = {row.method: row for row in rows}
    single = next((row for row in rows if methods.card(row.method).per_task), None)
    balanced = [row for row in rows if compared(row.method) and row is not single and row.delta_m is not None]
    whole = [row for row in balanced if row.gap is not None]  # a failure has none, and what is left of it is no best
    return Verdict(of[REFERENCE], min(whole, key=lambda row: row.delta_m or 0.0, default=None), single, len(balanced))


def home(problem: str) -> tasks.Suite | None:
    """The packaged suite that has the problem under the settings of its card; None where none has.

    A suite that only takes from others, as a tour of all families does, is nobody's home.
    """
    card = tasks.problem(problem).card
    suites = [tasks.suite(name) for name in tasks.suite_names()]
    named = Counter(entry.problem for suite in suites for entry in suite.entries)
    for suite in suites:
        if all(named[entry.problem] > 1 for entry in suite.entries):
            continue
        for entry in suite.entries:
            if entry.problem == problem and (entry.steps, entry.batch_size, entry.learning_rate, entry.halve_every) == (
                card.steps,
                card.batch_size,
                card.learning_rate,
                card.halve_every,
            ):
                return suite
    return None


def write(path: Path, rows: Sequence[Row]) -> None:
    """Problems in the order in which they are listed, methods as they were ranked."""
    order = list(tasks.problems())
    path.parent.mkdir(parents=True, exist_ok=True)
    csv_rows.write(path, Row, sorted(rows, key=lambda row: order.index(row.problem)))


def read(path: Path) -> list[Row]:
    """What an earlier run has written, of problems that are still there."""
    return [row for row in csv_rows.read(path, Row) if row.problem in tasks.problems()]
