"""Pareto MTL (Lin et al., NeurIPS 2019) as its authors run it on their toy: two losses, preferences on a quarter circle."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import methods
from methods.solvers import Array, min_norm

NAME = "pareto_mtl"


@methods.register(
    methods.Card(
        name="pareto_mtl",
        version=1,
        title="Pareto MTL",
        paper="Lin et al., Pareto Multi-Task Learning, NeurIPS 2019 (run_synthetic_example.py)",
        year=2019,
        arxiv="1912.12854",
        family="gramian",
        equation="min-norm point of g_t and of Σ_t (u_j - u_k)_t g_t for those j with <u_j - u_k, L> > 0; first of the latter alone",
        hyperparameters=(
            methods.Hyperparameter("vectors", 10, "preference vectors u on the quarter circle, both axes included", low=2),
            methods.Hyperparameter("index", 0, "k, the preference that is followed", low=0),
            methods.Hyperparameter("first", 20, "steps of the first phase, which only turns towards u_k", low=0),
        ),
        deviations="two tasks only; exact min-norm points; L in place of L / ‖L‖, whose sign decides alike",
    )
)
class ParetoMTL(methods.GramianMethod):
    """Stays in the sector of losses that is nearest to its own preference, and descends there."""

    vectors: int
    index: int
    first: int

    def setup(self) -> None:
        if self.num_tasks != 2:
            raise methods.MethodError(f"{NAME} has {self.num_tasks} tasks; expected 2, as its preferences lie on a quarter circle")
        if self.index >= self.vectors:
            raise methods.MethodError(f"{NAME}.index is {self.index}; expected less than vectors, {self.vectors}")
        angles = np.linspace(0, np.pi / 2, self.vectors)
        preferences = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self.differences: Array = preferences - preferences[self.index]
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        left = self.differences[self.differences @ losses.numpy() > 0]  # the constraints that the losses violate, [K, 2]
        turning = int(self.done) < self.first
        self.done += 1
        rows = left if turning else np.concatenate([np.eye(2), left])
        if not len(rows):
            return torch.zeros(2, dtype=torch.float64)
        found = min_norm(rows @ gramian.numpy() @ rows.T, self.rounding)
        return torch.from_numpy(found.weights @ rows)
