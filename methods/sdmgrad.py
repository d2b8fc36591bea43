from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families.several import CrossGramianMethod
from methods.registry import register
from methods.solvers import CERTIFIED, min_norm, nearest_definite, project_simplex

RATE, MOMENTUM, ITERATIONS = 10.0, 0.5, 20
"""Of the authors' inner loop."""


@register(
    Card(
        name="sdmgrad",
        version=1,
        title="SDMGrad",
        paper="Xiao, Ban, Ji, Direction-oriented Multi-objective Learning: Simple and Provable Stochastic Algorithms, NeurIPS 2023",
        year=2023,
        arxiv="2305.18409",
        family="several",
        equation="J₃ᵀ(w + λu)/(1 + λ), w = argmin over the simplex of (w + λu)ᵀA(w + λu), A = J₁J₂ᵀ, u = 1/T; three batches",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("lam", 0.6, "λ, the pull towards the mean gradient: 0 is MGDA", low=0.0, sweep=(0.1, 10.0), log=True),
            Hyperparameter("inner", "exact", "how w is found: exactly, or by the official loop", choices=("exact", "official")),
        ),
        claims=("permutation_equivariant", "simplex", "degree_1"),
        deviations=(
            "w is the exact solution for the positive definite matrix nearest to A (entries relative to the gradients' lengths), "
            "since the noise in A makes the problem itself non-convex; inner='official' takes 20 projected steps of rate 10 and momentum "
            "0.5 on A / scale² from the w before, which do not settle; three batches in fact, where the authors' code fills all three "
            "Jacobians from one; a task without a gradient is absent"
        ),
    )
)
class SDMGrad(CrossGramianMethod):
    """MGDA on g_t + λ g_0: a common descent direction near the mean gradient g_0, free of the bias of squared noise.

    E[A] is the Gramian of the true gradients, but the antisymmetric part of A is noise alone and its symmetric part may have negative
    eigenvalues, along which a minimiser runs to a vertex. Raising them to next to zero brings A nearer to the true Gramian, whatever that
    is, and leaves one minimiser.
    """

    lam: float
    inner: str
    extra_batches = 2
    shares: Tensor

    def setup(self) -> None:
        self.register_buffer("shares", torch.full((self.num_tasks,), 1 / self.num_tasks, dtype=torch.float64))

    def weights(self, cross: Tensor, norms: Tensor) -> Tensor:
        if self.inner == "official":
            return (self.official(cross) + self.lam / self.num_tasks) / (1 + self.lam)
        alive = norms > 0
        weights = torch.zeros_like(norms)
        if bool(alive.any()):
            gramian = nearest_definite(cross[alive][:, alive].numpy(), norms[alive].numpy())
            pull = torch.full_like(norms[alive], self.lam / int(alive.sum()))  # λu
            lifted = torch.eye(len(pull), dtype=pull.dtype) + pull  # w + λu = Σ w_t (e_t + λu)
            found = min_norm((lifted @ torch.from_numpy(gramian) @ lifted.T).numpy())
            if found.gap > CERTIFIED:
                self.count("sdmgrad_gap")
            weights[alive] = (torch.from_numpy(found.weights) + pull) / (1 + self.lam)
        return weights

    def official(self, cross: Tensor) -> Tensor:
        scale = cross.diagonal().clamp(min=0).sqrt().mean()
        scaled = cross / scale**2 if scale > 0 else torch.zeros_like(cross)
        velocity = torch.zeros_like(self.shares)
        for _ in range(ITERATIONS):
            velocity = MOMENTUM * velocity + scaled @ (self.shares + self.lam / self.num_tasks)
            self.shares.copy_(project_simplex(self.shares - RATE * velocity))
        return self.shares
