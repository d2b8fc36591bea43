from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.positive import positive
from methods.possible import possible
from methods.registry import register
from methods.window import Window


@register(
    Card(
        name="igb_v1",
        version=1,
        title="Improvable gap balancing, version 1",
        paper="Dai, Fei, Lu, Improvable Gap Balancing for Multi-Task Learning, UAI 2023",
        year=2023,
        arxiv="2307.15429",
        family="loss",
        equation="Σ w_t log L_t, w = T softmax(sg(L) / base), base = mean L of the first epoch, in which w = 1",
        hyperparameters=(Hyperparameter("window", 25, "steps that stand for the first epoch", low=1, sweep=(5, 200), log=True),),
        claims=("permutation_equivariant", "loss_scale_invariant"),
        positive_losses=True,
        deviations="the first epoch is a window of `window` steps; a loss, or base, below 1e-8 counts as max(|L|, 1e-8)",
    )
)
class IGBv1(LossWeighting):
    """Tasks that are far from done, relative to where they began, weigh more; on logarithms of the losses."""

    window: int

    def setup(self) -> None:
        self.base = Window(self.num_tasks, 0, self.window)

    def weights(self, losses: Tensor) -> Tensor:
        size = positive(self, losses)
        weights = size.reciprocal()
        ready = self.base.see(losses)
        if possible(ready):
            base = positive(self, torch.where(ready, self.base.mean.to(losses), 1.0))
            weights = torch.where(ready, self.num_tasks * torch.softmax(size / base, 0), 1.0) * weights
        return weights
