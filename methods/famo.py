from __future__ import annotations

import torch
from torch import Tensor

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.positive import positive
from methods.registry import register


@register(
    Card(
        name="famo",
        version=1,
        title="FAMO",
        paper="Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023",
        year=2023,
        arxiv="2306.03792",
        family="loss",
        equation="c Σ z_t log D_t, z = softmax(ξ), D = L - b, c = sg(1 / Σ z_t / D_t); ξ learned from log D before and after the step",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("lr", 0.025, "of Adam on ξ", low=0.0, sweep=(0.0025, 0.25), log=True),
            Hyperparameter("gamma", 1e-3, "weight decay of ξ, coupled", low=0.0, sweep=(1e-5, 1e-1), log=True),
            Hyperparameter("bound", 0.0, "b, a lower bound of all losses"),
        ),
        claims=("permutation_equivariant", "simplex", "loss_scale_invariant"),
        positive_losses=True,
        deviations=(
            "needs the losses of the same batch after the model's step: balancer.after_step(losses); D is max(|L - b|, 1e-8) where the "
            "code adds 1e-8, with one b for all tasks; clipping the gradient is left to the user"
        ),
    )
)
class FAMO(LossWeighting):
    """Equal rates of relative decrease: tasks that improved most lose weight. The weights c z / D are softmax(ξ - log D)."""

    lr: float
    gamma: float
    bound: float
    logits: Tensor
    before: Tensor
    reforward = True

    def setup(self) -> None:
        self.register_buffer("logits", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.register_buffer("before", torch.ones(self.num_tasks, dtype=torch.float64))
        self.adam = Adam((self.num_tasks,), self.lr, torch.float64)

    def weights(self, losses: Tensor) -> Tensor:
        gaps = self.gaps(losses)
        self.before.copy_(gaps)
        return (self.logits - gaps.log()).softmax(0).to(losses)

    def observe(self, losses: Tensor) -> None:
        logits, decrease = self.logits, (self.before / self.gaps(losses)).log()
        z = logits.softmax(0)
        self.adam.step(logits, torch.add(z * (decrease - z @ decrease), logits, alpha=self.gamma))

    def gaps(self, losses: Tensor) -> Tensor:
        """D ``[T]``."""
        return positive(self, losses - self.bound if self.bound else losses)
