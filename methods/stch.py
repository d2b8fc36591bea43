from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.families import LossMethod
from methods.positive import positive
from methods.possible import possible
from methods.registry import register
from methods.window import Window


@register(
    Card(
        name="stch",
        version=1,
        title="Smooth Tchebycheff scalarisation",
        paper="Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024",
        year=2024,
        arxiv="2402.19078",
        family="loss",
        equation="T μ log Σ exp(log(L_t / n_t) / μ), n = mean L after a warm-up of Σ log L; or raw: μ log Σ exp(r_t (L_t - z) / μ)",
        hyperparameters=(
            Hyperparameter("mu", 1.0, "smoothing: the maximum as μ goes to 0", low=1e-4, sweep=(0.01, 1.0), log=True),
            Hyperparameter("form", "mtl", "on the logarithms, after a warm-up, or on the losses as they are", choices=("mtl", "raw")),
            Hyperparameter("warmup", 4, "epochs of Σ log L before the one that n is taken from (mtl)", low=0),
            Hyperparameter("window", 25, "steps that stand for an epoch (mtl)", low=1, sweep=(5, 100), log=True),
            Hyperparameter("ideal", 0.0, "z, one number for all tasks (raw)"),
        ),
        claims=("permutation_equivariant", "loss_scale_invariant"),
        positive_losses=True,
        deviations=(
            "an epoch is a window of `window` steps; a loss below 1e-8 counts as max(|L|, 1e-8) in the mtl form; with the published μ = 1 "
            "the mtl form is Σ L / n up to a factor; the raw form, with r the preference (1/T), depends on the scale of the losses"
        ),
    )
)
class STCH(LossMethod):
    """A smooth maximum of the losses relative to where they stood after the warm-up."""

    mu: float
    form: str
    warmup: int
    window: int
    ideal: float
    r: Tensor

    def setup(self) -> None:
        if self.form == "mtl":
            self.nadir = Window(self.num_tasks, self.warmup * self.window, self.window)
        else:
            self.register_buffer("r", torch.tensor(self.facts.preference, dtype=torch.float64))

    def objective(self, losses: Tensor) -> Tensor:
        if self.form == "raw":
            return self.mu * (self.r.to(losses) * (losses - self.ideal) / self.mu).logsumexp(0)
        logarithms = positive(self, losses).log()
        ready = self.nadir.see(losses.detach())
        nadir = positive(self, torch.where(ready, self.nadir.mean.to(losses), 1.0))
        smooth = ((logarithms - nadir.log()) / self.mu).logsumexp(0)
        return torch.where(ready, self.num_tasks * self.mu * smooth, logarithms.sum())

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        if self.form == "raw":
            r = self.r.to(losses)
            return r * (r * (losses - self.ideal) / self.mu).softmax(0), ()
        size = positive(self, losses)
        weights = size.reciprocal()
        ready = self.nadir.see(losses)
        if possible(ready):
            relative = size / positive(self, torch.where(ready, self.nadir.mean.to(losses), 1.0))
            weights = torch.where(ready, self.num_tasks * (relative.log() / self.mu).softmax(0), 1.0) * weights
        return weights, ()
