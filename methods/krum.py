from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register


@register(
    Card(
        name="krum",
        version=1,
        title="Krum",
        paper="Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, NeurIPS 2017",
        year=2017,
        arxiv="1703.02757",
        family="gramian",
        equation="(1/m) Σ of the m gradients with the least Σ ‖g_t - g_i‖² over their T - f - 2 nearest i",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("byzantine", 0, "f, gradients that may be anything", low=0),
            Hyperparameter("selected", 1, "m", low=1),
        ),
        claims=("degree_1",),
        deviations=(
            "of equal scores the smallest index wins, as in the paper (of three tasks the nearest two tie, and the first is followed): not "
            "permutation equivariant then; below f + 3 tasks, which the paper needs, one neighbour counts; torchjd does not square"
        ),
    )
)
class Krum(GramianMethod):
    """The gradients that have the most company: a gradient far from the others is never followed."""

    byzantine: int
    selected: int

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        tasks = len(losses)
        squared = gramian.diagonal()
        distances = (squared[:, None] + squared - 2 * gramian).clamp(min=0.0)
        distances.fill_diagonal_(torch.inf)
        neighbours = min(max(tasks - self.byzantine - 2, 1), tasks - 1)
        scores = distances.sort(dim=1).values[:, :neighbours].sum(1)
        rounding = max(self.rounding, 1e-12) * float(squared.max())
        chosen = sorted(range(tasks), key=lambda task: (round(float(scores[task]) / rounding / 1e3), task))[: self.selected]
        weights = torch.zeros_like(losses)
        weights[chosen] = 1 / len(chosen)
        return weights
