from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families import LossMethod
from methods.registry import register


@register(
    Card(
        name="awl",
        version=1,
        title="Automatic weighted loss",
        paper="Liebel & Körner, Auxiliary Tasks in Multi-task Learning, 2018",
        year=2018,
        arxiv="1805.06334",
        family="loss",
        equation="Σ L_t / (2 c_t²) + log(1 + c_t²), c learned",
        hyperparameters=(Hyperparameter("lr", 0.025, "of Adam on log c²", low=0.0, sweep=(0.0025, 0.25), log=True),),
        claims=("permutation_equivariant",),
        deviations="learns s = log c², which has no pole at c = 0 and the same values; Adam of its own, without weight decay",
    )
)
class AWL(LossMethod):
    """Uncertainty weighting whose penalty never turns negative; at rest c² = (L + √(L² + 8L)) / 4."""

    lr: float

    def setup(self) -> None:
        self.log_variance = nn.Parameter(torch.zeros(self.num_tasks))
        self.adam = Adam((self.num_tasks,), self.lr)

    def objective(self, losses: Tensor) -> Tensor:
        return (losses * torch.exp(-self.log_variance) / 2 + nn.functional.softplus(self.log_variance)).sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        s = self.log_variance.detach()
        weights = (torch.exp(-s) / 2).to(losses)
        return weights, [s.sigmoid() - weights * losses]

    def learn(self, gradients: Sequence[Tensor | None]) -> None:
        assert gradients[0] is not None  # the objective depends on s
        self.adam.step(self.log_variance, gradients[0])
