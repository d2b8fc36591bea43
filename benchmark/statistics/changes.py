"""Relative changes, and what is made of them: Δm, Δp and costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from benchmark.statistics.arrays import Floats


def relative_change(values: ArrayLike, baseline: ArrayLike, higher_is_better: ArrayLike) -> Floats:
    """Change in percent against the baseline, ``100 * sign * (M - B) / |B|``; lower is better.

    Source: Maninis et al. 2019, with the sign of CAGrad and Nash-MTL. |B| in place of B keeps "lower is better" true where a metric is
    negative; for positive metrics it is the published formula.

    Args:
        values: [..., metrics] M.
        baseline: [..., metrics] B, broadcast against ``values``.
        higher_is_better: [metrics].

    Returns:
        [..., metrics]; nan where B is 0.
    """
    base = np.asarray(baseline, dtype=np.float64)
    scale = np.where(base == 0.0, np.nan, np.abs(base))
    sign = np.where(np.asarray(higher_is_better, dtype=np.bool_), -1.0, 1.0)
    change: Floats = 100.0 * sign * (np.asarray(values, dtype=np.float64) - base) / scale
    return change


def delta_m(change: ArrayLike) -> Floats:
    """Δm %: mean over metrics, each with equal weight. ``[..., metrics] -> [...]``; lower is better.

    Source: the convention of CAGrad (Liu et al. 2021) and Nash-MTL (Navon et al. 2022), where NYUv2 counts 9 metrics and not 3 tasks.
    """
    return np.asarray(np.asarray(change, dtype=np.float64).mean(axis=-1))


def delta_p(change: ArrayLike, task: ArrayLike) -> Floats:
    """Δp %: mean inside every task, then over tasks, sign flipped. ``[..., metrics] -> [...]``; higher is better.

    Source: LibMTL, ``count_improvement`` (Lin & Zhang 2023); DB-MTL, eq. 3. Equal to -Δm only where all tasks have as many metrics.

    Args:
        change: [..., metrics] from ``relative_change``.
        task: [metrics] index of each metric's task.
    """
    changes, owner = np.asarray(change, dtype=np.float64), np.asarray(task)
    means = [changes[..., owner == index].mean(axis=-1) for index in np.unique(owner)]
    return np.asarray(-np.mean(means, axis=0))


def relative_costs(times: ArrayLike, eligible: ArrayLike) -> Floats:
    """Cost as a multiple of the cheapest entrant's, ``[entrants, problems] -> [entrants]``; nan where an entrant was not timed.

    Geometric mean over problems of the ratio to the cheapest on each one, which no single slow problem decides (Fleming & Wallace 1986).

    Args:
        times: [entrants, problems] seconds a step, nan where unknown.
        eligible: [entrants] whether an entrant may be the cheapest.
    """
    seconds = np.asarray(times, dtype=np.float64)
    logs = np.log(np.where(seconds > 0, seconds, np.nan))
    may = np.asarray(eligible, dtype=np.bool_)
    cheapest = np.min(logs, axis=0, where=may[:, None] & ~np.isnan(logs), initial=np.inf)
    ratios = logs - np.where(np.isinf(cheapest), np.nan, cheapest)
    known = ~np.isnan(ratios)
    mean = np.where(known, ratios, 0.0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    least = np.min(mean, where=may & ~np.isnan(mean), initial=np.inf)
    costs: Floats = np.exp(mean - least) if np.isfinite(least) else np.full_like(mean, np.nan)
    return costs
