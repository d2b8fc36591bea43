from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import GramianMethod
from methods.registry import register
from methods.solvers import Array, eigensystem
from methods.solvers.matrix import scaled

SIGMA: dict[str, Callable[[Array], Any]] = {
    "min": lambda values: values[0],
    "median": lambda values: values[(len(values) - 1) // 2],
    "rmse": np.mean,
}


@register(
    Card(
        name="aligned_mtl",
        version=1,
        title="Aligned-MTL",
        paper="Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023",
        year=2023,
        arxiv="2305.19000",
        family="gramian",
        equation="√s V Λ^(-1/2) Vᵀ (1/T) 1, G = V Λ Vᵀ, s = min Λ (or the lower median, or the mean)",
        native_scale="mean",
        hyperparameters=(Hyperparameter("sigma", "min", "s", choices=("min", "median", "rmse"), sweep=("min", "median", "rmse")),),
        claims=("permutation_equivariant", "degree_1"),
        deviations=(
            "the preference is 1/T (scale='sum' for the paper's 1); eigenvalues below the rounding of the gradients' dtype are dropped: "
            "where one comes near that bound, the direction jumps"
        ),
    )
)
class AlignedMTL(GramianMethod):
    """The task gradients are made orthogonal and equally long, with the least change of their matrix; then their mean."""

    sigma: str

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        values, vectors = eigensystem(scaled(gramian.numpy()), self.rounding)
        preference = np.full(len(losses), 1 / len(losses))
        return torch.from_numpy(vectors @ ((preference @ vectors) * np.sqrt(SIGMA[self.sigma](values) / values)))
