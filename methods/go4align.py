from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.grouping import group_means
from methods.positive import positive
from methods.registry import register


@register(
    Card(
        name="go4align",
        version=1,
        title="GO4Align",
        paper="Shen et al., GO4Align: Group Optimization for Multi-Task Alignment, NeurIPS 2024",
        year=2024,
        arxiv="2404.06486",
        family="loss",
        equation="Σ w_t L_t, w_t = mean over t's group of q_i (Σ_j L_j) / L_i; q ∝ q exp(-η L); groups by k-means on those T numbers",
        hyperparameters=(
            Hyperparameter("groups", 2, "K", low=1, high=64, sweep=(2, 4)),
            Hyperparameter("eta", 1e-4, "step size of q", low=0.0, sweep=(1e-5, 1e-2), log=True),
        ),
        claims=("permutation_equivariant",),
        positive_losses=True,
        deviations=(
            "k-means is exact (the released class calls one that it never imports), with T groups at most; two groups by default, since "
            "the code's one group is equal weighting; q is kept as logarithms; a loss below 1e-8 counts as max(|L|, 1e-8)"
        ),
    )
)
class GO4Align(LossWeighting):
    """Scale-balanced weights, shrunk for tasks with a history of large losses, and shared within groups of similar tasks."""

    groups: int
    eta: float
    logits: Tensor

    def setup(self) -> None:
        self.register_buffer("logits", torch.zeros(self.num_tasks))

    def weights(self, losses: Tensor) -> Tensor:
        size = positive(self, losses)
        logits = self.logits.copy_(torch.sub(self.logits, size, alpha=self.eta).log_softmax(0))
        return group_means(logits.exp() * size.sum() / size, self.groups).to(losses)
