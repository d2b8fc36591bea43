from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from methods.card import Card
from methods.families import LossMethod
from methods.positive import positive
from methods.registry import register


@register(
    Card(
        name="scale_invariant",
        version=1,
        title="Scale-invariant log loss",
        paper="Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022 (baseline SI)",
        year=2022,
        arxiv="2202.01017",
        family="loss",
        equation="Σ log L_t",
        claims=("permutation_equivariant", "loss_scale_invariant"),
        coincides=("gls", "realtime_loss", "uw_o"),
        positive_losses=True,
        deviations=(
            "a loss below 1e-8 counts as max(|L|, 1e-8); the gradient is that of realtime_loss, and that of gls up to a factor; plain log, "
            "where some codes take log(1 + L), which depends on the scale"
        ),
    )
)
class ScaleInvariant(LossMethod):
    """The sum of logarithms: relative changes of all losses count alike."""

    def objective(self, losses: Tensor) -> Tensor:
        return positive(self, losses).log().sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        return positive(self, losses).reciprocal(), ()
