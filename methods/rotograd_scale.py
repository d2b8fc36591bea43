from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card
from methods.families import GramianMethod
from methods.registry import register


@register(
    Card(
        name="rotograd_scale",
        version=1,
        title="RotoGrad, scale part",
        paper="Javaloy & Valera, RotoGrad: Gradient Homogenization in Multitask Learning, ICLR 2022",
        year=2022,
        arxiv="2103.02631",
        family="gramian",
        equation="w_t = (Σ a_i n_i) / n_t, a_i ∝ n_i / n_i(0), Σ a = 1",
        claims=("permutation_equivariant", "loss_scale_invariant", "degree_1"),
        coincides=("grad_normalize",),
        deviations=(
            "without the rotations, which are layers of the model; at the shared parameters, where the paper has the representation; the "
            "direction is that of grad_normalize: a decides the length alone"
        ),
    )
)
class RotoGradScale(GramianMethod):
    """Task gradients of one norm: the mean norm, with more say for tasks whose gradient has shrunk least since the start."""

    start: Tensor
    zero_rows = "seen"

    def setup(self) -> None:
        self.register_buffer("start", torch.zeros(self.num_tasks, dtype=torch.float64))

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        norms = gramian.diagonal().sqrt()
        alive = norms > 0
        self.start.copy_(torch.where(self.start > 0, self.start, norms))  # n(0): a task's first gradient that is not zero
        convergence = torch.where(alive, norms / self.start, 0.0)
        return torch.where(alive, (convergence / convergence.sum()) @ norms / norms, 0.0)
