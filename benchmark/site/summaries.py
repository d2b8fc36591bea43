"""Figures of statistics over all problems at once; None where there is not enough for them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmark.records import RunRecord
from benchmark.site import figures
from benchmark.site.data import Board
from benchmark.site.marks import Figure

if TYPE_CHECKING:
    from benchmark.statistics import Floats

THRESHOLDS = 60
"""Points of a profile."""


def scores(records: Iterable[RunRecord], names: Iterable[str], baseline: str | None = None) -> Floats:
    """Δm % of single runs, ``[entrants, problems, seeds]``, entrants in the order of ``names``; nan where there is none.

    Problems without a baseline are left out, and an entrant that lacks any run of a problem has none there.
    """
    from benchmark import scoring, statistics
    from benchmark.field import assemble, evaluations

    field = assemble(evaluations(records, None), baseline)
    samples = [scoring.score(group, field).sample for group in field.groups]
    stacked = statistics.stack([sample.scores() for sample in samples if sample is not None])
    return stacked[[field.entrants.index(name) for name in names]] if stacked.size else stacked


def _complete(board: Board) -> list[int]:
    """Places of the entrants that are ranked and lack nothing."""
    whole = [index for index, each in enumerate(board.entrants) if each.row.rank is not None and each.row.complete]
    return whole if board.scores.size else []


def ranks(board: Board) -> Figure | None:
    """Critical difference over the problems, as Demšar 2006 has it: a block a problem, the mean over its seeds."""
    import numpy as np

    from benchmark import statistics

    whole = _complete(board)
    if len(whole) < 2:
        return None
    found = statistics.friedman(np.nanmean(board.scores[whole], axis=2))
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
    runs = board.scores[whole]
    known = np.sort(runs[np.isfinite(runs)])
    low, high = known[0], known[int(0.95 * (len(known) - 1))]
    # closer where there are more runs, so that every curve rises over many points
    thresholds = np.unique(np.concatenate([np.linspace(low, high, THRESHOLDS // 2), np.quantile(known, np.linspace(0, 0.95, THRESHOLDS // 2))]))
    found = statistics.performance_profile(runs, thresholds)
    chosen = [board.entrants[index] for index in whole]
    return figures.profiles(
        [each.name for each in chosen], [each.style for each in chosen], *(each.tolist() for each in (thresholds, found.share, found.low, found.high))
    )
