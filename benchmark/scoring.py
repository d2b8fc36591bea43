"""Arrays of one problem, and what they say of one entrant. An entrant that lacks a run is nan throughout: it enters no estimate."""

from __future__ import annotations

import math
import statistics as stdlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.board import Cell, Estimate
from benchmark.field import Field
from benchmark.runs import Problem, seed_range
from benchmark.sheet import Columns, columns

if TYPE_CHECKING:  # numpy is loaded by who scores, and not by whoever imports this module
    import numpy as np
    from numpy.typing import NDArray

    from benchmark.runs import Group
    from benchmark.statistics import Floats, Intervals, Sample


@dataclass(frozen=True)
class Score:
    """One problem as arrays, rows in the order of the entrants."""

    grid: Floats
    """[entrants, seeds, metrics], nan where a run is not done."""
    done: NDArray[np.bool_]
    """[entrants, seeds]"""
    complete: NDArray[np.bool_]
    """[entrants]"""
    ranks: Floats
    """[entrants]"""
    used: list[int]
    """Metrics that enter Δm and Δp."""
    zero: list[str]
    """Metrics that would, if the baseline were not 0."""
    sample: Sample | None
    """What Δm and Δp are made of, incomplete entrants nan throughout; None without a baseline."""


def score(group: Group, field: Field) -> Score:
    """The arrays of one problem. An incomplete entrant is nan throughout, so that it can enter no estimate and ranks last."""
    import numpy as np

    from benchmark import statistics

    problem, runs, entrants = group.problem, group.runs, field.entrants
    keys = list(problem.metrics)
    grid = np.full((len(entrants), len(problem.seeds), len(keys)), np.nan)
    done = np.zeros(grid.shape[:2], dtype=np.bool_)
    failed = np.zeros(len(entrants), dtype=np.bool_)
    place = {seed: column for column, seed in enumerate(problem.seeds)}
    for row, entrant in enumerate(entrants):
        own = columns(runs.get(entrant, {}), keys)
        failed[row] = bool(own.failures)
        at = np.array([place.get(seed, -1) for seed in own.seeds], dtype=np.int64)
        finished = own.done & (at >= 0)
        done[row, at[finished]] = True
        grid[row, at[finished]] = own.values[finished]
    complete = done.all(axis=1) & ~failed
    strict = np.where(complete[:, None, None], grid, np.nan)
    higher = np.array([info.higher_is_better for info in problem.metrics.values()], dtype=np.bool_)
    ranks = np.full(len(entrants), np.nan)
    ranked = [row for row, entrant in enumerate(entrants) if entrant not in field.partial]
    owned = [column for column, key in enumerate(keys) if problem.metrics[key].task is not None and problem.metrics[key].compared]
    counted = [column for column, key in enumerate(keys) if column in owned or problem.metrics[key].task is None]
    if ranked and counted:
        ranks[ranked] = statistics.mean_rank(strict[ranked][..., counted].mean(axis=1), higher[counted])
    used: list[int] = []
    zero: list[str] = []
    sample = None
    if problem.baseline and field.baseline is not None:
        base = grid[entrants.index(field.baseline)]
        zero = [keys[column] for column in owned if base[:, column].mean() == 0.0]
        used = [column for column in owned if keys[column] not in zero]
        tasks = list(dict.fromkeys(problem.metrics[keys[column]].task for column in used))
        owner = np.array([tasks.index(problem.metrics[keys[column]].task) for column in used])
        sample = statistics.Sample(strict[:, :, used], base[:, used], higher[used], owner) if used else None
    return Score(grid, done, complete, ranks, used, zero, sample)


def cell(problem: Problem, score: Score, index: int, delta_m: Intervals | None, delta_p: Intervals | None, confidence: float) -> Cell:
    """One entrant on one problem; where it is incomplete, its finished seeds against the same seeds of the baseline."""
    from benchmark import statistics

    finished, sample = score.done[index], score.sample
    whole = bool(score.complete[index])
    deltas = (estimate(delta_m, index), estimate(delta_p, index))
    if not whole and sample is not None and finished.any():
        values = score.grid[index, finished][:, score.used].mean(axis=0)
        change = statistics.relative_change(values, sample.baseline[finished].mean(axis=0), sample.higher_is_better)
        deltas = (Estimate(float(statistics.delta_m(change))), Estimate(float(statistics.delta_p(change, sample.task))))
    metrics = dict.fromkeys(problem.metrics, Estimate())
    if finished.any():
        means = statistics.mean_intervals(score.grid[index, finished].T, confidence)
        bounds = zip(means.value.tolist(), means.low.tolist(), means.high.tolist(), strict=True)
        metrics = {key: Estimate(*each) for key, each in zip(problem.metrics, bounds, strict=True)}
    return Cell(whole, int(finished.sum()), *deltas, float(score.ranks[index]), metrics)


def remarks(group: Group, score: Score, field: Field) -> list[str]:
    """What a reader must know about the numbers of one problem."""
    problem, runs = group.problem, group.runs
    notes = []
    if score.zero:
        notes.append(f"{problem.label}: {field.baseline_name} has 0 for {', '.join(score.zero)}, which Δm and Δp leave out")
    for entrant in field.entrants:
        missing = [seed for seed in problem.seeds if seed not in runs.get(entrant, {})]
        if missing and entrant not in field.partial:
            notes.append(f"{problem.label}: {entrant} was not run with {seed_range(missing)}")
    return notes


def costs(field: Field) -> tuple[dict[str, float], str | None]:
    """Step time of every entrant as a multiple of that of equal weights, and who that is.

    Where equal weights takes no part or was not timed, it is a multiple of the cheapest, and the second is None. Single-task training, a
    sum over tasks, does not count as the cheapest.
    """
    import numpy as np

    from benchmark import statistics

    times = np.array([[_median(own.step_seconds[own.done].tolist()) for own in _columns(field, each)] for each in field.entrants])
    equal = field.equal if field.equal is not None and not np.isnan(times[field.entrants.index(field.equal)]).all() else None
    unit = [entrant == equal if equal is not None else entrant not in field.partial for entrant in field.entrants]
    return dict(zip(field.entrants, statistics.relative_costs(times, unit).tolist(), strict=True)), equal


def memory(field: Field, entrant: str) -> float:
    """Bytes: the median over seeds of a run's peak, on the problem that takes most; nan where no record tells."""
    known = [_median(own.peak_memory[own.done].tolist()) for own in _columns(field, entrant)]
    return max((value for value in known if not math.isnan(value)), default=math.nan)


def passes(field: Field, entrant: str) -> float:
    """Backward passes a step, mean over problems."""
    return mean(mean(own.passes[own.done].tolist()) for own in _columns(field, entrant))


def _columns(field: Field, entrant: str) -> list[Columns]:
    """A problem each."""
    return [columns(group.runs.get(entrant, {})) for group in field.groups]


def estimate(intervals: Intervals | None, index: int) -> Estimate:
    if intervals is None:
        return Estimate()
    return Estimate(float(intervals.value[index]), float(intervals.low[index]), float(intervals.high[index]))


def mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return stdlib.fmean(known) if known else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return stdlib.median(known) if known else math.nan
