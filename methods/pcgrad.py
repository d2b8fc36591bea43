from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from methods.card import Card
from methods.families import GramianMethod
from methods.registry import register


@register(
    Card(
        name="pcgrad",
        version=1,
        title="PCGrad",
        paper="Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020",
        year=2020,
        arxiv="2001.06782",
        family="gramian",
        equation="Σ_i h_i, h_i = g_i; for j ≠ i in random order: h_i -= min(<h_i, g_j>, 0) / ‖g_j‖² g_j",
        claims=("degree_1",),
        randomised=True,
        deviations="projects shared parameters only, never onto i itself; a fresh order for every task and step",
    )
)
class PCGrad(GramianMethod):
    """Takes out of every task gradient what conflicts with the others, one after the other, and adds up what is left."""

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        keys = torch.rand(len(losses), len(losses), generator=self.generator)
        keys.fill_diagonal_(2.0)  # i itself comes last, and is cut off
        return surgery(gramian, keys.argsort(dim=1)[:, :-1])


def surgery(gramian: Tensor, order: Tensor) -> Tensor:
    """Weights ``[T]`` when task i meets the tasks ``order[i]`` (``[T, T-1]``) in turn.

    h_i stays in the span of the gradients, h_i = Jᵀ c_i, so <h_i, g_j> = (c_i G)_j and a projection changes component j of c_i alone. All
    tasks take their k-th step together, since h_i never looks at another h.
    """
    g, tasks = gramian.numpy(), np.arange(len(gramian))
    squared = g.diagonal()
    coefficients = np.eye(len(g))
    for met in order.T.numpy():
        overlap = np.einsum("ij,ij->i", coefficients, g[met])
        coefficients[tasks, met] -= np.minimum(overlap, 0.0) / squared[met]
    return torch.from_numpy(coefficients.sum(axis=0))
