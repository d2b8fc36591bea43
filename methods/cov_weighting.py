from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card
from methods.families import LossWeighting
from methods.positive import positive
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
    statistics: Tensor

    def setup(self) -> None:
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("statistics", torch.zeros(3, self.num_tasks))  # mean L, mean l, sum of squared deviations of l

    def weights(self, losses: Tensor) -> Tensor:
        size = positive(self, losses).to(self.statistics)
        mean, ratio_mean, squares = self.statistics
        variation = (squares / self.seen.clamp_min(1) + 1e-8).sqrt() / ratio_mean
        weights = torch.where(self.seen < 2, 1 / self.num_tasks, variation / variation.sum())
        ratio = torch.where(self.seen == 0, 1.0, size / mean)
        seen = self.seen.add_(1)
        moved = ratio_mean + (ratio - ratio_mean) / seen
        squares.addcmul_(ratio - ratio_mean, ratio - moved)
        ratio_mean.copy_(moved)
        mean.add_((size - mean) / seen)
        return weights.to(losses)
