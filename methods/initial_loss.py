from __future__ import annotations

from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.initial import InitialLosses
from methods.registry import register


@register(
    Card(
        name="initial_loss",
        version=1,
        title="Reciprocal initial loss",
        paper="Xiao, Strategies for Balancing Multiple Loss Functions in Deep Learning, 2024 (section 1.1)",
        year=2024,
        family="loss",
        equation="Σ L_t / L_t(0)",
        hyperparameters=(
            Hyperparameter(
                "initial",
                "batches",
                "L(0) from k batches of the untrained model, from theory (log K, mean ‖y‖², ...), or from the first batch",
                choices=("batches", "theory", "first"),
                sweep=("batches", "theory"),
            ),
            Hyperparameter("batches", 10, "k", low=1),
        ),
        claims=("permutation_equivariant", "loss_scale_invariant"),
        positive_losses=True,
        deviations="an initial loss that is not positive is an error",
    )
)
class InitialLoss(InitialLosses, LossWeighting):
    """Every loss over its own initial value: constant weights that bring all tasks to 1 at the start."""

    def weights(self, losses: Tensor) -> Tensor:
        return self.started(losses).reciprocal()
