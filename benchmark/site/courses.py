"""What an entrant did while it trained: curves of the records, a mean over the seeds with its interval at every evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from msgspec import UNSET

from benchmark.records import Point, RunRecord

POINTS = 40
"""At most so many of a curve are kept: more than a small figure shows."""

Number = float | None
Seeds = Mapping[int, Sequence[RunRecord]]
"""The finished runs of an entrant on a problem by seed: one record, or one a task where each is trained alone."""


@dataclass(frozen=True)
class Band:
    """One line and its interval, all lists of equal length; bounds are None where there is one seed."""

    steps: list[int]
    mean: list[Number]
    low: list[Number]
    high: list[Number]
    seeds: int
    """Runs behind it: the finished ones that have the number at every step."""


@dataclass(frozen=True)
class Course:
    """Lists are by task; a task's band is None where no run has it."""

    tasks: list[str]
    validation: list[Band | None] = field(default_factory=list)
    training: list[Band | None] = field(default_factory=list)
    weights: list[Band | None] = field(default_factory=list)
    metrics: dict[str, Band] = field(default_factory=dict)
    """Of the validation split, by metric; those that no run has, as in records from before they were kept, are not there."""
    cosine: Band | None = None
    conflicts: Band | None = None
    ends: list[list[float]] = field(default_factory=list)
    """[seeds][tasks]: validation losses at the selected step."""


def course(tasks: Sequence[str], runs: Seeds, metrics: Iterable[str] = ()) -> Course:
    """The course of one entrant on one problem; empty where no seed finished.

    Args:
        tasks: names of the problem's tasks.
        runs: its finished runs.
        metrics: the problem's metrics.
    """

    def losses(which: str) -> list[Band | None]:
        return [_band([_trainer(run, task).curve for run in runs.values()], partial(_read, which, task)) for task in range(len(tasks))]

    def metric(key: str) -> Band | None:
        """From the record of each run that has it: where every task is trained alone, that of the metric's task."""
        having = [[record for record in run if any(_metric(key, point) is not None for point in record.curve)] for run in runs.values()]
        return _band([records[0].curve for records in having if records], partial(_metric, key))

    whole = [run[0].curve for run in runs.values() if len(run) == 1]
    together = len(whole) == len(runs)
    return Course(
        tasks=list(tasks),
        validation=losses("validation_losses"),
        training=losses("train_losses"),
        weights=[_band(whole, partial(_read, "weights", task)) if together else None for task in range(len(tasks))],
        metrics={key: band for key in metrics if (band := metric(key)) is not None},
        cosine=_band(whole, partial(_known, "cosine")) if together else None,
        conflicts=_band(whole, partial(_known, "conflicts")) if together else None,
        ends=[end for run in runs.values() if (end := _end(run, len(tasks))) is not None],
    )


def _trainer(run: Sequence[RunRecord], task: int) -> RunRecord:
    """Of the records of a run, the one that trained the task."""
    return next((record for record in run if task in record.trained), run[0])


def _read(which: str, task: int, point: Point) -> Number:
    """A task's number of one of the lists of a point, as far as the list goes."""
    values: Sequence[Number] = getattr(point, which)
    return values[task] if task < len(values) else None


def _metric(key: str, point: Point) -> Number:
    return None if point.metrics is UNSET else point.metrics.get(key)


def _known(which: str, point: Point) -> Number:
    value = getattr(point, which)
    return None if value is UNSET else float(value)


def _end(run: Sequence[RunRecord], tasks: int) -> list[float] | None:
    """Validation losses of the model whose metrics count."""
    found = []
    for task in range(tasks):
        record = _trainer(run, task)
        point = next((point for point in record.curve if point.step == record.selected_step), None)
        value = _read("validation_losses", task, point) if point else None
        if value is None:
            return None
        found.append(value)
    return found


def _band(curves: Sequence[Sequence[Point]], read: Callable[[Point], Number]) -> Band | None:
    """Mean and interval over the curves at the steps that all of them have, as far as they have the number at any."""
    from benchmark import statistics

    values = [{point.step: read(point) for point in curve} for curve in curves]
    values = [each for each in values if any(value is not None for value in each.values())]
    if not values:
        return None
    steps = _thinned(sorted(set.intersection(*(set(each) for each in values))))
    if not steps:
        return None
    known = [[math.nan if (value := each[step]) is None else value for each in values] for step in steps]
    found = statistics.mean_intervals(known)
    mean, low, high = ([_rounded(value) for value in bound.tolist()] for bound in (found.value, found.low, found.high))
    return Band(steps, mean, low, high, len(values))


def _thinned(steps: list[int]) -> list[int]:
    """At most POINTS of them, evenly, the last among them."""
    every = math.ceil(len(steps) / POINTS)
    return steps[::-1][::every][::-1] if every else []


def _rounded(value: float) -> Number:
    """Four digits draw a line; what is not finite is a gap."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
