from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import CERTIFIED, conflict_averse


@register(
    Card(
        name="cagrad",
        version=1,
        title="CAGrad",
        paper="Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021",
        year=2021,
        arxiv="2110.14048",
        family="gramian",
        equation="argmax_d min_t <g_t, d>, ‖d - g_0‖ ≤ c ‖g_0‖, g_0 = (1/T) Σ g_t",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter(
                "c", 0.4, "radius around the mean gradient; from 1 on, no task gets worse", low=0.0, high=100.0, sweep=(0.1, 1.0)
            ),
            Hyperparameter("rescale", "none", "of d: none, by 1 + c² or by 1 + c", choices=("none", "squared", "linear")),
        ),
        claims=("permutation_equivariant", "degree_1"),
        deviations=(
            "the dual is solved exactly, at every scale; no rescaling (public codes divide by 1 + c² and multiply by T); a task without a "
            "gradient counts in the mean only; where a combination of gradients is zero, d = g_0 for c < 1 and 0 for c >= 1"
        ),
    )
)
class CAGrad(GramianMethod):
    """Near the mean gradient, the direction in which the task that gains least gains most."""

    c: float
    rescale: str

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        mean = np.full(len(losses), 1 / self.num_tasks)  # also where some gradients are zero: g_0 is the mean over all
        found = conflict_averse(gramian.numpy(), mean, self.c, self.rounding)
        if found.gap > CERTIFIED:
            self.count("cagrad_gap")
        return torch.from_numpy(found.weights / {"none": 1.0, "squared": 1 + self.c**2, "linear": 1 + self.c}[self.rescale])
