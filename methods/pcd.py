from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import CERTIFIED, Array, Cosines, balance, nonnegative


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
        g, squares, weights = gramian.numpy(), self.squares.numpy(), np.zeros(len(losses))
        (alive,) = g.diagonal().nonzero()
        if g[0, 0] > 0:
            inverse = np.sqrt((1 - self.beta ** float(self.steps)) / squares[alive])
            problem = g[alive[:, None], alive] * inverse * inverse[:, None]
            shares = self.shares(problem)
            length = math.sqrt(max(float(shares @ problem @ shares), 0.0))
            weights[alive] = shares * inverse * (math.sqrt(g[0, 0]) / length)
        return torch.from_numpy(weights)

    def shares(self, problem: Array) -> Array:
        """(1, μ) with x = ĝ_1 + Σ μ_t ĝ_t; (1, 0) where the constraints contradict each other."""
        first: Array = np.eye(len(problem))[0]
        if len(problem) == 1:
            return first
        others = Cosines.of(problem[1:, 1:], self.rounding)
        if self.tau and balance(others) is not None:
            return first
        pulls = problem[1:, :1].T / others.norms
        wanted = self.tau * others.norms
        found = nonnegative(others, pulls - wanted, others.noise * (np.abs(pulls) + wanted))
        shares: Array = np.concatenate([[1.0], found.solutions[0] / others.norms])
        if found.residual > CERTIFIED:
            self.count("pcd_gap")
            return first
        return first if not shares @ problem @ shares > others.noise * (shares @ np.abs(problem) @ shares) else shares
