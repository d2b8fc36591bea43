from __future__ import annotations

from torch import Tensor

from methods.card import Card
from methods.families import LossWeighting
from methods.possible import possible
from methods.registry import register

EPS = 1e-8


@register(
    Card(
        name="realtime_loss",
        version=1,
        title="Reciprocal real-time loss",
        paper="Xiao, Strategies for Balancing Multiple Loss Functions in Deep Learning, 2024 (section 1.3)",
        year=2024,
        family="loss",
        equation="Σ L_t / sg(L_t)",
        claims=("permutation_equivariant", "loss_scale_invariant"),
        deviations="divides by max(|L_t|, 1e-8): the article's L/sg(L) is nan at 0 and climbs a negative loss; both are counted",
    )
)
class RealtimeLoss(LossWeighting):
    """Every loss over its own current value. The total is always T; its gradient is that of Σ log L_t."""

    def weights(self, losses: Tensor) -> Tensor:
        size = losses.abs()
        if possible(losses.min() < EPS):
            self.count("clamped_loss", (size < EPS).sum())
            self.count("negative_loss", (losses < 0).sum())
        return size.clamp_min(EPS).reciprocal()
