"""Paired tests of one method against another, and their correction for being many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.statistics.arrays import Floats, as_scores, slots


@dataclass(frozen=True)
class Wins:
    """Every method against one of them, each [methods]."""

    wins: NDArray[np.int64]
    """(problem, seed) pairs in which the row is better."""
    ties: NDArray[np.int64]
    losses: NDArray[np.int64]
    p: Floats
    """Exact two-sided Wilcoxon over seeds; nan where it cannot be told."""
    adjusted: Floats
    """``p`` by Holm over the rows; the method itself is not one of them and has nan."""


def against(scores: ArrayLike, method: int) -> Wins:
    """Wins of every row of ``scores`` [methods, problems, seeds], lower is better, over ``method``, and whether that may be chance.

    Runs of the same problem and seed are pairs. The test pairs seeds: per seed the mean over problems, so that n is the number of seeds and
    not of runs, which share data and initial weights less the more problems there are, but are counted once. Seeds that not every
    problem has are not in the test (they are among the wins). Its p cannot be below 2 / 2^n: 0.0625 for 5 seeds, 0.002 for 10.

    inf (a failure) loses to every number and ties with another. A pair of which one is nan is none, and its row has no p, as a mean over
    other problems is not comparable. No p with one seed.

    Source: Wilcoxon 1945; Holm 1979.

    Raises:
        ValueError: not three axes.
    """
    array = as_scores(scores)
    other = array[method]
    exist = slots(array)
    known = ~np.isnan(array) & ~np.isnan(other)
    wins, ties, losses = (np.asarray((known & each).sum(axis=(1, 2))) for each in (array < other, array == other, array > other))
    lacks = (exist & ~known).any(axis=(1, 2))
    everywhere = exist[exist.any(axis=1)].all(axis=0)  # seeds of every problem that exists at all
    means = np.where(exist[:, everywhere], array[:, :, everywhere], 0.0).sum(axis=1) / max(int(exist.any(axis=1).sum()), 1)
    p = np.full(len(array), np.nan)
    for row in np.flatnonzero(~lacks):
        if row != method:
            p[row] = wilcoxon(_less(means[row], means[method]))
    return Wins(wins, ties, losses, p, holm(p))


def _less(a: Floats, b: Floats) -> Floats:
    """a - b where inf - inf, two failures, is no difference."""
    both = np.isinf(a) & np.isinf(b)
    return np.where(both, 0.0, a - np.where(both, 0.0, b))


def wilcoxon(differences: ArrayLike) -> float:
    """Exact two-sided p of the signed-rank test of ``differences`` [n] against a symmetric distribution around 0.

    Zeros are left out and ties share the average of their ranks; the distribution is that of all 2^n signs given these ranks, which is
    exact with ties as well. 1 where all are 0; nan for fewer than two differences, or with a nan.

    Source: Wilcoxon 1945; ties as in Pratt & Gibbons 1981, §3.7 (scipy's exact p where there are neither ties nor zeros).
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or np.isnan(values).any():
        return np.nan
    values = values[values != 0.0]
    sizes = np.abs(values)
    doubled = np.rint((sizes[None] < sizes[:, None]).sum(axis=1) * 2 + (sizes[None] == sizes[:, None]).sum(axis=1) + 1).astype(np.int64)
    chance = _chances(tuple(np.sort(doubled).tolist()))
    seen = int(doubled[values > 0].sum())
    return float(min(1.0, 2 * min(chance[: seen + 1].sum(), chance[seen:].sum())))


@lru_cache(maxsize=8)  # without ties it is the same for all rows of a table
def _chances(doubled: tuple[int, ...]) -> Floats:
    """Of every value of twice the sum of positive ranks, its chance where all signs are as likely."""
    chance = np.zeros(sum(doubled) + 1)
    chance[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(chance)
        moved[rank:] = chance[: len(chance) - rank]
        chance = (chance + moved) / 2
    return chance


def holm(p: ArrayLike) -> Floats:
    """p values adjusted for their number by Holm's step-down, in any shape; nan stays nan and is not counted.

    Source: Holm 1979: the i-th smallest of m times (m - i + 1), never below one before it, at most 1.
    """
    array = np.asarray(p, dtype=np.float64)
    adjusted = np.full_like(array, np.nan)
    known = ~np.isnan(array)
    values = array[known]
    order = np.argsort(values, kind="stable")
    raised = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    back = np.empty_like(values)
    back[order] = raised
    adjusted[known] = back
    return adjusted


def hedges_g(differences: ArrayLike) -> Floats:
    """Standardised mean of paired differences without its bias in small samples, ``[..., n] -> [...]``.

    g = J(n - 1) mean / sd, J(m) = Γ(m / 2) / (sqrt(m / 2) Γ((m - 1) / 2)). Source: Hedges 1981, eq. 6e, on the paired d_z of Lakens 2013,
    eq. 7. nan for fewer than three pairs, and for differences that do not vary, unless all are 0.
    """
    from scipy.special import gammaln

    array = np.asarray(differences, dtype=np.float64)
    n = array.shape[-1]
    mean = array.mean(axis=-1) if n else np.full(array.shape[:-1], np.nan)
    if n < 3:
        return np.full_like(mean, np.nan)
    freedom = n - 1
    unbiased = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    spread = array.std(axis=-1, ddof=1)
    still = spread == 0.0
    return np.asarray(np.where(still, np.where(mean == 0.0, 0.0, np.nan), unbiased * mean / np.where(still, 1.0, spread)))
