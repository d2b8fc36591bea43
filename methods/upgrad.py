from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.card import Card
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import CERTIFIED, cone_projections


@register(
    Card(
        name="upgrad",
        version=1,
        title="UPGrad",
        paper="Quinton & Rey, Jacobian Descent for Multi-Objective Optimization, 2024",
        year=2024,
        arxiv="2406.16232",
        family="gramian",
        equation="(1/T) Σ_t P(g_t), P the projection on {x: <g_i, x> ≥ 0 for all i}",
        native_scale="mean",
        claims=("permutation_equivariant", "non_conflicting", "zero_at_pareto_stationarity", "degree_1"),
        deviations="exact projections, without the regularisation of public codes, which lets d conflict where norms differ 20-fold",
    )
)
class UPGrad(GramianMethod):
    """Every task gradient is projected to where it hurts nobody; the mean of what is left. Linear in the scale of each task."""

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        found = cone_projections(gramian.numpy(), np.eye(len(losses)), self.rounding)
        if found.residual > CERTIFIED:
            self.count("upgrad_gap")
        return torch.from_numpy(found.weights.mean(axis=0))
