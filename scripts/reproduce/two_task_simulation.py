"""Methods with details that would explain ends of the two-objective toy which the registry's methods do not have: see two-objective.toml.

The guards act where gradients are opposed or vanish. The other two keep the direction and change its length, at every step by another
factor, which Adam's averages see.
"""

from __future__ import annotations

import torch
from torch import Tensor

import methods

GUARD = 1e-12
"""Added to every norm, against division by zero."""
OPPOSED = 1e-9
"""Nash-MTL's cosine is at least this much above -1."""


class OfTwo(methods.GramianMethod):
    """A closed form for two tasks."""

    def setup(self) -> None:
        if self.num_tasks != 2:
            raise methods.MethodError(f"{self.card.name}: num_tasks is {self.num_tasks}; expected 2, which its closed form is for")


def norms_and_cosine(gramian: Tensor) -> tuple[Tensor, Tensor]:
    """Guarded norms ``[T]`` of the gradients that are not zero, and their cosine ``[]``: 0 if there is one."""
    norms = gramian.diagonal().sqrt() + GUARD
    return norms, gramian[0, 1] / norms.prod() if len(norms) == 2 else torch.zeros((), dtype=gramian.dtype)


@methods.register(
    methods.Card(
        name="pcgrad_guarded",
        version=1,
        title="PCGrad, guarded norms",
        paper="Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020",
        year=2020,
        arxiv="2001.06782",
        family="gramian",
        equation="w_i = 1 - min(cos, 0) n_j / n_i, n_t = ‖g_t‖ + 1e-12",
        coincides=("pcgrad",),
        deviations="two tasks; pcgrad but for the guard",
    )
)
class GuardedPCGrad(OfTwo):
    """Both projections at once: with two tasks there is no order."""

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        norms, cosine = norms_and_cosine(gramian)
        return 1 - cosine.clamp(max=0.0) * norms.flip(0) / norms


@methods.register(
    methods.Card(
        name="nash_mtl_guarded",
        version=1,
        title="Nash-MTL, guarded norms and cosine",
        paper="Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022",
        year=2022,
        arxiv="2202.01017",
        family="gramian",
        equation="w_t = 1 / (n_t √(1 + cos)), n_t = ‖g_t‖ + 1e-12, cos ≥ -1 + 1e-9",
        coincides=("nash_mtl",),
        deviations="two tasks; nash_mtl but for the guards",
    )
)
class GuardedNashMTL(OfTwo):
    """The bargaining solution."""

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        norms, cosine = norms_and_cosine(gramian)
        return 1 / (norms * (1 + cosine.clamp(min=OPPOSED - 1)).sqrt())


@methods.register(
    methods.Card(
        name="fairgrad_unit",
        version=1,
        title="FairGrad, unit length",
        paper="Ban & Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024",
        year=2024,
        arxiv="2402.15638",
        family="gramian",
        equation="d / ‖d‖, d = Σ w_t g_t, (G w)_t = w_t^(-1/α)",
        hyperparameters=(methods.Hyperparameter("alpha", 2.0, "as of fairgrad", low=0.1, high=10.0),),
        coincides=("fairgrad",),
        deviations="fairgrad but for the length, which there grows where gradients shrink",
    )
)
class UnitFairGrad(methods.get("fairgrad")):  # type: ignore[misc]
    """FairGrad's direction without its length."""

    alpha: float
    max_norm = 0.0

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        weights = super().weights(gramian, losses)
        if not weights.all():  # there is no root: d = 0
            return weights
        return weights / (weights ** (1 - 1 / self.alpha)).sum().sqrt()  # ‖d‖² = wᵀGw, by the equation of w


@methods.register(
    methods.Card(
        name="cagrad_unit",
        version=1,
        title="CAGrad, weights that sum to one",
        paper="Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021",
        year=2021,
        arxiv="2110.14048",
        family="gramian",
        equation="w / Σ w_t, w as in cagrad",
        hyperparameters=(methods.Hyperparameter("c", 0.4, "as of cagrad", low=0.0, high=100.0),),
        coincides=("cagrad",),
        deviations="cagrad but for the length, which shrinks with the pull towards the task that gains least",
    )
)
class UnitCAGrad(methods.get("cagrad")):  # type: ignore[misc]
    """CAGrad's direction, shorter the more of it is that pull."""

    rescale = "none"

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        weights = super().weights(gramian, losses)
        return weights / weights.sum() if weights.any() else weights  # none where the mean gradient is zero
