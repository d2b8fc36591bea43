"""Who is ahead at the same number of steps, who at the same training time, and who gets first to where equal weights end.

Pure functions of the runs' curves: the score of an evaluation is the mean over the tasks of validation loss over that of the best constant,
lower is better. Nothing is interpolated: a run stands where its last evaluation found it. Of scores and times inf means that there is none
and will be none (a run that failed, an evaluation that came too late, a score that was never reached), nan that there is no such run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import methods
from benchmark.errors import UsageError
from benchmark.runs import Group, Run

if TYPE_CHECKING:  # numpy is loaded by who races, and not by whoever imports this module
    from benchmark.statistics import Floats
    from benchmark.views import Grid

REFERENCE = "equal"
QUARTERS = (0.25, 0.5, 0.75, 1.0)
TIMES = (
    "times leave evaluation out, and compare on one device only: records of another machine, or of a busy one, have other times; seeds "
    "that were trained together share the times of their pass"
)

Unit = Literal["seconds", "steps"]


@dataclass(frozen=True)
class Race:
    """Scores of everybody at the same expense on one problem."""

    problem: str
    entrants: list[str]
    columns: list[str]
    """What was spent, in words."""
    scores: Floats
    """[entrants, seeds, columns]"""


@dataclass(frozen=True)
class Chase:
    """What everybody spent on one problem until as good as the reference was in the end, with the same seed."""

    problem: str
    reference: str
    entrants: list[str]
    target: Floats
    """[seeds] final score of the reference."""
    seconds: Floats
    """[entrants, seeds] of training."""
    steps: Floats
    """[entrants, seeds]"""

    def ratios(self, unit: Unit) -> Floats:
        """[entrants, seeds] multiples of what the reference itself spent until then."""
        spent = self.seconds if unit == "seconds" else self.steps
        return spent / spent[[self.entrants.index(self.reference)]]


@dataclass(frozen=True)
class Arrival:
    """One entrant's way to the target: the median over its runs, of which some may never arrive."""

    ratio: float
    """Of what the reference spent; inf where half of the runs or more never arrive."""
    low: float
    """Bounds of the 95 % interval; nan where runs are missing, a problem has one seed, or there are fewer than six runs."""
    high: float
    arrived: int
    runs: int


def at_steps(group: Group, steps: Sequence[int] | None = None) -> Race:
    """Scores after so many steps; by default at the last evaluations not after each quarter of the training.

    Args:
        group: the runs of one problem.
        steps: to look at; a run stands where its last evaluation not after them found it.
    """
    import numpy as np

    entrants = _entrants(group)
    looked = _quarters(group) if steps is None else list(steps)
    spent = np.broadcast_to(np.array(looked, dtype=np.float64), (len(group.problem.seeds), len(looked)))
    return Race(group.problem.label, entrants, [f"step {step:,}" for step in looked], _standings(group, entrants, spent, "steps"))


def at_time(group: Group, reference: str = REFERENCE) -> Race:
    """Scores at the training time that the reference took for its whole run with the same seed; nan for a seed that it did not finish."""
    import numpy as np

    entrants = _entrants(group)
    runs = [group.runs.get(reference, {}).get(seed, Run()) for seed in group.problem.seeds]
    spent = np.array([[run.curve[-1].seconds if run.done and run.curve else np.nan] for run in runs]).reshape(-1, 1)
    return Race(group.problem.label, entrants, [f"time of {reference}"], _standings(group, entrants, spent, "seconds"))


def time_to(group: Group, reference: str = REFERENCE) -> Chase:
    """Time and steps of every run until its score is that which the reference ends with, on the same seed.

    Raises:
        UsageError: the reference has no runs on this problem.
    """
    import numpy as np

    entrants, seeds = _entrants(group), group.problem.seeds
    if reference not in entrants:
        raise UsageError(_absent(reference, entrants, group.problem.label))
    target = np.full(len(seeds), np.nan)
    spent = np.full((2, len(entrants), len(seeds)), np.nan)
    for column, seed in enumerate(seeds):
        goal = group.runs[reference].get(seed, Run())
        if not goal.done or not goal.curve:
            continue
        target[column] = _score(goal, goal.curve[-1].step, "steps")
        for row, entrant in enumerate(entrants):
            run = group.runs[entrant].get(seed)
            if run is not None:
                ends = (point for point in run.curve if run.done and point.score is not None and point.score <= target[column])
                first = next(ends, None)
                spent[:, row, column] = (np.inf, np.inf) if first is None else (first.seconds, first.step)
    return Chase(group.problem.label, reference, entrants, target, *spent)


def arrivals(chases: Sequence[Chase], unit: Unit) -> dict[str, Arrival]:
    """Every entrant's median ratio over the runs of all these problems, with the interval of the sign test.

    A run that never arrives counts as slower than every other. Seeds that the reference did not finish are left out; an entrant that lacks
    any other run has the median of those it has, without an interval.

    The bounds are the order statistics that the median of a binomial count of runs leaves out with at most 2.5 % each (Thompson 1936).
    They hold it with at least 95 %, on several problems too, where the count varies less (Hoeffding 1956), and whatever the distribution
    of times: percentiles of a bootstrap held it with 88 % for seven runs. There are none below six runs.
    """
    import numpy as np

    found = {}
    for entrant in sorted({each for chase in chases for each in chase.entrants}):
        parts = []
        for chase in chases:
            ratios = chase.ratios(unit)[:, ~np.isnan(chase.target)]
            parts.append(ratios[chase.entrants.index(entrant)] if entrant in chase.entrants else np.full(ratios.shape[1], np.nan))
        wanted = np.concatenate(parts)
        runs = np.sort(wanted[~np.isnan(wanted)])
        bounds = _bounds(runs) if len(runs) == len(wanted) and min(map(len, parts)) > 1 else (np.nan, np.nan)
        found[entrant] = Arrival(float(np.median(runs)) if len(runs) else np.nan, *bounds, int(np.isfinite(runs).sum()), len(runs))
    return found


def grids(groups: Sequence[Group], reference: str = REFERENCE) -> list[Grid]:
    """The races for a reader: a grid a problem at equal steps, then one each at equal time and of the times and steps to the target.

    Raises:
        UsageError: the reference has no finished run on any problem.
    """
    raced = [group for group in groups if any(run.done and run.curve for run in group.runs.get(reference, {}).values())]
    if not raced:
        everyone = sorted({entrant for group in groups for entrant in _entrants(group)})
        raise UsageError(_absent(reference, everyone, ", ".join(group.problem.label for group in groups)))
    entrants = sorted({entrant for group in raced for entrant in _entrants(group)})
    found = [_scores(f"{group.problem.label}: validation score at the same step", [at_steps(group)], reference) for group in groups]
    title = f"Validation score at the training time that {reference} took"
    found.append(_scores(title, [at_time(group, reference) for group in raced], reference, [group.problem.label for group in raced]))
    chases = [time_to(group, reference) for group in raced]
    units: tuple[tuple[Unit, str], ...] = (("seconds", "Training time"), ("steps", "Steps"))
    for unit, words in units:
        columns = [arrivals([chase], unit) for chase in chases]
        header = [chase.problem for chase in chases]
        if len(chases) > 1:
            columns, header = [arrivals(chases, unit), *columns], ["all problems", *header]
        rows = [[entrant, *(_arrival(column.get(entrant)) for column in columns)] for entrant in entrants]
        title = f"{words} to the final score of {reference}, as a multiple of its own: median over runs, and how many arrive"
        found.append(_grid(title, header, rows, reference))
    return found


def notes(groups: Sequence[Group], reference: str = REFERENCE) -> list[str]:
    """What a reader of the grids must know, one line each."""
    lines = [
        "Validation score: mean over tasks of validation loss over that of the best constant, lower is better; under selection best the "
        "best so far. Nothing is interpolated: a run stands where its last evaluation found it.",
        "(in parentheses): of the runs that have a score, as others failed or had no evaluation in time; such rows are not comparable.",
        f"k/n: runs that ever reach the final score of {reference} with the same seed; one that does not counts as slower than all.",
        f"Note: {TIMES}.",
    ]
    without = [group.problem.label for group in groups if not any(run.done and run.curve for run in group.runs.get(reference, {}).values())]
    return lines + [f"Note: {label}: {reference} finished no run, so there are no races by time." for label in without]


def _entrants(group: Group) -> list[str]:
    """Those that have a curve of their own: single-task training, whose tasks have one each, does not race."""
    return sorted(entrant for entrant, runs in group.runs.items() if any(run.curve for run in runs.values()))


def _quarters(group: Group) -> list[int]:
    evaluated = sorted({point.step for runs in group.runs.values() for run in runs.values() for point in run.curve})
    before = [[step for step in evaluated if step <= quarter * evaluated[-1]] for quarter in QUARTERS]
    return list(dict.fromkeys(steps[-1] for steps in before if steps))


def _standings(group: Group, entrants: Sequence[str], spent: Floats, unit: Unit) -> Floats:
    """[entrants, seeds, columns] scores when ``spent`` [seeds, columns] is spent."""
    import numpy as np

    found = np.full((len(entrants), *spent.shape), np.nan)
    for row, entrant in enumerate(entrants):
        for column, seed in enumerate(group.problem.seeds):
            run = group.runs[entrant].get(seed)
            if run is not None:
                found[row, column] = [_score(run, limit, unit) for limit in spent[column].tolist()]
    return found


def _score(run: Run, limit: float, unit: Unit) -> float:
    """Score of the evaluation that would be selected if training had ended at this limit; inf where there is none, or the run failed."""
    if limit != limit:
        return limit
    points = [point for point in run.curve if (point.step if unit == "steps" else point.seconds) <= limit] if run.done else []
    scores = [float("inf") if point.score is None else point.score for point in points]
    if not scores:
        return float("inf")
    return min(scores) if run.selection == "best" else scores[-1]


def _bounds(runs: Floats) -> tuple[float, float]:
    """95 % interval of the median of sorted ``runs`` [runs]."""
    from scipy.special import bdtr

    out = next(count for count in range(len(runs) + 1) if bdtr(count, len(runs), 0.5) > 0.025) if len(runs) else 0  # at either end
    return (float(runs[out - 1]), float(runs[-out])) if out else (float("nan"), float("nan"))


def _scores(title: str, races: Sequence[Race], reference: str, header: Sequence[str] = ()) -> Grid:
    """Means over seeds with their intervals: the columns of each race side by side."""
    entrants = sorted({entrant for race in races for entrant in race.entrants})
    rows = []
    for entrant in entrants:
        cells = []
        for race in races:
            mine = race.scores[race.entrants.index(entrant)] if entrant in race.entrants else None
            cells += ["n/a" if mine is None else _mean(mine[:, column]) for column in range(len(race.columns))]
        rows.append([entrant, *cells])
    return _grid(title, list(header) or [name for race in races for name in race.columns], rows, reference)


def _grid(title: str, header: list[str], rows: list[list[str]], reference: str) -> Grid:
    from benchmark.views import Grid

    return Grid(title, ["method", *header], rows, ["reference" if row[0] == reference else "" for row in rows])


def _mean(scores: Floats) -> str:
    """``0.512 [0.498, 0.526]``; of the runs with a score, in parentheses, where some have none."""
    import numpy as np

    from benchmark import statistics

    known = scores[np.isfinite(scores)]
    if not len(known):
        return "n/a"
    if len(known) < len(scores):
        return f"({known.mean():#.4g}, {len(known)}/{len(scores)})"
    found = statistics.mean_intervals(known[None])
    return f"{found.value[0]:#.4g}" + ("" if np.isnan(found.low[0]) else f" [{found.low[0]:#.4g}, {found.high[0]:#.4g}]")


def _arrival(found: Arrival | None) -> str:
    """``0.61x [0.55, 0.80] 9/10``, or ``never 0/10``."""
    if found is None or not found.runs:
        return "n/a"
    ratio = "never" if found.ratio == float("inf") else f"{found.ratio:.2f}x"
    known = found.low == found.low and found.low != float("inf")
    bounds = f" [{found.low:.2f}, {'never' if found.high == float('inf') else f'{found.high:.2f}'}]" if known else ""
    return f"{ratio}{bounds} {found.arrived}/{found.runs}"


def _absent(reference: str, entrants: Sequence[str], where: str) -> str:
    known = f"there are: {', '.join(entrants)}" if entrants else "there are no curves"
    return f"no finished run of {reference!r} to race against on {where}{methods.suggestion(reference, entrants)} ({known})"
