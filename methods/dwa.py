from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.positive import positive
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

    def setup(self) -> None:
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("means", torch.zeros(3, self.num_tasks))  # of the window so far, of the last, of the one before

    def weights(self, losses: Tensor) -> Tensor:
        seen, means = self.seen, self.means
        last, before = positive(self, torch.where(seen >= 2 * self.window, means[1:], 1.0))
        weights = self.num_tasks * torch.softmax(last / before / self.tau, 0)
        means[0].add_(losses, alpha=1 / self.window)
        moved = nn.functional.pad(means[:2], (0, 0, 1, 0))
        means.copy_(torch.where(seen.add_(1) % self.window == 0, moved, means))
        return weights.to(losses)
