from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.positive import positive
from methods.possible import possible
from methods.registry import register


@register(
    Card(
        name="dwa",
        version=1,
        title="Dynamic weight average",
        paper="Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019",
        year=2019,
        arxiv="1803.10704",
        family="loss",
        equation="Σ λ_t L_t, λ = T softmax(r / τ), r_t = mean L_t of the last epoch over that of the one before",
        hyperparameters=(
            Hyperparameter("tau", 2.0, "temperature", low=1e-3, sweep=(0.5, 8.0), log=True),
            Hyperparameter("window", 25, "steps that stand for an epoch", low=1, sweep=(5, 200), log=True),
        ),
        claims=("permutation_equivariant",),
        positive_losses=True,
        deviations=(
            "an epoch is a window of `window` steps; λ is 1 until two whole windows are done, where public codes compare losses with a "
            "buffer of ones; a mean below 1e-8 counts as max(|mean|, 1e-8)"
        ),
    )
)
class DWA(LossWeighting):
    """Tasks whose loss falls slowly weigh more. λ ignores the scale of a loss, the direction does not."""

    tau: float
    window: int
    seen: Tensor
    means: Tensor
    shares: Tensor

    def setup(self) -> None:
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("means", torch.zeros(2, self.num_tasks))  # of the window so far, of the last
        self.register_buffer("shares", torch.ones(self.num_tasks))  # λ, the same for a whole window

    def weights(self, losses: Tensor) -> Tensor:
        means, shares = self.means, self.shares
        weights = shares.to(losses, copy=True)
        means[0].add_(losses, alpha=1 / self.window)
        seen = self.seen.add_(1)
        ended = seen % self.window == 0
        if possible(ended):
            compared = ended & (seen >= 2 * self.window)
            newest, before = positive(self, torch.where(compared, means, 1.0))
            shares.copy_(torch.where(compared, self.num_tasks * torch.softmax(newest / before / self.tau, 0), shares))
            means.copy_(torch.where(ended, nn.functional.pad(means[:1], (0, 0, 1, 0)), means))
        return weights
