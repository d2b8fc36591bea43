from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register

KAPPA: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "unit": lambda norms: norms.new_ones(()),
    "max": torch.max,
    "min": torch.min,
    "median": lambda norms: norms.quantile(0.5),  # the midpoint for an even T, where Tensor.median takes the lower one
}


@register(
    Card(
        name="grad_normalize",
        version=1,
        title="Direct gradient normalisation",
        paper="Xiao, Strategies for Balancing Multiple Loss Functions in Deep Learning, 2024 (section 2.1); = one-step DiBS-MTL, 2025",
        year=2024,
        arxiv="2509.23948",
        family="gramian",
        equation="w_t = κ / n_t, κ = mean_i n_i (or 1, max, min, median)",
        hyperparameters=(
            Hyperparameter(
                "kappa",
                "mean",
                "norm that every task gradient is brought to; unit is 1",
                choices=("mean", "unit", "max", "min", "median"),
            ),
        ),
        claims=("permutation_equivariant", "loss_scale_invariant"),
        deviations="κ = mean n, so that the update still shrinks where the gradients do; κ = 1 is the article's formula",
    )
)
class GradNormalize(GramianMethod):
    """Every task gradient is given the same norm: the experiment that the GradNorm section of the article suggests."""

    kappa: str

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        norms = gramian.diagonal().sqrt()
        return KAPPA[self.kappa](norms) / norms
