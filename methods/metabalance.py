from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register


@register(
    Card(
        name="metabalance",
        version=1,
        title="MetaBalance",
        paper="He et al., MetaBalance: Improving Multi-Task Recommendations via Adapting Gradient Magnitudes of Auxiliary Tasks, WWW 2022",
        year=2022,
        arxiv="2203.06801",
        family="gramian",
        equation="w_t = ρ m_1 / m_t + 1 - ρ, m_t ← β m_t + (1 - β) n_t",
        hyperparameters=(
            Hyperparameter(
                "relax",
                0.7,
                "ρ: 0 leaves the auxiliary gradients alone, 1 gives them the main task's norm",
                low=0.0,
                high=1.0,
                sweep=(0.0, 1.0),
            ),
            Hyperparameter("beta", 0.9, "β of the moving average of the norms", low=0.0, high=0.9999),
        ),
        claims=("degree_1",),
        deviations=(
            "norms of the whole shared gradient, where the paper matches them tensor by tensor: another update wherever "
            "the ratio of norms differs from layer to layer; the first task is the main one, so that no permutation leaves it as it is"
        ),
    )
)
class MetaBalance(GramianMethod):
    """Auxiliary task gradients are drawn towards the norm of the main task's."""

    relax: float
    beta: float
    norms: Tensor
    zero_rows = "seen"

    def setup(self) -> None:
        self.register_buffer("norms", torch.zeros(self.num_tasks, dtype=torch.float64))

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        current = gramian.diagonal().sqrt()
        self.norms.lerp_(current, 1 - self.beta)  # starts at 0: the ratios need no correction for that
        ratios = self.norms[0] / self.norms if self.norms[0] > 0 else torch.ones_like(losses)
        return torch.where(current > 0, self.relax * ratios + (1 - self.relax), 0.0)
