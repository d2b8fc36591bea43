from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families import LossMethod
from methods.positive import positive
from methods.registry import register


@register(
    Card(
        name="imtl_l",
        version=1,
        title="IMTL-L",
        paper="Liu et al., Towards Impartial Multi-task Learning, ICLR 2021 (loss balance)",
        year=2021,
        family="loss",
        equation="Σ exp(s_t) L_t - s_t, s learned",
        hyperparameters=(Hyperparameter("lr", 0.025, "of Adam on s", low=0.0, sweep=(0.0025, 0.25), log=True),),
        claims=("permutation_equivariant",),
        positive_losses=True,
        deviations=(
            "s has an Adam of its own, where the paper steps it with the model; a loss below 1e-8 counts as max(|L|, 1e-8), without which "
            "s never rests; twice uncertainty(coefficient='half') at -s, so that the two give one direction"
        ),
    )
)
class IMTLL(LossMethod):
    """Brings all weighted losses to 1: at rest s = -log L, so the weight is 1 / L."""

    lr: float

    def setup(self) -> None:
        self.log_scale = nn.Parameter(torch.zeros(self.num_tasks))
        self.adam = Adam((self.num_tasks,), self.lr)

    def objective(self, losses: Tensor) -> Tensor:
        return (self.log_scale.exp() * positive(self, losses) - self.log_scale).sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        weights = self.log_scale.detach().exp().to(losses)
        return weights, [weights * positive(self, losses) - 1]

    def learn(self, gradients: Sequence[Tensor | None]) -> None:
        assert gradients[0] is not None  # the objective depends on s
        self.adam.step(self.log_scale, gradients[0])
