from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.initial import InitialLosses, relative_rates, require_positive
from methods.registry import register

RATES = (1e-3, 1e3)


@register(
    Card(
        name="grad_normalize_rate",
        version=1,
        title="Direct gradient normalisation with training rates",
        paper="Xiao, Strategies for Balancing Multiple Loss Functions in Deep Learning, 2024 (section 2.1)",
        year=2024,
        family="gramian",
        equation="w_t = mean_i(n_i) r_t^α / n_t",
        hyperparameters=(
            Hyperparameter("alpha", 1.5, "strength of the pull towards equal training rates", low=0.0, high=10.0, sweep=(0.0, 3.0)),
            Hyperparameter(
                "initial",
                "first",
                "L(0) from the first batch, from k batches of the untrained model, or from theory",
                choices=("first", "batches", "theory"),
            ),
            Hyperparameter("batches", 10, "k", low=1),
        ),
        claims=("permutation_equivariant", "loss_scale_invariant", "degree_1"),
        positive_losses=True,
        deviations="r is kept in [0.001, 1000]",
    )
)
class GradNormalizeRate(InitialLosses, GramianMethod):
    """Where GradNorm's weights are heading, taken at once: equal norms, larger for tasks that train slowly."""

    alpha: float
    zero_rows = "seen"

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        require_positive(losses, self.card.name, "compares training rates L/L(0)")
        norms = gramian.diagonal().sqrt()
        alive = norms > 0
        rates = relative_rates(losses, self.started(losses), alive).clamp(*RATES)
        return torch.where(alive, norms[alive].mean() * rates**self.alpha / norms, 0.0)
