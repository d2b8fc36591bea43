"""What a table's own cells say of its printed summaries: a pure function.

Every cell is an interval, half a unit of its last printed digit to either side, single-task training's cells too. Together they are a
box. Δm and Δp are sums over metrics, each term of two cells of its own and monotone in either, so their least and greatest value over the
box are sums of each term's at its corners. A printed summary, an interval as well, is contradicted where it does not meet that range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from benchmark.published.facts import SUMMARIES, Line, Number, Summary, Table

if TYPE_CHECKING:  # numpy is loaded by ``recompute`` and not by whoever imports this module
    from numpy.typing import ArrayLike

    from benchmark.statistics import Floats

Verdict = Literal["agrees", "contradicted", ""]

SLACK = 1e-9
"""Percent: more than float64 loses here, and far less than any printed digit. Ranges that only touch do not contradict."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One summary of one row."""

    value: float
    """From the cells as printed; nan where they do not give it."""
    low: float
    high: float
    """The range that the cells allow. It is no confidence interval: it knows of rounding and of nothing else."""
    printed: Number | None
    verdict: Verdict
    """Nothing where nothing is printed, or nothing can be recomputed."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a published table with its summaries recomputed."""

    line: Line
    reference: bool
    """This row is the table's own single-task training."""
    summaries: dict[Summary, Recomputed]


@dataclass(frozen=True, slots=True)
class Recount:
    """A published table with what its cells say."""

    table: Table
    rows: tuple[Row, ...]
    """In the order of the source."""
    missing: tuple[str, ...]
    """What cannot be recomputed, and why, one line each."""


def recompute(table: Table) -> Recount:
    """Δm, Δp and mean rank of every row by the functions that score our runs, with the range that the printed digits leave open."""
    import numpy as np

    from benchmark import statistics

    names = list(table.metrics)
    higher = np.array([metric.higher_is_better for metric in table.metrics.values()], dtype=np.bool_)
    tasks = list(dict.fromkeys(metric.task for metric in table.metrics.values()))
    task = np.array([tasks.index(metric.task) for metric in table.metrics.values()], dtype=np.int64)
    entrants = table.entrants
    value, low, high = (_grid(entrants, names, which) for which in ("value", "low", "high"))
    found: dict[Summary, tuple[Floats, Floats, Floats]] = {}
    if table.baseline is not None:
        base, base_low, base_high = (_grid([table.baseline.line], names, which)[0] for which in ("value", "low", "high"))
        change = statistics.relative_change(value, base, higher)
        least, most = change_bounds(low, high, base_low, base_high, higher)
        found["Delta_m"] = statistics.delta_m(change), statistics.delta_m(least), statistics.delta_m(most)
        found["Delta_p"] = statistics.delta_p(change, task), statistics.delta_p(most, task), statistics.delta_p(least, task)
    if entrants and not _unranked(table):
        first, last = rank_bounds(low, high, higher)
        found["MR"] = statistics.mean_rank(value, higher), first.mean(axis=-1), last.mean(axis=-1)
    rows = []
    for line in table.lines:
        index = next((index for index, each in enumerate(entrants) if each is line), None)
        summaries: dict[Summary, Recomputed] = {}
        for name in SUMMARIES:
            numbers = [float(each[index]) for each in found[name]] if index is not None and name in found else [math.nan] * 3
            printed = line.printed.get(name)
            verdict = _verdict(name, printed, numbers[1], numbers[2], len(names))
            summaries[name] = Recomputed(numbers[0], numbers[1], numbers[2], printed, verdict)
        rows.append(Row(line, index is None, summaries))
    return Recount(table, tuple(rows), _missing(table))


def _missing(table: Table) -> tuple[str, ...]:
    """What cannot be recomputed, and why."""
    if not any(line.cells for line in table.entrants):
        return ("nothing can be recomputed, as of this source only the summaries are known, and not the cells",) if table.entrants else ()
    found = []
    if table.baseline is None:
        found.append("Δm and Δp cannot be recomputed, as of this source no single-task row is known")
    elif _lacking(table, [table.baseline.line]):
        found.append("Δm and Δp cannot be recomputed, as single-task cells are missing")
    elif _lacking(table, table.entrants):
        found.append(f"Δm and Δp cannot be recomputed of {', '.join(_lacking(table, table.entrants))}, as cells are missing")
    if _unranked(table):
        found.append(f"mean ranks cannot be recomputed, as {_unranked(table)}")
    return tuple(found)


def _lacking(table: Table, lines: Sequence[Line]) -> list[str]:
    return [line.method for line in lines if len(line.cells) < len(table.metrics)]


def _unranked(table: Table) -> str:
    """Why the mean ranks of a table cannot be recomputed, or nothing."""
    if table.excerpt:
        return f"they depend on all rows, and this is an excerpt ({table.excerpt})"
    if _lacking(table, table.entrants):
        return "they depend on all rows, and cells are missing"
    if table.ranked is not None and table.ranked != len(table.entrants):
        return f"the source ranks {table.ranked} methods, and {len(table.entrants)} are here"
    return ""


def change_bounds(low: ArrayLike, high: ArrayLike, base_low: ArrayLike, base_high: ArrayLike, higher: ArrayLike) -> tuple[Floats, Floats]:
    """Least and greatest relative change in percent over a box, ``[..., metrics]`` each.

    The change is ``± 100 (M / B - 1)`` wherever B keeps its sign: monotone in M, and in B as well (which way depends on the sign of M), so
    its extremes are at corners. Where the baseline's interval holds 0, nothing bounds it. nan stays nan.

    Args:
        low, high: [..., metrics] the cell's interval.
        base_low, base_high: [metrics] the baseline's.
        higher: [metrics] whether a higher value is better.
    """
    import numpy as np

    from benchmark import statistics

    corners = np.stack([statistics.relative_change(cell, base, higher) for cell in (low, high) for base in (base_low, base_high)])
    crosses = (np.asarray(base_low) <= 0) & (np.asarray(base_high) >= 0) & ~np.isnan(np.asarray(low, dtype=np.float64))
    return np.where(crosses, -np.inf, corners.min(axis=0)), np.where(crosses, np.inf, corners.max(axis=0))


def rank_bounds(low: ArrayLike, high: ArrayLike, higher: ArrayLike) -> tuple[Floats, Floats]:
    """First and last rank that each cell may have within its column, ``[methods, metrics]`` each, under every rule for ties.

    Another method is surely better where its whole interval is. Intervals that only touch make no tie: no number is printed in two ways.
    """
    import numpy as np

    sign = np.where(np.asarray(higher, dtype=np.bool_), -1.0, 1.0)
    ends = np.stack([sign * np.asarray(low, dtype=np.float64), sign * np.asarray(high, dtype=np.float64)])
    best, worst = ends.min(axis=0), ends.max(axis=0)  # of costs
    better = (worst[None] <= best[:, None]).sum(axis=1)
    worse = (best[None] >= worst[:, None]).sum(axis=1)
    return (1 + better).astype(np.float64), (len(best) - worse).astype(np.float64)


def reachable(printed: Number, first: float, last: float, metrics: int) -> bool:
    """Whether some choice within rounding, under some rule for ties, has a mean rank that prints like this.

    A rank may be any whole or half number from its first to its last (half: an average tie), and each metric chooses for itself, so the
    mean over K metrics may be any multiple of 1 / 2K from ``first`` to ``last``, and nothing else. Rows are judged one at a time.
    """
    least, most = round(first * 2 * metrics), round(last * 2 * metrics)
    return max(least, math.ceil(printed.low * 2 * metrics)) <= min(most, math.floor(printed.high * 2 * metrics))


def _verdict(name: Summary, printed: Number | None, low: float, high: float, metrics: int) -> Verdict:
    if printed is None or math.isnan(low):
        return ""
    if name == "MR":
        agrees = reachable(printed, low, high, metrics)
    else:
        agrees = float(printed.low) <= high + SLACK and float(printed.high) >= low - SLACK
    return "agrees" if agrees else "contradicted"


def _grid(lines: Sequence[Line], names: Sequence[str], which: Literal["value", "low", "high"]) -> Floats:
    """[lines, metrics]; nan where a cell is missing."""
    import numpy as np

    grid = [[float(getattr(line.cells[name], which)) if name in line.cells else math.nan for name in names] for line in lines]
    return np.array(grid, dtype=np.float64).reshape(len(lines), len(names))
