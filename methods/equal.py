from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card
from methods.families import LossWeighting
from methods.registry import register


@register(
    Card(
        name="equal",
        version=1,
        title="Equal weights",
        paper="Xin et al., Do Current Multi-Task Optimization Methods in Deep Learning Even Help?, NeurIPS 2022",
        year=2022,
        arxiv="2209.11379",
        family="loss",
        equation="(1/T) Σ L_t",
        native_scale="mean",
        baseline=True,
        claims=("permutation_equivariant", "simplex", "degree_1"),
        deviations="the weights are 1/T; scale='sum' gives the unitary scalarisation of Kurin et al. (NeurIPS 2022)",
    )
)
class Equal(LossWeighting):
    """The mean of the losses: the baseline that a balancing method has to beat."""

    def weights(self, losses: Tensor) -> Tensor:
        return torch.full_like(losses, 1 / self.num_tasks)
