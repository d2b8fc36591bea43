"""Performance profiles: which share of its runs a method brings below a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmark.statistics.arrays import DRAWS, Floats, as_scores, covered, redrawn, slots


@dataclass(frozen=True)
class Profile:
    """Curves over ``thresholds``, each [methods, thresholds]; bounds are nan where nothing is known about the noise."""

    thresholds: Floats
    """[thresholds]"""
    share: Floats
    low: Floats
    high: Floats


def performance_profile(scores: ArrayLike, thresholds: ArrayLike, draws: int = DRAWS, seed: int = 0, confidence: float = 0.95) -> Profile:
    """Share of the runs of ``scores`` [methods, problems, seeds] at or below each of ``thresholds``; lower is better.

    Per problem, then the mean over problems, so that problems weigh the same whatever their seeds. Bounds are pointwise percentiles of a
    bootstrap stratified by problem; they are narrow for few seeds, and nan where a problem has one. inf (a failure) is above every
    threshold. A method that lacks a run has nan.

    Source: run-score distributions of Agarwal et al. 2021 (rliable), ``create_performance_profile``, after Dolan & Moré 2002.

    Raises:
        ValueError: not three axes.
    """
    array, limits = as_scores(scores), np.asarray(thresholds, dtype=np.float64)
    exist = slots(array)
    present = np.flatnonzero(exist.any(axis=1))
    n = exist.sum(axis=1)[present]
    counts = redrawn(n.tolist(), draws, seed)
    share, low, high = (np.full((len(array), len(limits)), np.nan) for _ in range(3))
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    for row in np.flatnonzero(covered(array)) if len(n) else ():
        reached = [(array[row, problem, exist[problem]][:, None] <= limits).astype(np.float64) for problem in present]
        share[row] = np.mean([each.mean(axis=0) for each in reached], axis=0)
        if n.min() > 1:
            drawn = sum(drew @ each / size for drew, each, size in zip(counts, reached, n, strict=True)) / len(n)  # [draws, thresholds]
            low[row], high[row] = np.quantile(drawn, ends, axis=0)
    return Profile(limits, share, low, high)
