from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families.several import CrossGramianMethod
from methods.registry import register
from methods.solvers import project_simplex


@register(
    Card(
        name="modo",
        version=1,
        title="MoDo",
        paper="Chen et al., Three-Way Trade-Off in Multi-Objective Learning, NeurIPS 2023",
        year=2023,
        arxiv="2305.20057",
        family="several",
        equation="(J₁ + J₂)ᵀλ/2, λ ← Π(λ - γ (J₁J₂ᵀλ + ρλ)), Π on the simplex; two batches",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("gamma", 1e-3, "step of λ", low=0.0, sweep=(1e-5, 1e-1), log=True),
            Hyperparameter("rho", 0.1, "regularisation of λ", low=0.0),
        ),
        claims=("permutation_equivariant", "simplex"),
        deviations=(
            "λ moves first and the update follows the new one, as in the paper; the mean of the two batches, where the authors' code takes "
            "their sum and a public port a third batch; heads get the mean of their two plain gradients"
        ),
    )
)
class MoDo(CrossGramianMethod):
    """MGDA's weights followed by projected gradient steps whose gradient is unbiased: the two factors of JJᵀλ come from two batches."""

    gamma: float
    rho: float
    followed = 2
    shares: Tensor

    def setup(self) -> None:
        self.register_buffer("shares", torch.full((self.num_tasks,), 1 / self.num_tasks, dtype=torch.float64))

    def weights(self, cross: Tensor, norms: Tensor) -> Tensor:
        moved = self.shares - self.gamma * (cross @ self.shares + self.rho * self.shares)
        self.shares.copy_(project_simplex(moved))
        return self.shares.clone()
