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
        name="dualproj",
        version=1,
        title="DualProj",
        paper="Lopez-Paz & Ranzato, Gradient Episodic Memory for Continual Learning, NeurIPS 2017",
        year=2017,
        arxiv="1706.08840",
        family="gramian",
        equation="P((1/T) Σ g_t), P the projection on {x: <g_i, x> ≥ 0 for all i}",
        native_scale="mean",
        claims=("permutation_equivariant", "non_conflicting", "zero_at_pareto_stationarity", "degree_1"),
        deviations="of the mean over all tasks, as in torchjd, where GEM projects the newest task; exact, without regularisation",
    )
)
class DualProj(GramianMethod):
    """The direction nearest to the mean gradient in which no task gets worse."""

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        found = cone_projections(gramian.numpy(), np.full((1, len(losses)), 1 / len(losses)), self.rounding)
        if found.residual > CERTIFIED:
            self.count("dualproj_gap")
        return torch.from_numpy(found.weights[0])
