"""Summaries of all runs that no single run or problem decides: interquartile mean and probability of improvement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.statistics.arrays import DRAWS, Floats, as_scores, covered, redrawn, slots
from benchmark.statistics.bootstrap import pooled
from benchmark.statistics.sample import Intervals, Resamples


def iqm(scores: ArrayLike, draws: int = DRAWS, seed: int = 0, confidence: float = 0.95) -> Intervals:
    """Interquartile mean over all runs of ``scores`` [methods, problems, seeds]: the mean of the middle half.

    Of N runs, floor(N / 4) are left out at both ends. Its interval is Student's t times the standard error of a bootstrap stratified by
    problem: as in :func:`pooled`, the variance of a problem of n seeds is multiplied by n/(n-1), and the degrees of freedom are those of
    Satterthwaite, where the problems' shares of the variance are those of their winsorised runs (Tukey & McLaughlin 1963). The noise of
    the baseline is not in it, as it is common to all methods.

    inf (a failure) is the worst run: the middle half may be without it, but there is no interval. A method that lacks a run has nan. Bounds
    are nan where a problem has one seed.

    Measured coverage of the 95 % interval in percent, 4000 studies, levels of six problems spread over seven times the noise of a run
    (10 seeds on six problems, 10 on one, 3 on six): normal noise 95.3 96.7 97.0, log-normal (sigma 1) 91.9 97.2 91.9, as one-sided noise
    moves the quartiles of so few runs.

    Source: Agarwal et al. 2021 (rliable), ``aggregate_iqm``. Their interval is the percentile one, which covers 93.2 % in the first of
    these settings (1000 studies).

    Raises:
        ValueError: not three axes.
    """
    from scipy.special import stdtrit

    array = as_scores(scores)
    exist = slots(array)
    n = exist.sum(axis=1)
    n = n[n > 0]
    owner = np.repeat(np.arange(len(n)), n)
    counts = np.concatenate([np.ones((1, 0)), *(np.ones((1, size)) for size in n)], axis=1)
    drawn = np.concatenate([np.ones((draws, 0)), *redrawn(n.tolist(), draws, seed)], axis=1)  # [draws, runs]
    value, reach = np.full(len(array), np.nan), np.full(len(array), np.nan)
    cut = len(owner) // 4
    if not len(owner):
        return Intervals(value, value, value)
    whole = array[:, exist]  # [methods, runs]
    for row in np.flatnonzero(covered(array)):
        value[row] = _middle(whole[row], counts, cut)[0]
    sure = np.flatnonzero(np.isfinite(whole).all(axis=1) & bool(n.min() > 1))
    for row, middles in zip(sure, _middles(whole[sure], drawn, cut), strict=True):
        runs = whole[row]
        ends = np.sort(runs)[[cut, len(runs) - 1 - cut]]
        winsorised = np.clip(runs, *ends)
        means = np.bincount(owner, winsorised) / n
        share = n / (n - 1) * np.bincount(owner, (winsorised - means[owner]) ** 2)  # n times the unbiased variance, by problem
        if share.sum() == 0.0:
            reach[row] = 0.0
            continue
        variance = middles.var() * share.sum() / (share * (n - 1) / n).sum()
        freedom = share.sum() ** 2 / (share**2 / (n - 1)).sum()
        reach[row] = stdtrit(freedom, (1 + confidence) / 2) * np.sqrt(variance)
    return Intervals(value, value - reach, value + reach)


def _middle(runs: Floats, counts: Floats, cut: int) -> Floats:
    """Means of ``runs`` [runs] without the ``cut`` lowest and highest, each run taken ``counts`` [draws, runs] times: [draws]."""
    order = np.argsort(runs, kind="stable")
    inside = np.diff(np.clip(counts[:, order].cumsum(axis=1), cut, len(runs) - cut), axis=1, prepend=cut)
    kept = inside.any(axis=0)  # 0 * inf is nan
    return np.asarray(inside[:, kept] @ runs[order][kept] / (len(runs) - 2 * cut))


def _middles(runs: Floats, counts: Floats, cut: int) -> Floats:
    """What :func:`_middle` gives of every row of finite ``runs`` [rows, runs], ``[rows, draws]``; many rows are several times as fast."""
    size = runs.shape[1]
    order = np.argsort(runs, axis=1, kind="stable")
    small = np.ascontiguousarray(counts.T.astype(np.min_scalar_type(size)))
    lowest = [_lowest(runs, order, counts, small, take) for take in (size - cut, cut)]
    return np.asarray((lowest[0] - lowest[1]) / (size - 2 * cut))


def _lowest(runs: Floats, order: NDArray[np.intp], counts: Floats, small: NDArray[np.integer[Any]], take: int) -> Floats:
    """Sums of the ``take`` lowest of every draw, ``[rows, draws]``.

    Whether a run is among them depends on the draw only where it is near the ``take``-th in the order of the runs: five standard errors of
    the number of draws below it. What is further down is summed by one product of matrices; where that is not so of a draw, all is near.

    Args:
        runs: [rows, runs].
        order: [rows, runs], that of the sorted runs.
        counts: [draws, runs], how often each is drawn.
        small: the same as [runs, draws] in few bytes, as what follows is bound by memory.
        take: how many.
    """
    size = runs.shape[1]
    reach = math.ceil(5 * math.sqrt(take * (size - take) / size))
    start = min(max(take - reach, 0), size - 1)
    stop = max(min(take + reach, size), start + 1)
    below = np.zeros(runs.shape)
    np.put_along_axis(below, order[:, :start], 1.0, axis=1)
    sums, numbers = (runs * below) @ counts.T, (below @ counts.T).astype(small.dtype)
    for row in range(len(runs)):
        ordered, near = runs[row, order[row]], slice(start, stop)
        taken = _taken(small[order[row, near]], numbers[row])
        if numbers[row].max() > take or taken[-1].min() < take:
            near, sums[row], numbers[row] = slice(0, size), 0.0, 0
            taken = _taken(small[order[row]], numbers[row])
        np.minimum(taken, take, out=taken)
        edge = ordered[near]
        sums[row] += edge[-1] * take - edge[0] * numbers[row] - np.diff(edge) @ taken[:-1]  # summed by parts
    return sums


def _taken(counts: NDArray[np.integer[Any]], before: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Running totals of ``counts`` [runs, draws] over the runs, in place, from ``before`` [draws] on."""
    counts[0] += before
    for row in range(1, len(counts)):
        counts[row] += counts[row - 1]
    return counts


def probability_of_improvement(scores: ArrayLike, method: int, draws: int = DRAWS, seed: int = 0, confidence: float = 0.95) -> Intervals:
    """Probability that a run of a row is better than a run of ``method``, on a problem drawn at random; ties count half.

    ``scores`` [methods, problems, seeds], lower is better. On each problem all runs of one against all runs of the other (Mann & Whitney
    1947), then the mean over problems. The interval is that of :func:`pooled`, within [0, 1]: seeds are resampled, the same ones for both,
    so a method against itself has 0.5 without noise. Where all runs are on one side the bootstrap sees no noise either; there the bound is
    that of Clopper & Pearson 1934 for as many pairs as there are runs, all won.

    inf (a failure) loses to every number and ties with another. A row that lacks a run has nan. Bounds are nan where a problem has one
    seed.

    Measured coverage of the 95 % interval in percent, 4000 studies of a true 0.64 (normal) and 0.77 (log-normal noise), with 10 seeds on
    six problems, 10 on one, 3 on six: 95.2 94.4 98.1, and 95.2 92.4 98.6.

    Source: Agarwal et al. 2021 (rliable), ``probability_of_improvement``, with seeds paired.

    Raises:
        ValueError: not three axes.
    """
    array = as_scores(scores)
    exist = slots(array)
    present = np.flatnonzero(exist.any(axis=1))
    n = exist.sum(axis=1)[present]
    estimate, drawn = np.full((len(array), len(n)), np.nan), np.full((len(array), len(n), draws), np.nan)
    for index, (problem, counts) in enumerate(zip(present, redrawn(n.tolist(), draws, seed), strict=True)):
        runs = array[:, problem, exist[problem]]
        other = runs[method]
        won = (runs[:, :, None] < other) + 0.5 * (runs[:, :, None] == other)  # [methods, seeds of the row, seeds of the other]
        size = n[index]
        estimate[:, index] = won.mean(axis=(1, 2))
        drawn[:, index] = np.einsum("ds,mst,dt->md", counts, won, counts, optimize=True) / size**2
    if not len(n):
        nothing = np.full(len(array), np.nan)
        return Intervals(nothing, nothing, nothing)
    found = pooled(Resamples(estimate, drawn, n), confidence)
    bound = ((1 - confidence) / 2) ** (1 / n.sum())
    low = np.where(found.value == 1.0, np.minimum(found.low, bound), found.low)
    high = np.where(found.value == 0.0, np.maximum(found.high, 1 - bound), found.high)
    whole = covered(array)
    known = whole & whole[method]
    return Intervals(*(np.where(known, each, np.nan) for each in (found.value, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))))
