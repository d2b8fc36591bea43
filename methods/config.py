from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from methods.card import Card
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import eigensystem, equilibrated


@register(
    Card(
        name="config",
        version=1,
        title="ConFIG",
        paper="Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR 2025",
        year=2025,
        arxiv="2408.11104",
        family="gramian",
        equation="(Σ <g_t, x>) x / ‖x‖², x = U⁺ 1, rows of U: g_t / n_t",
        claims=("permutation_equivariant", "degree_1"),
        deviations=(
            "in T x T space, x = Uᵀ C⁺ 1; without the pseudo-momentum of M-ConFIG; where the gradients are linearly "
            "independent it never conflicts, no scale of a loss turns it, and it is IMTL-G with the sign that helps the tasks"
        ),
    )
)
class ConFIG(GramianMethod):
    """The direction at the same angle to every task gradient, as long as the gradients' projections on it together."""

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        cosines, norms = equilibrated(gramian.numpy())
        values, vectors = eigensystem(cosines, self.rounding)
        ones = vectors.sum(axis=0)
        ones[np.abs(ones) <= 8 * len(norms) * self.rounding] = 0.0  # opposite gradients: 1 is orthogonal to the range of C
        y = vectors @ (ones / values)
        length = math.fsum(ones**2 / values)  # ‖x‖² = yᵀ C y
        if not length:
            return torch.zeros_like(losses)
        return torch.from_numpy(norms @ (vectors @ ones) / length * y / norms)
