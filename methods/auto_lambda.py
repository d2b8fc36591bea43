from __future__ import annotations

import torch
from torch import Tensor

from methods.adam import Adam
from methods.card import Card, Hyperparameter
from methods.errors import MethodError
from methods.families.several import BilevelMethod, Lookahead
from methods.registry import register

REACH = 0.01
"""Length of the finite difference in parameter space."""


@register(
    Card(
        name="auto_lambda",
        version=1,
        title="Auto-λ",
        paper="Liu, James, Davison, Johns, Auto-Lambda: Disentangling Dynamic Task Relationships, TMLR 2022",
        year=2022,
        arxiv="2202.03091",
        family="several",
        equation=(
            "Σ λ_t L_t, λ learned by ∂/∂λ Σ_primary L'_t(θ'), θ' = θ - η Σ λ_t ∇L_t, L' on another batch; "
            "∂/∂λ_t = -η (L_t(θ + εv) - L_t(θ - εv)) / 2ε, v = ∇ Σ_primary L'_t(θ')"
        ),
        hyperparameters=(
            Hyperparameter("lr", 1e-4, "of Adam on λ", low=0.0, sweep=(1e-5, 1e-1), log=True),
            Hyperparameter("start", 0.1, "λ before the first step"),
            Hyperparameter("virtual_lr", 0.1, "η, of the virtual step", low=0.0, sweep=(1e-5, 1.0), log=True),
            Hyperparameter("primary", 0, "how many tasks, the first ones, are primary; 0 for all", low=0),
        ),
        claims=("permutation_equivariant",),
        deviations=(
            "the validation batch is an independent batch of the training split, as in the authors' code; η is a setting and the virtual "
            "step plain, where the code takes rate, momentum and weight decay from the model's optimizer; three backward passes and three "
            "more forward ones; λ may turn negative, as in the code; a virtual step into what is not finite teaches nothing and is counted"
        ),
    )
)
class AutoLambda(BilevelMethod):
    """A task gains weight while a step along its gradient lowers the primary tasks' losses on other data."""

    lr: float
    start: float
    virtual_lr: float
    primary: int
    shares: Tensor

    def setup(self) -> None:
        if self.primary > self.num_tasks:
            raise MethodError(f"auto_lambda.primary is {self.primary}; expected a number of tasks, at most {self.num_tasks}, or 0 for all")
        self.register_buffer("shares", torch.full((self.num_tasks,), self.start, dtype=torch.float64))
        self.adam = Adam((self.num_tasks,), self.lr, torch.float64)

    def weights(self, ahead: Lookahead) -> Tensor:
        primary = (torch.arange(self.num_tasks) < (self.primary or self.num_tasks)).double()
        with ahead.restored():
            ahead.move(ahead.gradient(ahead.batch(0), self.shares), -self.virtual_lr)
            v = ahead.gradient(ahead.evaluate(1), primary)
        norm = ahead.norm(v)
        if norm != 0:
            epsilon = REACH / norm
            slopes = (self.moved(ahead, v, epsilon) - self.moved(ahead, v, -epsilon)) / (2 * epsilon)  # <∇L_t, v>
            self.learn(self.adam, self.shares, -self.virtual_lr * slopes)
        return self.shares.clone()

    def moved(self, ahead: Lookahead, direction: list[Tensor], by: float) -> Tensor:
        """Losses ``[T]`` of this step's batch at θ + by · direction."""
        with ahead.restored():
            ahead.move(direction, by)
            return ahead.values(ahead.evaluate(0, trained=False))
