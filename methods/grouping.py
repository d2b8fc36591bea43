"""k-means in one dimension, exactly: groups of sorted numbers are intervals, so the best cut is found by dynamic programming."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad


def group_means(values: Tensor, groups: int) -> Tensor:
    """Every value ``[T]`` replaced by the mean of its group, for the split into ``groups`` (or T, if fewer) with the least squared error.

    Tensor operations alone, O(groups T²) and no wait for a device; of equal splits the one that cuts earliest.
    """
    count = len(values)
    index, inverse, barred = _spans(count, values.device)
    ordered, order = values.double().sort(stable=True)
    least = ordered[0]
    sums = pad((ordered - least).cumsum(0), (1, 0))
    total = sums - sums[:, None]
    # [i, j] is of a group of the sorted values i to j - 1: its mean, and by how much less its squared error is than its sum of squares
    means = total * inverse
    gain = torch.addcmul(barred, total, means)
    best, cuts = gain[0], []
    for _ in range(min(groups, count) - 1):
        best, cut = (best[:, None] + gain).max(0)
        cuts.append(cut)
    bounds = [index[-1]]
    for cut in reversed(cuts):  # from the right end back
        bounds.append(torch.take(cut, bounds[-1]))  # cut[end] would wait for the device
    ends, starts = torch.stack(bounds[::-1]), torch.stack([index[0], *bounds[:0:-1]])
    of_groups = means.take(torch.add(ends, starts, alpha=count + 1)) + least
    group = torch.searchsorted(ends, index[:-1], right=True)
    return torch.empty_like(ordered).scatter_(0, order, of_groups.take(group)).to(values)


@lru_cache(maxsize=8)
def _spans(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """0..T; 1 over the number of values from i to j - 1 (1 where there are none), and -infinity where there are none ``[T + 1, T + 1]``."""
    index = torch.arange(count + 1, device=device)
    size = index - index[:, None]
    return index, size.clamp_min(1).double().reciprocal(), torch.where(size > 0, 0.0, -torch.inf).double()
