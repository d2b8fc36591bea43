from __future__ import annotations

from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.positive import positive
from methods.registry import register


@register(
    Card(
        name="uw_o",
        version=1,
        title="Optimal analytical uncertainty weighting",
        paper="Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning, GCPR 2024 (UW-O)",
        year=2024,
        arxiv="2408.07985",
        family="loss",
        equation="Σ L_t / sg(L_t)",
        claims=("permutation_equivariant", "loss_scale_invariant"),
        coincides=("realtime_loss", "scale_invariant", "gls"),
        positive_losses=True,
        deviations=(
            "where uncertainty weighting would rest, taken at once: weights as in realtime_loss; a loss below 1e-8 counts as max(|L|, 1e-8)"
        ),
    )
)
class UWO(LossWeighting):
    """The minimum over σ of the uncertainty-weighted loss, written down instead of learned."""

    def weights(self, losses: Tensor) -> Tensor:
        return positive(self, losses).reciprocal()


@register(
    Card(
        name="uw_so",
        version=1,
        title="Soft optimal uncertainty weighting",
        paper="Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning, GCPR 2024 (UW-SO)",
        year=2024,
        arxiv="2408.07985",
        family="loss",
        equation="Σ w_t L_t, w = softmax(1 / (τ sg(L)))",
        native_scale="mean",
        hyperparameters=(Hyperparameter("tau", 1.0, "temperature", low=1e-3, sweep=(0.1, 100.0), log=True),),
        claims=("permutation_equivariant", "simplex"),
        positive_losses=True,
        deviations="the paper tunes τ for every data set; a loss below 1e-8 counts as max(|L|, 1e-8)",
    )
)
class UWSO(LossWeighting):
    """UW-O's weights through a softmax with a temperature. Depends on the scale of the losses."""

    tau: float

    def weights(self, losses: Tensor) -> Tensor:
        return (1 / (self.tau * positive(self, losses))).softmax(0)
