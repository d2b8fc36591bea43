from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import CERTIFIED, fair


@register(
    Card(
        name="fairgrad",
        version=1,
        title="FairGrad",
        paper="Ban & Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024",
        year=2024,
        arxiv="2402.15638",
        family="gramian",
        equation="Σ w_t g_t, (G w)_t = w_t^(-1/α)",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter(
                "alpha", 2.0, "1 is Nash-MTL, large values near MGDA, small ones near DualProj", low=0.1, high=10.0, sweep=(0.5, 5.0)
            ),
            Hyperparameter("max_norm", 0.0, "‖d‖ at most; 0 for no bound", low=0.0),
        ),
        claims=("permutation_equivariant", "non_conflicting", "zero_at_pareto_stationarity"),
        deviations=(
            "the exact root by Newton's method; neither the factor T nor the clip at norm 1 of the official code (see scale, max_norm); "
            "heads with their own plain gradient; d(sJ) = s^((1-α)/(1+α)) d(J), so that for α = 2 the step grows as gradients shrink; "
            "d = 0 where a combination of gradients is zero and there is no root"
        ),
    )
)
class FairGrad(GramianMethod):
    """The direction that maximises the α-fair utility of the tasks' gains. No task gets worse."""

    alpha: float
    max_norm: float

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        found = fair(gramian.numpy(), self.alpha, self.rounding)
        if found.residual > CERTIFIED:
            self.count("fairgrad_gap")
        weights = torch.from_numpy(found.weights)
        if not self.max_norm:
            return weights
        norm = float((weights @ gramian @ weights).clamp(min=0.0).sqrt())
        return weights * (self.max_norm / norm) if norm > self.max_norm else weights
