from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from methods.card import Card
from methods.families import LossMethod
from methods.positive import positive
from methods.registry import register


@register(
    Card(
        name="gls",
        version=1,
        title="Geometric loss strategy",
        paper="Chennupati et al., MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy, CVPR Workshops 2019",
        year=2019,
        arxiv="1904.08492",
        family="loss",
        equation="(Π L_t)^(1/T)",
        native_scale="mean",
        claims=("permutation_equivariant", "loss_scale_invariant"),
        coincides=("scale_invariant", "realtime_loss", "uw_o"),
        positive_losses=True,
        deviations=(
            "computed as exp(mean log L); a loss below 1e-8 counts as max(|L|, 1e-8); the direction is that of scale_invariant, and the "
            "step shrinks with the losses"
        ),
    )
)
class GLS(LossMethod):
    """The geometric mean; the weight of task t is GLS / (T L_t)."""

    def objective(self, losses: Tensor) -> Tensor:
        return positive(self, losses).log().mean().exp()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        size = positive(self, losses)
        return size.log().mean().exp() / (self.num_tasks * size), ()
