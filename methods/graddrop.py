from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import JacobianMethod
from methods.registry import register


@register(
    Card(
        name="graddrop",
        version=1,
        title="GradDrop",
        paper="Chen et al., Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout, NeurIPS 2020",
        year=2020,
        arxiv="2010.06808",
        family="jacobian",
        equation="P_k = (1 + Σ_t g_tk / Σ_t |g_tk|) / 2, U_k ~ U[0, 1]: keep g_tk > 0 if P_k > U_k, g_tk < 0 if P_k < U_k",
        hyperparameters=(
            Hyperparameter("leak", 0.0, "share of every gradient that is never dropped", low=0.0, high=1.0, sweep=(0.0, 0.9)),
        ),
        claims=("degree_1",),
        randomised=True,
        deviations="on the shared parameters, where the paper masks the representation; U is drawn on the host, the same on every device",
    )
)
class GradDrop(JacobianMethod):
    """Keeps one sign a coordinate, drawn in proportion to its share. With leak 0 its mean over the draws is the plain sum."""

    leak: float

    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        uniform = torch.rand(jacobian.shape[1], generator=self.generator, dtype=torch.float64)
        return drop(jacobian, uniform.to(jacobian), self.leak)


def drop(jacobian: Tensor, uniform: Tensor, leak: float) -> Tensor:
    """Direction ``[P]`` for the draws ``uniform`` ``[P]``."""
    positive, negative = jacobian.clamp(min=0).sum(0), jacobian.clamp(max=0).sum(0)
    size = positive - negative
    share = torch.where(size > 0, positive / size, 0.5)  # = (1 + Σg / Σ|g|) / 2
    kept = torch.where(share > uniform, positive, torch.where(share < uniform, negative, 0.0))
    return leak * (positive + negative) + (1 - leak) * kept
