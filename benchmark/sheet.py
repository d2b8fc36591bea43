"""What one entrant did on one problem: a run a seed, and the same as columns, so that nothing is made of a run that nobody looks at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from benchmark.evidence import Curve, Series
from benchmark.records import FINISHED, Point, Selection

if TYPE_CHECKING:  # numpy is loaded by who makes columns, and not by whoever imports this module
    import numpy as np
    from numpy.typing import NDArray

    from benchmark.statistics import Floats

NO_METRICS = "no metrics"
"""Counted like a failed status: the run says it finished, but a metric is missing, as it was not a finite number."""


@dataclass(frozen=True)
class Run:
    """One entrant on one problem with one seed; of single-task training, all its tasks together."""

    values: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    done: bool = False
    step_seconds: float = math.nan
    passes: float = math.nan
    peak_memory: float = math.nan
    """Bytes; of single-task training the largest of its tasks, as they are trained one after the other. nan where a record has none."""
    seconds: float = math.nan
    """Of training, methods included and evaluation left out; of single-task training, all its tasks together."""
    curve: Sequence[Point] = ()
    """Evaluations on the way; of single-task training none, as each of its tasks has its own."""
    selection: Selection = "best"
    """Which of them the metrics are of."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Runs by rising seed, a row each; fields are those of :class:`Run`."""

    seeds: list[int]
    values: Floats
    """[runs, metrics]; nan where a run has none."""
    failures: list[str]
    """Of all runs together."""
    done: NDArray[np.bool_]
    """[runs]; so are the next three."""
    step_seconds: Floats
    passes: Floats
    peak_memory: Floats


def columns(runs: Mapping[int, Run], metrics: Sequence[str] = ()) -> Columns:
    """Runs by seed as columns, their values of these ``metrics``; a :class:`Sheet` has all that its problem declares."""
    import numpy as np

    if isinstance(runs, Sheet):
        return runs.columns
    rows = [runs[seed] for seed in sorted(runs)]
    return Columns(
        seeds=sorted(runs),
        values=np.array([[run.values.get(key, math.nan) for key in metrics] for run in rows]).reshape(len(rows), len(metrics)),
        failures=[status for run in rows for status in run.failures],
        done=np.array([run.done for run in rows], dtype=np.bool_),
        step_seconds=np.array([run.step_seconds for run in rows]),
        passes=np.array([run.passes for run in rows]),
        peak_memory=np.array([run.peak_memory for run in rows]),
    )


class Sheet(Mapping[int, Run]):
    """Runs by rising seed, of which each is made when it is first looked at.

    Args:
        parts: of one entrant, no two with a seed in common.
        metrics: all that the problem declares.
    """

    def __init__(self, parts: Sequence[Series], metrics: Sequence[str]) -> None:
        self._parts, self._metrics = parts, metrics
        self._where = dict(sorted((seed, (part, row)) for part, each in enumerate(parts) for row, seed in enumerate(each.seeds)))
        self._made: dict[int, Run] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[int]:
        return iter(self._where)

    def __contains__(self, seed: object) -> bool:
        return seed in self._where

    def __getitem__(self, seed: int) -> Run:
        """What :func:`benchmark.runs.runs_of` makes of the record alone."""
        if seed not in self._made:
            part, row = self._where[seed]
            series = self._parts[part]
            finished = series.statuses[row] in FINISHED
            found = dict(zip(series.metrics, series.test[row].tolist(), strict=True)) if finished else {}
            values = {key: found[key] for key in self._metrics if not math.isnan(found.get(key, math.nan))}
            failures = [NO_METRICS] * (len(values) < len(self._metrics)) if finished else [str(series.statuses[row])]
            steps, seconds = float(series.steps[row]), float(series.train[row] + series.method[row])
            timed = steps > 0
            self._made[seed] = Run(
                values,
                failures,
                done=bool(self._metrics) and not failures,
                step_seconds=seconds / steps if timed else math.nan,
                passes=float(series.backward_passes[row]) / steps if timed else math.nan,
                peak_memory=float(series.peak_memory[row]) if timed else math.nan,
                seconds=seconds if timed else math.nan,
                curve=Curve(series.read, series.raw_ids[10 * row : 10 * row + 10]),
                selection=series.spec.selection,
            )
        return self._made[seed]

    @cached_property
    def columns(self) -> Columns:
        """The same as of its runs one by one."""
        import numpy as np

        statuses = [status for part in self._parts for status in part.statuses]
        finished = np.array([status in FINISHED for status in statuses], dtype=np.bool_)
        values = np.concatenate([_values(part, self._metrics) for part in self._parts])
        values[~finished] = np.nan
        lacking = finished & np.isnan(values).any(axis=1)
        steps = np.concatenate([part.steps for part in self._parts])
        steps = np.where(steps > 0, steps, np.nan)
        seconds = np.concatenate([part.train + part.method for part in self._parts])
        passes = np.concatenate([part.backward_passes for part in self._parts])
        memory = np.where(np.isnan(steps), np.nan, np.concatenate([part.peak_memory for part in self._parts]))
        found = Columns(
            seeds=list(self),
            values=values,
            failures=[str(status) for status in statuses if status not in FINISHED] + [NO_METRICS] * int(lacking.sum()),
            done=finished & ~lacking if self._metrics else np.zeros_like(finished),
            step_seconds=seconds / steps,
            passes=passes / steps,
            peak_memory=memory,
        )
        seeds = [seed for part in self._parts for seed in part.seeds]
        return found if seeds == found.seeds else _ordered(found, np.array(sorted(range(len(seeds)), key=seeds.__getitem__)))


def _values(series: Series, metrics: Sequence[str]) -> Floats:
    """[records, metrics]; nan for metrics that it does not declare."""
    import numpy as np

    own = {key: column for column, key in enumerate(series.metrics)}
    found = np.full((series.count, len(metrics)), np.nan)
    known = [column for column, key in enumerate(metrics) if key in own]
    found[:, known] = series.test[:, [own[metrics[column]] for column in known]]
    return found


def _ordered(c: Columns, order: NDArray[np.intp]) -> Columns:
    return Columns(c.seeds, c.values[order], c.failures, c.done[order], c.step_seconds[order], c.passes[order], c.peak_memory[order])
