from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import CERTIFIED, Array, min_norm, nonnegative
from methods.solvers.matrix import vanishes


@register(
    Card(
        name="pcd",
        version=1,
        title="Priority-constrained descent",
        paper="Priority-Constrained Descent, TMLR 2026",
        year=2026,
        arxiv="2606.29521",
        family="gramian",
        equation="n_1 x / ‖x‖, x = argmin ‖x - ĝ_1‖² with <ĝ_t, x> ≥ τ ‖ĝ_t‖² for t ≥ 2, ĝ_t = g_t / √(EMA of n_t²)",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("tau", 0.02, "τ: how much every secondary task must gain", low=0.0, high=1.0, sweep=(0.002, 0.5), log=True),
            Hyperparameter("beta", 0.999, "of the moving average of n²", low=0.0, high=0.99999),
        ),
        claims=("loss_scale_invariant", "degree_1"),
        deviations=(
            "the first task is the primary one: not permutation equivariant; no eps next to the moving average, so that it works at every "
            "scale; g_1 where the constraints cannot be met; x is brought to the length of g_1 also where it points against it"
        ),
    )
)
class PCD(GramianMethod):
    """The primary task's gradient, turned as little as needed for every other task to gain its share."""

    tau: float
    beta: float
    squares: Tensor
    steps: Tensor
    zero_rows = "seen"

    def setup(self) -> None:
        self.register_buffer("squares", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        self.steps += 1
        self.squares.lerp_(gramian.diagonal(), 1 - self.beta)
        weights = torch.zeros_like(losses)
        if gramian[0, 0] == 0:
            return weights
        alive = gramian.diagonal() > 0
        inverse = (1 - self.beta**self.steps).sqrt() / self.squares[alive].sqrt()
        problem = (gramian[alive][:, alive] * torch.outer(inverse, inverse)).numpy()
        shares = self.shares(problem)
        length = math.sqrt(max(float(shares @ problem @ shares), 0.0))
        weights[alive] = torch.from_numpy(shares) * inverse * (float(gramian[0, 0].sqrt()) / length)
        return weights

    def shares(self, problem: Array) -> Array:
        """(1, μ) with x = ĝ_1 + Σ μ_t ĝ_t; (1, 0) where the constraints contradict each other."""
        first: Array = np.eye(len(problem))[0]
        if len(problem) == 1:
            return first
        secondary = problem[1:, 1:]
        lengths = np.sqrt(secondary.diagonal())
        cosines = secondary / lengths / lengths[:, None]
        found = nonnegative(cosines, problem[1:, 0] / lengths - self.tau * lengths)
        shares: Array = np.concatenate([[1.0], found.solution / lengths])
        if found.residual > CERTIFIED or vanishes(problem, shares, self.rounding):
            if not vanishes(cosines, min_norm(cosines).weights, self.rounding):
                self.count("pcd_gap")
            return first
        return shares
