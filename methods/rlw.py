from __future__ import annotations

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import LossWeighting
from methods.registry import register


@register(
    Card(
        name="rlw",
        version=1,
        title="Random loss weighting",
        paper="Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022",
        year=2022,
        arxiv="2111.10603",
        family="loss",
        equation="Σ w_t L_t, w = softmax(z), z ~ N(0, I); or w ~ Dirichlet(1)",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("distribution", "normal", "of the weights", choices=("normal", "dirichlet"), sweep=("normal", "dirichlet")),
        ),
        claims=("simplex", "degree_1"),
        randomised=True,
        deviations="draws also in a step whose losses are not finite: to know that would mean waiting for the device",
        baseline=True,
    )
)
class RLW(LossWeighting):
    """Fresh random weights every step, with mean 1/T: a baseline that any clever weighting should beat."""

    distribution: str

    def weights(self, losses: Tensor) -> Tensor:
        return self.draw().to(losses, non_blocking=True)

    def draw(self) -> Tensor:
        """Weights ``[T]`` on the simplex, from the method's own generator."""
        if self.distribution == "normal":
            return torch.randn(self.num_tasks, generator=self.generator).softmax(0)
        spacings = torch.empty(self.num_tasks).exponential_(generator=self.generator)
        return spacings / spacings.sum()  # exponential spacings over their sum are Dirichlet(1)
