from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter, parse_weights
from methods.families import LossMethod
from methods.registry import register


@register(
    Card(
        name="fixed",
        version=1,
        title="Weights set by hand",
        paper="Guo et al., Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement, CVPR 2020 (its weights are 1/10/5/200)",
        year=2020,
        arxiv="2001.06826",
        family="loss",
        equation="Σ w_t L_t",
        hyperparameters=(Hyperparameter("weights", "equal", "w in the order of the tasks, as 1/10/5/200; equal: 1 each", weights=True),),
        claims=("degree_1",),
        coincides=("equal",),
        deviations="with weights of 1 each, its default, the direction is that of equal weights",
    )
)
class Fixed(LossMethod):
    """What is done without a method: constants, found by trial and error."""

    weights: str
    w: Tensor

    def setup(self) -> None:
        weights = parse_weights(self.weights, "fixed.weights", "equal", self.num_tasks)
        self.register_buffer("w", torch.tensor(weights, dtype=torch.float64))

    def objective(self, losses: Tensor) -> Tensor:
        return (self.w.to(losses) * losses).sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        return self.w.to(losses), ()
