from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import JacobianMethod
from methods.registry import register
from methods.solvers import project_simplex


@register(
    Card(
        name="moco",
        version=1,
        title="MoCo",
        paper="Fernando et al., Mitigating Gradient Bias in Multi-objective Learning: A Provably Convergent Approach, ICLR 2023",
        year=2023,
        family="jacobian",
        equation="d = yᵀλ, y ← y - β (y - J), λ ← Π(λ - γ (y yᵀ + ρ I) λ), Π on the simplex",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("beta", 0.1, "rate at which y follows the gradients", low=0.0, high=1.0, sweep=(0.05, 1.0)),
            Hyperparameter("gamma", 0.1, "step of λ", low=0.0, sweep=(0.001, 1.0), log=True),
            Hyperparameter("rho", 0.0, "regularisation of λ", low=0.0),
            Hyperparameter("decay", 0.5, "β and γ shrink like step^-decay", low=0.0, high=1.0),
        ),
        claims=("permutation_equivariant",),
        deviations="λ is projected on the simplex as the paper writes (a public port takes a softmax, which drifts to equal weights)",
    )
)
class MoCo(JacobianMethod):
    """MGDA's weights followed slowly, from gradients that are averaged over steps: unbiased where MGDA on a batch is not."""

    beta: float
    gamma: float
    rho: float
    decay: float
    remembers = ("tracked",)
    steps: Tensor
    shares: Tensor

    def setup(self) -> None:
        super().setup()
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))
        self.register_buffer("shares", torch.full((self.num_tasks,), 1 / self.num_tasks, dtype=torch.float64))

    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        self.steps += 1
        shrink = float(self.steps) ** -self.decay
        tracked = self.remembered("tracked", jacobian)
        tracked.lerp_(jacobian, self.beta * shrink)
        gramian = (tracked @ tracked.T).double().cpu()
        shares = self.shares.cpu()
        shares = project_simplex(shares - self.gamma * shrink * (gramian @ shares + self.rho * shares))
        self.shares.copy_(shares)
        return shares.to(jacobian) @ tracked
