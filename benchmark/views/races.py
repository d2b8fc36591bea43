"""Races as grids for a reader and as lines for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchmark.errors import UsageError
from benchmark.races import REFERENCE, Arrival, Race, Unit, absent, arrivals, at_steps, at_time, entrants_of, time_to
from benchmark.views.export import Line
from benchmark.views.grids import Grid

if TYPE_CHECKING:
    from benchmark.runs import Group
    from benchmark.statistics import Floats

TIMES = (
    "times leave evaluation out, and compare on one device only: records of another machine, or of a busy one, have other times; seeds "
    "that were trained together share the times of their pass"
)


UNITS: tuple[tuple[Unit, str], ...] = (("seconds", "Training time"), ("steps", "Steps"))


def grids(groups: Sequence[Group], reference: str = REFERENCE) -> list[Grid]:
    """The races for a reader: a grid a problem at equal steps, then one each at equal time and of the times and steps to the target.

    Raises:
        UsageError: the reference has no finished run on any problem.
    """
    raced = [group for group in groups if any(run.done and run.curve for run in group.runs.get(reference, {}).values())]
    if not raced:
        everyone = sorted({entrant for group in groups for entrant in entrants_of(group)})
        raise UsageError(absent(reference, everyone, ", ".join(group.problem.label for group in groups)))
    entrants = sorted({entrant for group in raced for entrant in entrants_of(group)})
    found = [_scores(f"{group.problem.label}: validation score at the same step", [at_steps(group)], reference) for group in groups]
    title = f"Validation score at the training time that {reference} took"
    found.append(_scores(title, [at_time(group, reference) for group in raced], reference, [group.problem.label for group in raced]))
    chases = [time_to(group, reference) for group in raced]
    for unit, words in UNITS:
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


def lines(groups: Sequence[Group], reference: str = REFERENCE) -> Iterator[Line]:
    """A line a number: what was measured (score or ratio) of whom, at what expense, its bounds, and of how many runs it is."""
    from benchmark import statistics

    for group in groups:
        run = any(run.done and run.curve for run in group.runs.get(reference, {}).values())
        for race in [at_steps(group), *([at_time(group, reference)] if run else [])]:
            for row, entrant in enumerate(race.entrants):
                for column, name in enumerate(race.columns):
                    scores = race.scores[row, :, column]
                    known = scores[(scores == scores) & (scores != float("inf"))]
                    line: Line = {"suite": group.problem.suite, "problem": group.problem.name, "entrant": entrant}
                    line |= {"measure": "validation score", "at": name, "value": None, "low": None, "high": None}
                    if len(known):
                        found = statistics.mean_intervals(known[None])
                        whole = len(known) == len(scores)
                        line |= {"value": float(found.value[0])}
                        line |= {"low": float(found.low[0]), "high": float(found.high[0])} if whole else {}
                    yield line | {"counted": len(known), "runs": len(scores)}
        for unit, _ in UNITS if run else ():
            for entrant, each in arrivals([time_to(group, reference)], unit).items():
                line = {"suite": group.problem.suite, "problem": group.problem.name, "entrant": entrant}
                line |= {"measure": f"median ratio of {unit}", "at": f"final score of {reference}"}
                line |= {"value": each.ratio, "low": each.low, "high": each.high, "counted": each.arrived, "runs": each.runs}
                yield line


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
