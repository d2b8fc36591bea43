"""Figures of statistics over all problems at once; None where there is not enough for them."""

from __future__ import annotations

import math

from benchmark.site import figures
from benchmark.site.data import Board
from benchmark.site.marks import Figure

THRESHOLDS = 60
"""Points of a profile."""


def _complete(board: Board) -> list[int]:
    """Places of the entrants that are ranked and lack nothing."""
    whole = [index for index, each in enumerate(board.entrants) if each.row.rank is not None and each.row.complete]
    return whole if board.scores is not None else []


def ranks(board: Board) -> Figure | None:
    """Critical difference over the problems, as Demšar 2006 has it: a block a problem, the mean over its seeds."""
    import numpy as np

    from benchmark import statistics

    whole = _complete(board)
    if len(whole) < 2:
        return None
    found = statistics.friedman(np.nanmean(np.asarray(board.scores)[whole], axis=2))
    if math.isnan(found.critical_difference):
        return None
    return figures.ranks([board.entrants[index].name for index in whole], found.mean_ranks.tolist(), found.critical_difference, found.p)


def profiles(board: Board) -> Figure | None:
    """Performance profiles over all runs; thresholds from the best run to one that nine in ten stay below."""
    import numpy as np

    from benchmark import statistics

    whole = _complete(board)
    if not whole:
        return None
    runs = np.asarray(board.scores)[whole]
    known = np.sort(runs[np.isfinite(runs)])
    low, high = known[0], known[int(0.9 * (len(known) - 1))]
    # closer where there are more runs, so that every curve rises over many points
    thresholds = np.unique(
        np.concatenate([np.linspace(low, high, THRESHOLDS // 2), np.quantile(known, np.linspace(0, 0.9, THRESHOLDS // 2))])
    )
    found = statistics.performance_profile(runs, thresholds)
    chosen = [board.entrants[index] for index in whole]
    return figures.profiles(
        [each.name for each in chosen],
        [each.style for each in chosen],
        *(each.tolist() for each in (thresholds, found.share, found.low, found.high)),
    )
