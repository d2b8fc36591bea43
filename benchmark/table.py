"""From records to the leaderboard: a pure function.

    records -> of one setting -> runs, one an (entrant, problem, seed) -> statistics -> rows

Nothing is dropped or averaged without a note, and a failure never improves a row: a row that lacks any run ranks below all that lack none.
"""

from __future__ import annotations

import math
import statistics as stdlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from benchmark.records import RunRecord
from benchmark.runs import Group, Problem, Run, one_setting, place, runs_of, seed_range, settle
from benchmark.store import Damaged

if TYPE_CHECKING:  # numpy is loaded by ``build`` and not by whoever imports this module
    import numpy as np
    from numpy.typing import NDArray

    from benchmark.statistics import Bootstrap, Floats, Intervals, Sample


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval; nan where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Cell:
    """One entrant on one problem."""

    complete: bool
    """No failure, and every compared seed is there. Otherwise the numbers below are of the finished seeds and have no interval for Δ."""
    seeds: int
    """Compared seeds that finished."""
    delta_m: Estimate
    delta_p: Estimate
    mean_rank: float
    """Over the metrics that Δm compares and those of the whole problem; incomplete cells tie for the last place."""
    metrics: dict[str, Estimate]
    """Means over the finished seeds."""


@dataclass(frozen=True)
class Row:
    """One entrant."""

    rank: int | None
    """None for single-task training, which is what the others are measured against."""
    entrant: str
    reference: bool
    """This row is the baseline: its Δm is 0 by construction."""
    complete: bool
    like_best: bool | None
    """Whether the interval of the paired difference to the best row contains 0; None where that is not known."""
    delta_m: Estimate
    delta_p: Estimate
    mean_rank: float
    finished: int
    """(problem, seed) pairs that finished, of ``expected``."""
    expected: int
    failures: dict[str, int]
    """Failed runs by status, on any seed."""
    cost: float
    """Step time as a multiple of the cheapest entrant's; of single-task training, the sum over its tasks."""
    passes: float
    """Backward passes through the trunk per step."""
    cells: dict[str, Cell]
    """By the problem's label."""


@dataclass(frozen=True)
class Table:
    """A leaderboard with everything that its reader must be told."""

    suites: list[str]
    problems: list[Problem]
    rows: list[Row]
    """Best first; single-task training on top."""
    notes: list[str]
    damaged: list[Damaged]
    records: int
    """Evaluation records that the table was asked to show."""
    confidence: float
    draws: int


@dataclass(frozen=True)
class _Score:
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


def build(
    records: Iterable[RunRecord],
    suite: str | None = None,
    *,
    damaged: Sequence[Damaged] = (),
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Table:
    """The leaderboard of a suite, or of all suites together. Only evaluation records count, and their order does not matter.

    Args:
        records: any records; where an entrant was tuned, the caller has picked which of its settings to show.
        suite: leave out the records of other suites.
        damaged: passed through to whoever shows the table.
        confidence: level of the intervals.
        draws: bootstrap draws.
        seed: of the bootstrap.
    """
    members = _members(records, suite)
    if not members:
        return Table([], [], [], [], list(damaged), 0, confidence, draws)
    suites = sorted({record.spec.suite for record in members})
    groups, entrants, partial, baseline, notes = _grouped(members)
    rows, remarks = _rows(groups, entrants, partial, baseline, confidence, draws, seed)
    devices = sorted({record.environment["device"] for record in members if "device" in record.environment})
    if len(devices) > 1:
        notes.append(f"costs compare runs on different devices: {', '.join(devices)}")
    return Table(suites, [group.problem for group in groups], rows, notes + remarks, list(damaged), len(members), confidence, draws)


def gaps(
    records: Iterable[RunRecord], entrant: str, suite: str | None = None, *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Δm of every entrant less that of ``entrant``, on each problem: by the problem's label, then by the other's name.

    Seeds are paired, and the draws are those of :func:`build` on the same records. The intervals are one at a time: m of them that shall
    hold together want a ``confidence`` of 1 - 0.05 / m (Bonferroni). Entrants that lack a run are left out, and problems without a
    baseline.
    """
    from benchmark import statistics

    groups, entrants, partial, baseline, _ = _grouped(_members(records, suite))
    scores = [_score(group, entrants, partial, baseline) for group in groups]
    samples = [score.sample for score in scores if score.sample is not None]
    if entrant not in entrants or not samples:
        return {}
    differences = statistics.paired_bootstrap(samples, draws, seed).delta_m.minus(entrants.index(entrant))
    found: dict[str, dict[str, Estimate]] = {}
    for group, score in zip(groups, scores, strict=True):
        if score.sample is not None:
            intervals = statistics.pooled(differences.on(len(found)), confidence)
            estimates = {other: _estimate(intervals, index) for index, other in enumerate(entrants) if other != entrant}
            found[group.problem.label] = {other: each for other, each in estimates.items() if not math.isnan(each.value)}
    return found


def _members(records: Iterable[RunRecord], suite: str | None) -> list[RunRecord]:
    """The evaluation records of a suite, each once, in an order of their own."""
    unique = {record.id: record for record in records if record.spec.role == "eval" and suite in (None, record.spec.suite)}
    return sorted(unique.values(), key=lambda record: (place(record), record.spec.entrant, record.spec.seed, record.id))


def _grouped(members: list[RunRecord]) -> tuple[list[Group], list[str], set[str], str | None, list[str]]:
    """Problem by problem; all entrants, those that train single tasks, the baseline among them, and what the reader must be told."""
    suites = {record.spec.suite for record in members}
    entrants = sorted({record.spec.entrant for record in members})
    partial = {record.spec.entrant for record in members if len(record.trained) == 1 < len(record.tasks)}
    groups: list[Group] = []
    notes: list[str] = []
    for (of, name), group in groupby(members, key=place):
        label = name if len(suites) == 1 else f"{of}/{name}"
        alike, left_out = one_setting(label, list(group))
        runs, metrics, doubts = runs_of(label, alike, partial)
        tasks = next((record.tasks for record in alike if record.tasks), [])
        groups.append(Group(Problem(label, of, name, tasks, metrics, [], False), runs))
        notes += left_out + doubts
    finished = {entrant: sum(run.done for group in groups for run in group.runs.get(entrant, {}).values()) for entrant in sorted(partial)}
    baseline = max(finished, key=finished.__getitem__, default=None)
    if len(partial) > 1:
        notes.append(f"several entrants train single tasks ({', '.join(sorted(partial))}); the baseline is {baseline}")
    method = next((record.spec.method for record in members if record.spec.entrant == baseline), "single_task")
    for index, each in enumerate(groups):
        groups[index], lacks = settle(each, baseline, partial, method)
        notes += lacks
    return groups, entrants, partial, baseline, notes


def _rows(
    groups: list[Group], entrants: list[str], partial: set[str], baseline: str | None, confidence: float, draws: int, seed: int
) -> tuple[list[Row], list[str]]:
    """Rows in the order of the table: single-task training, then complete rows by Δm, then the others by failures and mean rank."""
    from benchmark import statistics

    scores = [_score(group, entrants, partial, baseline) for group in groups]
    samples = [score.sample for score in scores if score.sample is not None]
    boot = statistics.paired_bootstrap(samples, draws, seed) if samples else None
    notes = [note for group, score in zip(groups, scores, strict=True) for note in _remarks(group, score, entrants, partial)]
    cells: dict[str, dict[str, Cell]] = {entrant: {} for entrant in entrants}
    column = 0
    for group, score in zip(groups, scores, strict=True):
        delta_m = delta_p = None
        if boot is not None and score.sample is not None:
            delta_m, delta_p = (statistics.pooled(each.on(column), confidence) for each in (boot.delta_m, boot.delta_p))
            column += 1
        for index, entrant in enumerate(entrants):
            cells[entrant][group.problem.label] = _cell(group.problem, score, index, delta_m, delta_p, confidence)
    totals = tuple(statistics.pooled(each, confidence) for each in (boot.delta_m, boot.delta_p)) if boot is not None else (None, None)
    costs = _costs(groups, entrants, partial)
    rows = []
    for index, entrant in enumerate(entrants):
        mine = list(cells[entrant].values())
        runs = [run for group in groups for run in group.runs.get(entrant, {}).values()]
        complete = all(cell.complete for cell in mine)
        finished = [Estimate(_mean(getattr(cell, name).value for cell in mine)) for name in ("delta_m", "delta_p")]
        means = [_estimate(total, index) for total in totals] if complete else finished
        rows.append(
            Row(
                rank=None,
                entrant=entrant,
                reference=entrant == baseline,
                complete=complete,
                like_best=None,
                delta_m=means[0],
                delta_p=means[1],
                mean_rank=math.nan if entrant in partial else stdlib.fmean(cell.mean_rank for cell in mine),
                finished=sum(cell.seeds for cell in mine),
                expected=sum(len(group.problem.seeds) for group in groups),
                failures=dict(sorted(Counter(status for run in runs for status in run.failures).items())),
                cost=costs[entrant],
                passes=_mean(run.passes for run in runs if run.done),
                cells=cells[entrant],
            )
        )
    return _ranked(rows, partial, boot, confidence), notes


def _ranked(rows: list[Row], partial: set[str], boot: Bootstrap | None, confidence: float) -> list[Row]:
    """Sorts, numbers (equal rows share a rank) and compares with the best. ``rows`` are in the order of the bootstrap's methods."""
    from benchmark import statistics

    def key(row: Row) -> tuple[bool, float, float, float]:
        if not row.complete:
            return True, sum(row.failures.values()), _last(row.mean_rank), _last(row.delta_m.value)
        return False, _last(row.delta_m.value), _last(row.mean_rank), 0.0

    entered = sorted((row for row in rows if row.entrant not in partial), key=lambda row: (key(row), row.entrant))
    keys = [key(row) for row in entered]
    like: dict[str, bool] = {}
    if boot is not None and entered and entered[0].complete:
        gaps = statistics.pooled(boot.delta_m.minus(rows.index(entered[0])), confidence)
        for index, row in enumerate(rows):
            if row.complete and not math.isnan(gaps.low[index]):
                like[row.entrant] = bool(gaps.low[index] <= 0.0 <= gaps.high[index])
    references = sorted((row for row in rows if row.entrant in partial), key=lambda row: (not row.reference, row.entrant))
    return references + [replace(row, rank=1 + keys.index(key(row)), like_best=like.get(row.entrant)) for row in entered]


def _score(group: Group, entrants: list[str], partial: set[str], baseline: str | None) -> _Score:
    """The arrays of one problem. An incomplete entrant is nan throughout, so that it can enter no estimate and ranks last."""
    import numpy as np

    from benchmark import statistics

    problem, runs = group.problem, group.runs
    keys = list(problem.metrics)
    grid = np.full((len(entrants), len(problem.seeds), len(keys)), np.nan)
    done = np.zeros(grid.shape[:2], dtype=np.bool_)
    for row, entrant in enumerate(entrants):
        for column, seed in enumerate(problem.seeds):
            run = runs.get(entrant, {}).get(seed, Run())
            done[row, column] = run.done
            if run.done:
                grid[row, column] = [run.values.get(key, math.nan) for key in keys]
    failed = np.array([any(run.failures for run in runs.get(entrant, {}).values()) for entrant in entrants])
    complete = done.all(axis=1) & ~failed
    strict = np.where(complete[:, None, None], grid, np.nan)
    higher = np.array([info.higher_is_better for info in problem.metrics.values()], dtype=np.bool_)
    ranks = np.full(len(entrants), np.nan)
    ranked = [row for row, entrant in enumerate(entrants) if entrant not in partial]
    owned = [column for column, key in enumerate(keys) if problem.metrics[key].task is not None and problem.metrics[key].compared]
    counted = [column for column, key in enumerate(keys) if column in owned or problem.metrics[key].task is None]
    if ranked and counted:
        ranks[ranked] = statistics.mean_rank(strict[ranked][..., counted].mean(axis=1), higher[counted])
    used: list[int] = []
    zero: list[str] = []
    sample = None
    if problem.baseline and baseline is not None:
        base = grid[entrants.index(baseline)]
        zero = [keys[column] for column in owned if base[:, column].mean() == 0.0]
        used = [column for column in owned if keys[column] not in zero]
        tasks = list(dict.fromkeys(problem.metrics[keys[column]].task for column in used))
        owner = np.array([tasks.index(problem.metrics[keys[column]].task) for column in used])
        sample = statistics.Sample(strict[:, :, used], base[:, used], higher[used], owner) if used else None
    return _Score(grid, done, complete, ranks, used, zero, sample)


def _cell(problem: Problem, score: _Score, index: int, delta_m: Intervals | None, delta_p: Intervals | None, confidence: float) -> Cell:
    """One entrant on one problem; where it is incomplete, its finished seeds against the same seeds of the baseline."""
    from benchmark import statistics

    finished, sample = score.done[index], score.sample
    whole = bool(score.complete[index])
    deltas = (_estimate(delta_m, index), _estimate(delta_p, index))
    if not whole and sample is not None and finished.any():
        values = score.grid[index, finished][:, score.used].mean(axis=0)
        change = statistics.relative_change(values, sample.baseline[finished].mean(axis=0), sample.higher_is_better)
        deltas = (Estimate(float(statistics.delta_m(change))), Estimate(float(statistics.delta_p(change, sample.task))))
    means = statistics.mean_intervals(score.grid[index, finished].T, confidence) if finished.any() else None
    metrics = {key: _estimate(means, column) for column, key in enumerate(problem.metrics)}
    return Cell(whole, int(finished.sum()), *deltas, float(score.ranks[index]), metrics)


def _remarks(group: Group, score: _Score, entrants: list[str], partial: set[str]) -> list[str]:
    """What a reader must know about the numbers of one problem."""
    problem, runs = group.problem, group.runs
    notes = []
    if score.zero:
        notes.append(f"{problem.label}: single-task training has 0 for {', '.join(score.zero)}, which Δm and Δp leave out")
    for entrant in entrants:
        missing = [seed for seed in problem.seeds if seed not in runs.get(entrant, {})]
        if missing and entrant not in partial:
            notes.append(f"{problem.label}: {entrant} was not run with {seed_range(missing)}")
    return notes


def _costs(groups: list[Group], entrants: list[str], partial: set[str]) -> dict[str, float]:
    """Step time of every entrant relative to the cheapest; single-task training, a sum over tasks, does not count as the cheapest."""
    from benchmark import statistics

    times = [
        [_median(run.step_seconds for run in group.runs.get(entrant, {}).values() if run.done) for group in groups] for entrant in entrants
    ]
    return dict(zip(entrants, statistics.relative_costs(times, [entrant not in partial for entrant in entrants]).tolist(), strict=True))


def _estimate(intervals: Intervals | None, index: int) -> Estimate:
    if intervals is None:
        return Estimate()
    return Estimate(float(intervals.value[index]), float(intervals.low[index]), float(intervals.high[index]))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return stdlib.fmean(known) if known else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return stdlib.median(known) if known else math.nan


def _last(value: float) -> float:
    """For sorting: no number comes after every number."""
    return math.inf if math.isnan(value) else value
