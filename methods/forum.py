from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.families.several import BilevelMethod, Lookahead
from methods.registry import register
from methods.solvers import CERTIFIED, constrained_min_norm


@register(
    Card(
        name="forum",
        version=2,
        title="FORUM",
        paper="Ye et al., A First-Order Multi-Gradient Algorithm for Multi-Objective Bi-Level Optimization, ECAI 2024",
        year=2024,
        arxiv="2401.09257",
        family="several",
        equation=(
            "Σ λ_t L'_t/‖∇L'_t‖ + ν q, q = f(a, θ) - min_θ f(a, θ), f = Σ softmax(a)_t L_t, L' on another batch; "
            "(λ, ν) = argmin ‖Σ λ_t ∇L'_t/‖∇L'_t‖ + ν ∇q‖²/2 - ν φ ‖∇q‖², λ on the simplex, averaged over steps; a descends ν q"
        ),
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("phi", 0.1, "φ: q is descended at least at this rate", low=0.0, sweep=(0.01, 1.0), log=True),
            Hyperparameter("inner_step", 5, "steps towards min_θ f", low=1),
            Hyperparameter("inner_lr", 0.1, "their rate", low=0.0, sweep=(1e-4, 1.0), log=True),
            Hyperparameter("lr", 1e-3, "of Adam on a", low=0.0, sweep=(1e-4, 1e-1), log=True),
            Hyperparameter("window", 25, "steps that stand for an epoch: λ follows at the rate (epoch + 1)^(-3/4)", low=1),
        ),
        claims=("permutation_equivariant",),
        deviations=(
            "the validation batch is an independent batch of the training split; an epoch is a window of `window` steps; (λ, ν) solve one "
            "problem exactly, where the authors' code halves φ in the problem for λ but not in ν; an inner step that raises f is not "
            "counted in, ends the inner loop and is an event, where the code goes on up to losses of 1e5; both levels move the model at "
            "once, in T + inner_step + 2 backward passes"
        ),
    )
)
class FORUM(BilevelMethod):
    """Steepest common descent of the losses on one batch, under the constraint that a weighted sum of those on the other is minimised.

    The lower level enters by its value function: no second derivatives. With r_t = <∇L'_t, ∇q>/‖∇L'_t‖, ν = max(φ - Σ λ_t r_t/‖∇q‖², 0).
    """

    phi: float
    inner_step: int
    inner_lr: float
    lr: float
    window: int
    logits: Tensor
    shares: Tensor
    steps: Tensor

    def setup(self) -> None:
        self.register_buffer("logits", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.register_buffer("shares", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.adam = Adam((self.num_tasks,), self.lr, torch.float64)

    def weights(self, ahead: Lookahead) -> Tensor:
        inner = self.logits.softmax(0)
        lower = ahead.gradient(ahead.batch(0), inner)  # ∂q/∂θ
        losses = ahead.values(ahead.batch(0))
        fall = losses - self.descend(ahead, lower, inner)
        slopes = inner * (fall - inner @ fall)  # ∂q/∂a
        rows = ahead.rows(ahead.batch(1), "upper", [lower])
        taken = rows.gramian()
        gramian = taken.double().cpu()
        if not bool(gramian.isfinite().all() & ahead.values(ahead.batch(1)).isfinite().all()):
            return torch.full((2, self.num_tasks), math.nan, dtype=torch.float64)
        lengths, eps = gramian.diagonal().sqrt(), torch.finfo(taken.dtype).eps
        lowered = inner @ fall > eps * (inner @ losses.abs())
        if not lowered and lengths[-1] <= self.num_tasks * eps * (inner @ lengths[:-1]):
            # q is as low as it can be: what is left of its gradient is rounding, and points anywhere.
            gramian[-1], gramian[:, -1], slopes = 0.0, 0.0, torch.zeros_like(slopes)
        gramian[-1, -1] += slopes @ slopes
        norms = gramian.diagonal().sqrt()
        alive = norms[:-1] > 0
        self.shares.lerp_(self.newest(gramian, norms, alive), float(1 + self.steps // self.window) ** -0.75)
        self.steps += 1
        outer = torch.where(alive, self.shares / norms[:-1], 0.0)
        multiplier = max(self.phi - float(outer @ gramian[:-1, -1] / norms[-1] ** 2), 0.0) if norms[-1] > 0 else 0.0
        self.learn(self.adam, self.logits, multiplier * slopes)
        return torch.stack([multiplier * inner, outer])

    def newest(self, gramian: Tensor, norms: Tensor, alive: Tensor) -> Tensor:
        """λ ``[T]`` of this step alone; 0 for a task without a gradient."""
        kept = torch.cat([alive, torch.tensor([True])])
        lengths = torch.where(norms > 0, norms, 1.0)[kept]
        weights = torch.zeros_like(self.shares)
        if bool(alive.any()):
            found = constrained_min_norm((gramian[kept][:, kept] / torch.outer(lengths, lengths)).numpy(), self.phi * float(norms[-1]))
            if found.gap > CERTIFIED:
                self.count("forum_gap")
            weights[alive] = torch.from_numpy(found.weights)
        return weights

    def descend(self, ahead: Lookahead, gradient: list[Tensor], inner: Tensor) -> Tensor:
        """Losses ``[T]`` of this step's batch after the inner steps, of which the first has this gradient: f there stands for min f."""
        lowest = ahead.values(ahead.batch(0))
        with ahead.restored():
            for left in reversed(range(self.inner_step)):
                ahead.move(gradient, -self.inner_lr)
                losses = ahead.evaluate(0, trained=left > 0)
                reached = ahead.values(losses)
                fall = float(inner @ (lowest - reached))
                if not fall > 0:
                    if fall != 0:  # nan, where a step led to what is not finite, included
                        self.count("inner_rise")
                    break
                lowest = reached
                if left:
                    gradient = ahead.gradient(losses, inner)
        return lowest
