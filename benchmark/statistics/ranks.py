"""Ranks: their mean, and whether they differ at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmark.statistics.arrays import Floats, as_scores, covered, slots


def mean_rank(values: ArrayLike, higher_is_better: ArrayLike) -> Floats:
    """Mean over metrics of a method's rank, 1 being the best. ``[methods, metrics] -> [methods]``.

    Ties share the average of their ranks; nan (a failure) ranks below every number, and all nan of a metric tie. Single-task training is
    not ranked: do not pass it. Source: MR as in FAMO (Liu et al. 2023); published tables break ties in different ways, hence the average.
    """
    cost = np.where(np.asarray(higher_is_better, dtype=np.bool_), -1.0, 1.0) * np.asarray(values, dtype=np.float64)
    cost = np.where(np.isnan(cost), np.inf, cost)
    return np.asarray(_average_ranks(cost).mean(axis=-1))


@dataclass(frozen=True)
class Friedman:
    """Whether any methods differ, and by how much two mean ranks must."""

    statistic: float
    """Chi-squared with (ranked methods - 1) degrees of freedom, corrected for ties."""
    p: float
    mean_ranks: Floats
    """[methods]; nan where a method lacks a block."""
    critical_difference: float
    """Mean ranks that are farther apart than this differ (Nemenyi); it grows with the number of ranked methods."""


def friedman(blocks: ArrayLike, alpha: float = 0.05) -> Friedman:
    """Friedman's test of ``blocks`` [methods, blocks], lower is better, with the critical difference of the Nemenyi test.

    Blocks are what the methods were compared on: problems, or runs. Ties share the average of their ranks; inf (a failure) ranks below
    every number. A method with a nan, where another has a number, is not ranked, and the others are ranked without it. With few blocks
    the chi-squared approximation is rough (Demšar: at least 10 blocks and 5 methods).

    Source: Friedman 1937; ties as in Conover 1999, §5.8; critical difference q_alpha sqrt(k (k + 1) / (6 N)) of Nemenyi 1963 as in Demšar
    2006, eq. 3.2.2, with q_alpha the studentized range over sqrt(2).

    Returns:
        nan for the test and the critical difference with fewer than two ranked methods or two blocks; p is 1 where all tie in all blocks.

    Raises:
        ValueError: not two axes.
    """
    from scipy.special import chdtrc

    array = as_scores(blocks, axes=2)
    whole = covered(array)
    ranked = array[whole][:, slots(array)]
    k, n = ranked.shape
    means = np.full(len(array), np.nan)
    if k == 0 or n == 0:
        return Friedman(np.nan, np.nan, means, np.nan)
    ranks = _average_ranks(ranked)
    means[whole] = ranks.mean(axis=1)
    if k < 2 or n < 2:
        return Friedman(np.nan, np.nan, means, np.nan)
    between = n * ((ranks.mean(axis=1) - (k + 1) / 2) ** 2).sum()
    within = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1))  # k (k + 1) / 12 where there are no ties
    statistic = between / within if within > 0 else 0.0
    difference = studentized_range(1 - alpha, k) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n))
    return Friedman(float(statistic), float(chdtrc(k - 1, statistic)), means, float(difference))


def studentized_range(probability: float, groups: int) -> float:
    """Quantile of the range of so many standard normal variables: of the studentized range with infinite degrees of freedom.

    From P(range <= q) = k ∫ φ(z) (Φ(z) - Φ(z - q))^(k-1) dz, by Gauss-Legendre and bisection, as scipy.stats, which has it, takes longer to
    load than a whole leaderboard. Source: David & Nagaraja 2003, eq. 2.3.3.
    """
    from scipy.special import ndtr

    node, weight = np.polynomial.legendre.leggauss(200)
    z = 9.0 * node
    density = 9.0 * weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    low, high = 0.0, 40.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        below = groups * (density * (ndtr(z) - ndtr(z - middle)) ** (groups - 1)).sum() < probability
        low, high = (middle, high) if below else (low, middle)
    return high


def _average_ranks(values: Floats) -> Floats:
    """Ranks along the first axis, 1 the smallest, ties averaged."""
    better = (values[None] < values[:, None]).sum(axis=1)
    tied = (values[None] == values[:, None]).sum(axis=1)
    return np.asarray(better + (tied + 1) / 2)
