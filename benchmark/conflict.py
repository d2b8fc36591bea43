"""How much the gradients of the tasks are at odds, from the Gramians that a method has looked at anyway."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def conflict(gramians: Sequence[Tensor]) -> tuple[float, float] | None:
    """Mean cosine between two tasks' gradients, and the share of cosines below 0, over all pairs of all these steps.

    Args:
        gramians: G ``[T, T]`` of each step, float64 on the host, finite. Pairs with a gradient of zero have no angle and are left out.

    Returns:
        None where no pair has an angle.
    """
    if not gramians or len(gramians[0]) < 2:
        return None
    stacked = torch.stack(list(gramians))
    rows, columns = torch.triu_indices(len(gramians[0]), len(gramians[0]), offset=1)
    norms = stacked.diagonal(dim1=1, dim2=2).sqrt()
    products = stacked[:, rows, columns]
    lengths = norms[:, rows] * norms[:, columns]
    cosines = (products / lengths)[lengths > 0]
    return (float(cosines.mean()), float((cosines < 0).double().mean())) if cosines.numel() else None
