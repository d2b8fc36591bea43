from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.card import Card
from methods.errors import LossRangeError
from methods.families import LossWeighting
from methods.registry import register


@register(
    Card(
        name="prior_loss",
        version=1,
        title="Reciprocal prior loss",
        paper="Xiao, Strategies for Balancing Multiple Loss Functions in Deep Learning, 2024 (section 1.2)",
        year=2024,
        family="loss",
        equation="Σ L_t / L_t(prior)",
        claims=("permutation_equivariant", "loss_scale_invariant"),
        needs=("prior_losses",),
        positive_losses=True,
        deviations="a prior loss that is not positive is an error",
    )
)
class PriorLoss(LossWeighting):
    """Every loss over that of the best constant prediction (label entropy, label variance): what a model that learned nothing can do."""

    prior: Tensor

    def setup(self) -> None:
        for task, value in enumerate(self.facts.prior_losses or ()):
            if not 0 < value < math.inf:
                what = f"that of task {task} is {value:g}; expected a finite number > 0"
                raise LossRangeError(f"prior_loss divides by the prior losses, but {what}")
        self.register_buffer("prior", torch.tensor(self.facts.prior_losses, dtype=torch.float64))

    def weights(self, losses: Tensor) -> Tensor:
        return self.prior.to(losses).reciprocal()
