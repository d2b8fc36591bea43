from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import JacobianMethod
from methods.registry import register

SMALLEST = 1e-8


@register(
    Card(
        name="db_mtl",
        version=1,
        title="DB-MTL",
        paper="Lin et al., Dual-Balancing for Multi-Task Learning, 2023",
        year=2023,
        arxiv="2308.12029",
        family="jacobian",
        equation="Σ (max_i ‖m_i‖) m_t / ‖m_t‖, m_t ← β_k m_t + (1 - β_k) g_t / L_t, β_k = β / k^σ",
        hyperparameters=(
            Hyperparameter(
                "beta", 0.9, "β of the moving average of the gradients of log L; 0 keeps no state", low=0.0, high=0.9999, sweep=(0.1, 0.99)
            ),
            Hyperparameter("sigma", 0.0, "σ: how fast β falls with the step k", low=0.0, high=10.0),
        ),
        claims=("permutation_equivariant", "loss_scale_invariant"),
        positive_losses=True,
        deviations=(
            "heads with their own plain gradient, where the paper's follow log L_t; m starts at 0 without a correction, so that the first "
            "step is 1 - β of a full one; losses below 1e-8 are clamped and counted"
        ),
    )
)
class DBMTL(JacobianMethod):
    """Losses on a log scale, and their smoothed gradients at one norm: the largest among them."""

    beta: float
    sigma: float
    remembers = ("average",)
    steps: Tensor

    def setup(self) -> None:
        super().setup()
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))

    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        self.count("clamped_loss", (losses < SMALLEST).sum())
        inverse = (1 / losses.clamp(min=SMALLEST)).to(jacobian)
        if not self.beta:
            return _balanced(jacobian, inverse)
        self.steps += 1
        keep = self.beta / float(self.steps) ** self.sigma
        average = self.remembered("average", jacobian)
        average.mul_(keep).addcmul_(jacobian, inverse[:, None], value=1 - keep)
        return _balanced(average, torch.ones_like(inverse))


def _balanced(rows: Tensor, factors: Tensor) -> Tensor:
    """Σ max_i ‖r_i‖ r_t / ‖r_t‖ for the rows times their factors; a zero row stays out."""
    norms = rows.norm(dim=1)
    longest = (norms * factors).max()
    return torch.where(norms > 0, longest / norms, 0.0) @ rows
