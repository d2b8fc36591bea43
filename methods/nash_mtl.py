from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import CERTIFIED, fair


@register(
    Card(
        name="nash_mtl",
        version=1,
        title="Nash-MTL",
        paper="Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022",
        year=2022,
        arxiv="2202.01017",
        family="gramian",
        equation="Σ w_t g_t, (G w)_t = 1 / w_t",
        hyperparameters=(Hyperparameter("max_norm", 0.0, "‖d‖ at most; 0 leaves d at its norm √T", low=0.0),),
        claims=("permutation_equivariant", "loss_scale_invariant", "non_conflicting", "zero_at_pareto_stationarity", "degree_0"),
        deviations=(
            "the exact root by damped Newton in every step, heads with their own plain gradient; ‖d‖ = √T always: the official clip "
            "at norm 1 (max_norm=1) is a constant factor; d = 0 where a combination of gradients is zero and there is no root"
        ),
    )
)
class NashMTL(GramianMethod):
    """The bargaining solution: the direction that maximises the product of the tasks' gains. No task gets worse."""

    max_norm: float

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        found = fair(gramian.numpy(), eps=self.rounding)
        if found.residual > CERTIFIED:
            self.count("nash_mtl_gap")
        weights = torch.from_numpy(found.weights)
        return weights * min(1.0, self.max_norm / len(losses) ** 0.5) if self.max_norm else weights
