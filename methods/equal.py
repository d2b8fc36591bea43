from __future__ import annotations

from torch import Tensor

from methods.card import Card
from methods.families import LossMethod
from methods.registry import register


@register(
    Card(
        name="equal",
        version=1,
        title="Equal weights",
        paper="Xin et al., Do Current Multi-Task Optimization Methods in Deep Learning Even Help?, NeurIPS 2022",
        year=2022,
        arxiv="2209.11379",
        family="loss",
        equation="(1/T) Σ L_t",
        native_scale="mean",
        baseline=True,
        claims=("permutation_equivariant", "simplex", "degree_1"),
        deviations="the weights are 1/T; scale='sum' gives the unitary scalarisation of Kurin et al. (NeurIPS 2022)",
    )
)
class Equal(LossMethod):
    """The mean of the losses: the baseline that a balancing method has to beat."""

    def objective(self, losses: Tensor) -> Tensor:
        return losses.mean()
