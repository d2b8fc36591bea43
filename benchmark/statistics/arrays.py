"""The one array shape, ``[methods, problems, seeds]``, and what is missing in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

DRAWS = 2000
"""Bootstrap draws: the Monte-Carlo error of the width of an interval is then about 1/sqrt(2 * 2000) = 1.6 %."""


def stack(scores: Sequence[Floats]) -> Floats:
    """Problems, each with its number of seeds, as one array: ``[methods, seeds]`` -> ``[methods, problems, seeds]``, padded with nan."""
    longest = max((each.shape[1] for each in scores), default=0)
    if not scores:
        return np.empty((0, 0, 0))
    return np.stack([np.pad(each, ((0, 0), (0, longest - each.shape[1])), constant_values=np.nan) for each in scores], axis=1)


def slots(scores: Floats) -> Booleans:
    """Which (problem, seed) pairs exist, ``[methods, ...] -> [...]``: where every method is nan there is only padding."""
    return np.asarray(~np.isnan(scores).all(axis=0))


def covered(scores: Floats) -> Booleans:
    """Which methods lack nothing that another has, ``[methods, ...] -> [methods]``; a failure (inf) is not lacking."""
    return np.asarray(~np.isnan(scores[:, slots(scores)]).any(axis=1))


def as_scores(scores: ArrayLike, axes: int = 3) -> Floats:
    """Raises ValueError for an array that is not of so many axes."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != axes:
        expected = "[methods, problems, seeds]" if axes == 3 else "[methods, blocks]"
        raise ValueError(f"scores of shape {list(array.shape)}: expected {expected}")
    return array


def redrawn(seeds: Sequence[int], draws: int, seed: int) -> list[Floats]:
    """Of a bootstrap stratified by problem, how often each run is drawn: ``[draws, seeds]`` a problem, from a generator of its own.

    The last draws are kept, and cannot be written to: all estimates of one table are of the same ones.
    """
    return list(_redrawn(tuple(seeds), draws, seed))


@lru_cache(maxsize=1)
def _redrawn(seeds: tuple[int, ...], draws: int, seed: int) -> tuple[Floats, ...]:
    generator = np.random.default_rng(seed)
    found = tuple(generator.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(np.float64) for n in seeds)
    for each in found:
        each.flags.writeable = False
    return found
