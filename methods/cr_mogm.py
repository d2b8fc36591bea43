from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from methods import registry
from methods.card import Card, Hyperparameter
from methods.errors import MethodError
from methods.families import GramianMethod
from methods.registry import register


@register(
    Card(
        name="cr_mogm",
        version=1,
        title="CR-MOGM",
        paper="Zhou et al., On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond, NeurIPS 2022",
        year=2022,
        family="gramian",
        equation="λ ← a λ + (1 - a) λ̂, λ̂ the weights of the base method",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("base", "mgda", "any Gramian method, with its defaults"),
            Hyperparameter("a", 0.9, "how much of the old weights is kept", low=0.0, high=0.9999, sweep=(0.1, 0.99)),
        ),
        claims=("permutation_equivariant", "simplex", "degree_1"),
        deviations="a is constant, as in torchjd, where the paper lets it follow the learning rate; scale and claims are those of the base",
    )
)
class CRMOGM(GramianMethod):
    """A moving average of another method's weights: less noise in the direction that they give."""

    base: str
    a: float
    smoothed: Tensor
    started: Tensor
    zero_rows = "seen"

    def setup(self) -> None:
        kind = registry.get(self.base)
        if not issubclass(kind, GramianMethod) or kind is CRMOGM:
            raise MethodError(f"cr_mogm: base is {self.base!r}, which gives no weights to average: choose another Gramian method")
        facts = self.facts
        self.method = kind(
            self.num_tasks, scale=self.scale, kinds=facts.kinds, initial_losses=facts.initial_losses, prior_losses=facts.prior_losses
        )
        self.method.generator = self.generator
        self.register_buffer("smoothed", torch.zeros(self.num_tasks, dtype=torch.float64))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @property
    def where(self) -> str:
        return self.method.where

    @property
    def calibration_batches(self) -> int:
        return self.method.calibration_batches

    def calibrate(self, losses: Tensor, sizes: Sequence[int] | None = None) -> None:
        self.method.calibrate(losses, sizes)

    @property
    def events(self) -> dict[str, int]:
        return {**super().events, **self.method.events}

    def _factor(self) -> float:
        return self.method._factor()

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        alive = gramian.diagonal() > 0
        self.method.rounding = self.rounding
        newest = self.method._weights_of_alive(gramian, losses, alive.tolist())
        self.smoothed.copy_(self.smoothed.lerp(newest, 1 - self.a) if self.started else newest)
        self.started.fill_(True)
        return torch.where(alive, self.smoothed, torch.zeros_like(newest)) if self.method.zero_rows == "absent" else self.smoothed.clone()
