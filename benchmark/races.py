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
from benchmark.runs import Group
from benchmark.sheet import Run

if TYPE_CHECKING:  # numpy is loaded by who races, and not by whoever imports this module
    from benchmark.statistics import Floats

REFERENCE = "equal"
QUARTERS = (0.25, 0.5, 0.75, 1.0)
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

    entrants = entrants_of(group)
    looked = _quarters(group) if steps is None else list(steps)
    spent = np.broadcast_to(np.array(looked, dtype=np.float64), (len(group.problem.seeds), len(looked)))
    return Race(group.problem.label, entrants, [f"step {step:,}" for step in looked], _standings(group, entrants, spent, "steps"))


def at_time(group: Group, reference: str = REFERENCE) -> Race:
    """Scores at the training time that the reference took for its whole run with the same seed; nan for a seed that it did not finish."""
    import numpy as np

    entrants = entrants_of(group)
    runs = [group.runs.get(reference, {}).get(seed, Run()) for seed in group.problem.seeds]
    spent = np.array([[run.curve[-1].seconds if run.done and run.curve else np.nan] for run in runs]).reshape(-1, 1)
    return Race(group.problem.label, entrants, [f"time of {reference}"], _standings(group, entrants, spent, "seconds"))


def time_to(group: Group, reference: str = REFERENCE) -> Chase:
    """Time and steps of every run until its score is that which the reference ends with, on the same seed.

    Raises:
        UsageError: the reference has no runs on this problem.
    """
    import numpy as np

    entrants, seeds = entrants_of(group), group.problem.seeds
    if reference not in entrants:
        raise UsageError(absent(reference, entrants, group.problem.label))
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


def entrants_of(group: Group) -> list[str]:
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


def absent(reference: str, entrants: Sequence[str], where: str) -> str:
    known = f"there are: {', '.join(entrants)}" if entrants else "there are no curves"
    return f"no finished run of {reference!r} to race against on {where}{methods.suggestion(reference, entrants)} ({known})"
