"""Our own runs of the problem that a published table is about, scored on the table's metrics against our own single-task training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from benchmark import budgets, selection
from benchmark.board import Estimate
from benchmark.published.facts import Table
from benchmark.records import RunRecord
from benchmark.table import build


@dataclass(frozen=True, slots=True)
class Ours:
    """One entrant of our own on the problem of a published table."""

    entrant: str
    suite: str
    problem: str
    reference: bool
    """Our own single-task training, which the others are relative to."""
    seeds: int
    """Compared seeds that finished."""
    complete: bool
    """No failure, and every compared seed is there; otherwise the numbers are of the finished seeds, without an interval."""
    delta_m: Estimate
    delta_p: Estimate


def beside(records: Sequence[RunRecord], table: Table) -> tuple[list[Ours], list[str]]:
    """Rows of our own for a table, suite by suite, and what a reader must know of them; none where no records are of its problems.

    The table's metrics are compared, each counted to the table's task, whatever our own leaderboard compares. An entrant's row is of the
    configuration that the suite's leaderboard shows by default.
    """
    rows, notes = [], []
    for suite in sorted({record.spec.suite for record in records if record.spec.problem in table.problems}):
        of_suite = [record for record in records if record.spec.suite == suite]
        shown, chosen = selection.shown(of_suite, budgets.common(of_suite))
        for problem in table.problems:
            built = build(restricted([record for record in shown if record.spec.problem == problem], table))
            notes += [f"ours, suite {suite}: {note}" for note in [*chosen, *built.notes]]
            for row in built.rows:
                (cell,) = row.cells.values()
                rows.append(Ours(row.entrant, suite, problem, row.reference, cell.seeds, cell.complete, cell.delta_m, cell.delta_p))
    return rows, list(dict.fromkeys(notes))


def restricted(records: Iterable[RunRecord], table: Table) -> list[RunRecord]:
    """The records with the metrics of the table and no others, each counted to its task."""
    tasks = {metric.ours: metric.task for metric in table.metrics.values()}
    found = []
    for record in records:
        there = {key: task for key, task in tasks.items() if key in record.metrics}
        metrics = {key: msgspec.structs.replace(record.metrics[key], task=task, compared=True) for key, task in there.items()}
        test = {key: value for key, value in record.test.items() if key in metrics}
        found.append(msgspec.structs.replace(record, metrics=metrics, test=test))
    return found
