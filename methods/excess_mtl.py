from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import JacobianMethod
from methods.registry import register

EPS = 1e-7


@register(
    Card(
        name="excess_mtl",
        version=1,
        title="ExcessMTL",
        paper="He et al., Robust Multi-Task Learning with Excess Risks, ICML 2024",
        year=2024,
        arxiv="2402.02009",
        family="jacobian",
        equation="Σ w_t g_t, w_t ← w_t exp(η e_t / e_t(0)) / Z, e_t = Σ_k g_tk² / √(Σ_steps g_tk²), Σ w = T",
        hyperparameters=(Hyperparameter("eta", 0.01, "step of the weights", low=0.0, sweep=(0.001, 1.0), log=True),),
        claims=("permutation_equivariant",),
        deviations="as the authors' code: the first step only sets e(0), and the weights sum to T",
    )
)
class ExcessMTL(JacobianMethod):
    """Exponentiated weights that grow with a task's excess risk, estimated by its gradient in the AdaGrad metric."""

    eta: float
    remembers = ("squares",)
    log_weights: Tensor
    start: Tensor

    def setup(self) -> None:
        super().setup()
        self.register_buffer("log_weights", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.register_buffer("start", torch.zeros(self.num_tasks, dtype=torch.float64))

    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        squares = self.remembered("squares", jacobian)
        excess = torch.empty(len(jacobian), dtype=torch.float64, device=jacobian.device)
        for row, total, slot in zip(jacobian, squares, excess, strict=True):  # row by row: no temporary of the size of J
            total.addcmul_(row, row)
            slot.copy_((row * row / (total + EPS).sqrt()).sum())
        known = self.start.to(excess) > 0
        ratios = torch.where(known, excess / self.start.to(excess).clamp_min(torch.finfo(excess.dtype).tiny), 0.0)
        self.log_weights = self.log_weights.to(excess) + self.eta * ratios
        self.start = torch.where(known, self.start.to(excess), excess)
        return (len(jacobian) * self.log_weights.softmax(0)).to(jacobian) @ jacobian
