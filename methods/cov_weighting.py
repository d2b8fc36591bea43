from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card
from methods.families import LossWeighting
from methods.positive import positive
from methods.possible import possible
from methods.registry import register


@register(
    Card(
        name="cov_weighting",
        version=1,
        title="Coefficient-of-variation weighting",
        paper="Groenendijk et al., Multi-Loss Weighting with Coefficient of Variations, WACV 2021",
        year=2021,
        arxiv="2009.01717",
        family="loss",
        equation="Σ w_t L_t, w_t ∝ std(l_t) / mean(l_t) over the steps before, l_t = L_t / mean of L_t over the steps before, Σ w = 1",
        native_scale="mean",
        claims=("permutation_equivariant", "simplex"),
        positive_losses=True,
        deviations=(
            "as the authors' code: w = 1/T in the first two steps, std = √(variance + 1e-8); a loss below 1e-8 counts as max(|L|, 1e-8)"
        ),
    )
)
class CoVWeighting(LossWeighting):
    """Losses whose relative value still varies weigh more (Welford's statistics). w ignores the scale of a loss, the direction does not."""

    seen: Tensor
    mean: Tensor
    ratio: Tensor
    variance: Tensor

    def setup(self) -> None:
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.ones(self.num_tasks))  # of L
        self.register_buffer("ratio", torch.ones(self.num_tasks))  # mean of l
        self.register_buffer("variance", torch.zeros(self.num_tasks))  # of l

    def weights(self, losses: Tensor) -> Tensor:
        mean, ratio, variance = self.mean, self.ratio, self.variance
        size = positive(self, losses).to(mean)
        variation = (variance + 1e-8).sqrt() / ratio
        weights = variation / variation.sum()
        first = self.seen == 0
        if possible(first):
            mean.copy_(torch.where(first, size, mean))  # l = 1
        share = self.seen.add_(1).reciprocal()
        relative = size / mean
        change = relative - ratio
        ratio.lerp_(relative, share)
        variance.lerp_(change * (relative - ratio), share)
        mean.lerp_(size, share)
        return weights.to(losses)
