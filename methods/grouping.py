"""k-means in one dimension, exactly: groups of sorted numbers are intervals, so the best cut is found by dynamic programming."""

from __future__ import annotations

import torch
from torch import Tensor


def group_means(values: Tensor, groups: int) -> Tensor:
    """Every value ``[T]`` replaced by the mean of its group, for the split into ``groups`` (or T, if fewer) with the least squared error.

    Tensor operations alone, O(groups T²) and no wait for a device; of equal splits the one that cuts earliest.
    """
    count = len(values)
    ordered, order = values.double().sort(stable=True)
    centred = ordered - ordered.mean()
    sums = torch.cat([centred.new_zeros(1), centred.cumsum(0)])
    squares = torch.cat([centred.new_zeros(1), centred.square().cumsum(0)])
    index = torch.arange(count + 1, device=values.device)
    size = (index[None] - index[:, None]).clamp_min(1)
    # cost[i, j]: squared error of a group of the sorted values i to j - 1
    cost = squares[None] - squares[:, None] - (sums[None] - sums[:, None]).square() / size
    cost = torch.where(index[None] > index[:, None], cost.clamp_min(0.0), torch.inf)
    best, cuts = cost[0], []
    for _ in range(min(groups, count) - 1):
        best, cut = (best[:, None] + cost).min(0)
        cuts.append(cut)
    # From the right end back: group after group, the values between its two cuts get their mean.
    end = index[-1]
    means = torch.zeros_like(ordered)
    for cut in [*reversed(cuts), torch.zeros_like(index)]:
        start = torch.take(cut, end)  # cut[end] would wait for the device
        inside = (index[:-1] >= start) & (index[:-1] < end)
        means = torch.where(inside, (ordered * inside).sum() / (end - start), means)
        end = start
    return torch.empty_like(means).scatter_(0, order, means).to(values)
