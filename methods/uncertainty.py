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
        name="uncertainty",
        version=1,
        title="Uncertainty weighting",
        paper="Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics, CVPR 2018",
        year=2018,
        arxiv="1705.07115",
        family="loss",
        equation="Σ k_t exp(-s_t) L_t + s_t / 2, s = log σ² learned; k = 1/2 for regression, 1 for classification",
        hyperparameters=(
            Hyperparameter("lr", 0.025, "of Adam on s", low=0.0, sweep=(0.0025, 0.25), log=True),
            Hyperparameter("coefficient", "kind", "k_t by the kind of the task, or 1/2 for all", choices=("kind", "half")),
        ),
        claims=("permutation_equivariant",),
        deviations="s starts at 0 and has an Adam of its own, without weight decay; tasks of unknown kind count as regression",
    )
)
class Uncertainty(LossMethod):
    """Gaussian (or softmax) likelihoods with a learned variance a task: at rest s = log(2 k L), so the weight is 1 / (2 L)."""

    lr: float
    coefficient: str
    k: Tensor

    def setup(self) -> None:
        kinds = (self.facts.kinds if self.coefficient == "kind" else None) or ("regression",) * self.num_tasks
        self.register_buffer("k", torch.tensor([1.0 if kind == "classification" else 0.5 for kind in kinds]))
        self.log_variance = nn.Parameter(torch.zeros(self.num_tasks))
        self.adam = Adam((self.num_tasks,), self.lr)

    def objective(self, losses: Tensor) -> Tensor:
        return (self.k * torch.exp(-self.log_variance) * losses + self.log_variance / 2).sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        weights = (self.k * torch.exp(-self.log_variance.detach())).to(losses)
        return weights, [0.5 - weights * losses]

    def learn(self, gradients: Sequence[Tensor | None]) -> None:
        assert gradients[0] is not None  # the objective depends on s
        self.adam.step(self.log_variance, gradients[0])
