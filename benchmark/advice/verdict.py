"""From the records of a rung to who is better than equal weights, and who cannot be told from the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark import statistics
from benchmark.records import FINISHED, RunRecord
from benchmark.statistics import Floats, Sample
from benchmark.statistics.arrays import Booleans

ALPHA = 0.05
WORTH = 1.0
"""Percent: less is not worth another method, however surely it is there."""


DEARER = 1.25
"""Times the cost of another: less is noise of a clock that other runs disturb. Nothing costs less than equal weights but by that noise."""


@dataclass(frozen=True)
class Standing:
    """A method on the last rung. Changes are percent against equal weights, lower is better."""

    method: str
    change: float
    """Mean over metrics and seeds; inf where a run failed."""
    low: float
    high: float
    """95 % interval of the paired difference."""
    p: float
    """Two-sided, of the difference from equal weights, by Holm over the methods; nan where it cannot be told."""
    like_best: bool
    """Whether it cannot be told from the best (Holm over all pairs)."""
    cost: float
    """Time of a step over that of equal weights, median over seeds."""
    memory: float
    """Bytes, the most of any seed; nan where the system does not tell."""


@dataclass(frozen=True)
class Verdict:
    """What to use, and what that rests on."""

    use: str
    standings: tuple[Standing, ...]
    """Best first."""
    seeds: int
    falling: float
    """Percent that the validation loss which fell most still fell in the last third of the best method's steps, median over seeds."""

    @property
    def best(self) -> Standing:
        return self.standings[0]

    def of(self, method: str) -> Standing:
        return next(each for each in self.standings if each.method == method)


Runs = Mapping[str, Mapping[int, Sequence[RunRecord]]]
"""Records by method and seed; one, or one a task of a method that trains each alone."""


def changes(runs: Runs, reference: str, seeds: Sequence[int]) -> dict[str, float]:
    """Mean relative change in percent of every method's validation metrics against the reference; inf where a run failed."""
    names = list(runs)
    values, better, task = _values(runs, names, seeds)
    baseline = values[names.index(reference)]
    with np.errstate(invalid="ignore", divide="ignore"):
        scores: list[float] = Sample(values, baseline, better, task).scores().mean(axis=1).tolist()
    return {name: score if math.isfinite(score) else math.inf for name, score in zip(names, scores, strict=True)}


def judge(runs: Runs, reference: str, seeds: Sequence[int]) -> Verdict:
    """Weighs the last rung.

    The best is compared with equal weights first. Only where they differ is anything else recommended: of those that differ from equal
    weights, by at least ``WORTH``, and cannot be told from the best, the best one whose step costs no more than ``DEARER`` times the least.
    """
    every = changes(runs, reference, seeds)
    names = [name for name in runs if every[name] < math.inf]
    values, better, task = _values(runs, names, seeds)
    at = names.index(reference)
    sample = Sample(values, values[at], better, task)
    scores = statistics.paired_bootstrap([sample]).delta_m
    to_reference = statistics.pooled(scores.minus(at))
    p = statistics.separations(scores)
    order = sorted(range(len(names)), key=lambda i: every[names[i]])
    letters = statistics.letters(p, order, ALPHA)
    adjusted = statistics.holm([math.nan if i == at else p[i, at] for i in range(len(names))])
    cost = {name: _median([_step(records) for records in runs[name].values()]) for name in runs}
    found = [
        Standing(
            names[i],
            every[names[i]],
            float(to_reference.low[i]),
            float(to_reference.high[i]),
            float(adjusted[i]),
            bool(set(letters[i]) & set(letters[order[0]])),
            cost[names[i]] / cost[reference],
            _memory(runs[names[i]]),
        )
        for i in order
    ]
    lost = [
        Standing(name, math.inf, math.nan, math.nan, math.nan, False, cost[name] / cost[reference], _memory(runs[name]))
        for name in runs
        if name not in names
    ]
    better_than = [each for each in found if each.method != reference and each.p <= ALPHA and each.change < -WORTH]
    use = reference
    if found[0].method != reference and found[0] in better_than:
        alike = [each for each in better_than if each.like_best]
        least = min(max(each.cost, 1.0) for each in alike)
        use = next(each.method for each in alike if each.cost <= DEARER * least)
    return Verdict(use, (*found, *lost), len(seeds), _falling(runs[found[0].method]))


def _values(runs: Runs, names: Sequence[str], seeds: Sequence[int]) -> tuple[Floats, Booleans, NDArray[np.int64]]:
    """Validation metrics ``[methods, seeds, metrics]`` with nan where a run failed, which are better higher, and of which task each is."""
    some = next(record for each in runs.values() for records in each.values() for record in records)
    keys = [key for key, info in some.metrics.items() if info.task is not None and info.compared]
    values = np.full((len(names), len(seeds), len(keys)), np.nan)
    for i, name in enumerate(names):
        for j, seed in enumerate(seeds):
            parts = runs[name].get(seed, ())
            if parts and all(record.status in FINISHED for record in parts):
                found = {key: value for record in parts for key, value in record.validation.items()}
                values[i, j] = [found.get(key, math.nan) for key in keys]
    better = np.array([some.metrics[key].higher_is_better for key in keys])
    return values, better, np.array([some.tasks.index(str(some.metrics[key].task)) for key in keys])


def _step(records: Sequence[RunRecord]) -> float:
    """Seconds of a step; of a method that trains each task alone, of all of them."""
    return sum((r.cost.train + r.cost.method) / r.cost.steps if r.cost and r.cost.steps else math.nan for r in records)


def _memory(seeds: Mapping[int, Sequence[RunRecord]]) -> float:
    peaks = [float(r.cost.peak_memory) for records in seeds.values() for r in records if r.cost and r.cost.peak_memory]
    return max(peaks, default=math.nan)


def _falling(seeds: Mapping[int, Sequence[RunRecord]]) -> float:
    """Loss by loss: in their sum the largest would hide the others."""
    found = []
    for (record,) in (records for records in seeds.values() if len(records) == 1 and len(records[0].curve) > 2):
        now, before = (record.curve[place].validation_losses for place in (-1, -1 - len(record.curve) // 3))
        falls = [100 * (1 - a / b) for a, b in zip(now, before, strict=True) if a is not None and b is not None and b > 0]
        found.append(max(falls, default=math.nan))
    return _median(found)


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else math.nan
