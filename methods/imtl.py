from __future__ import annotations

import torch
from torch import Tensor

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.imtl_g import impartial
from methods.registry import register


@register(
    Card(
        name="imtl",
        version=1,
        title="IMTL",
        paper="Liu et al., Towards Impartial Multi-task Learning, ICLR 2021 (OpenReview IMPnRXEWpvr)",
        year=2021,
        family="gramian",
        equation="IMTL-G on e^{s_t} L_t, s learned on Σ e^{s_t} L_t - s_t (IMTL-L)",
        native_scale="mean",
        hyperparameters=(Hyperparameter("lr", 0.025, "of Adam on s", low=0.0, sweep=(0.0025, 0.25), log=True),),
        claims=("permutation_equivariant", "degree_1"),
        deviations=(
            "heads with their own plain gradient, where the paper's follow e^{s_t} L_t; IMTL-G ignores the scale of a loss but for "
            "the sign of its direction, so that s decides the length and the sign; s has an Adam of its own"
        ),
    )
)
class IMTL(GramianMethod):
    """Losses brought to a common scale (at rest e^{s_t} = 1 / L_t), then the impartial combination of their gradients."""

    lr: float
    s: Tensor
    zero_rows = "seen"

    def setup(self) -> None:
        self.register_buffer("s", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.adam = Adam((self.num_tasks,), self.lr, torch.float64)

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        scale = self.s.exp()
        self.adam.step(self.s, scale * losses - 1)  # the model still follows the scales of before this step
        alive = gramian.diagonal() > 0
        weights = torch.zeros_like(losses)
        factors = scale[alive]
        found = impartial((gramian[alive][:, alive] * torch.outer(factors, factors)).numpy(), self.rounding)
        if not found.any():
            self.count("imtl_undefined")
        weights[alive] = torch.from_numpy(found) * factors
        return weights
