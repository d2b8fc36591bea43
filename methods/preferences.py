"""Scalarisations that look for the trade-off that ``preference`` asks for: r > 0 with sum 1, equal unless given; z is an ideal point."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from methods.card import Card, Hyperparameter
from methods.families import LossMethod
from methods.positive import positive
from methods.registry import register


class Preference(LossMethod):
    """A scalarisation of L - z under a preference r, and its slopes in L."""

    ideal: float
    r: Tensor

    def setup(self) -> None:
        self.register_buffer("r", torch.tensor(self.facts.preference, dtype=torch.float64))

    def objective(self, losses: Tensor) -> Tensor:
        return self.scalarise(losses - self.ideal, self.r.to(losses))

    @abstractmethod
    def scalarise(self, gaps: Tensor, r: Tensor) -> Tensor:
        """The scalar from L - z ``[T]`` and r ``[T]``."""

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        return self.slopes(losses - self.ideal if self.ideal else losses, self.r.to(losses)), ()

    @abstractmethod
    def slopes(self, gaps: Tensor, r: Tensor) -> Tensor:
        """Its derivatives ``[T]`` in L."""


@register(
    Card(
        name="tchebycheff",
        version=1,
        title="Tchebycheff scalarisation",
        paper="Bowman, On the Relationship of the Tchebycheff Norm and the Efficient Frontier of Multiple-Criteria Objectives, 1976",
        year=1976,
        family="loss",
        equation="max_t r_t (L_t - z)",
        native_scale="mean",
        hyperparameters=(Hyperparameter("ideal", 0.0, "z, one number for all tasks"),),
        claims=("permutation_equivariant",),
        deviations="tasks that tie for the maximum share the weight",
    )
)
class Tchebycheff(Preference):
    """Trains the worst task alone. Reaches every point of the front, convex or not, as r varies."""

    def scalarise(self, gaps: Tensor, r: Tensor) -> Tensor:
        return (r * gaps).amax()

    def slopes(self, gaps: Tensor, r: Tensor) -> Tensor:
        weighted = r * gaps
        worst = weighted == weighted.amax()
        return r * worst / worst.sum()


@register(
    Card(
        name="pnorm",
        version=1,
        title="Weighted p-norm scalarisation",
        paper="Miettinen, Nonlinear Multiobjective Optimization, Kluwer 1998 (section 3.4)",
        year=1998,
        family="loss",
        equation="(Σ (r_t (L_t - z))^p)^(1/p)",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("p", 2.0, "1 for the weighted sum, large for the maximum", low=1.0, high=100.0, sweep=(1.0, 16.0), log=True),
            Hyperparameter("ideal", 0.0, "z, one number for all tasks"),
        ),
        claims=("permutation_equivariant",),
        positive_losses=True,
        deviations="computed from logarithms, so that no power overflows; L - z below 1e-8 counts as max(|L - z|, 1e-8)",
    )
)
class PNorm(Preference):
    """Between the weighted sum and the Tchebycheff scalarisation."""

    p: float

    def scalarise(self, gaps: Tensor, r: Tensor) -> Tensor:
        return ((r * positive(self, gaps)).log() * self.p).logsumexp(0).div(self.p).exp()

    def slopes(self, gaps: Tensor, r: Tensor) -> Tensor:
        shares = ((r * positive(self, gaps)).log() * self.p).softmax(0)  # of Σ (r (L - z))^p
        return r * shares ** (1 - 1 / self.p)


@register(
    Card(
        name="pbi",
        version=1,
        title="Penalty-based boundary intersection",
        paper="Zhang & Li, MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition, IEEE TEVC 11(6), 2007",
        year=2007,
        family="loss",
        equation="d₁ + θ d₂, d₁ = <L - z, r̂>, d₂ = ‖L - z - d₁ r̂‖, r̂ = r / ‖r‖",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("theta", 5.0, "penalty of leaving the ray", low=0.0, sweep=(0.1, 10.0), log=True),
            Hyperparameter("ideal", 0.0, "z, one number for all tasks"),
        ),
        claims=("permutation_equivariant",),
        deviations=(
            "d₂ is √(d₂² + (1e-6 ‖L - z‖)²), so that rounding on the ray has no direction; weights can be negative: a loss may be climbed"
        ),
    )
)
class PBI(Preference):
    """Down the ray of the preference, at a price for straying from it. Not monotone in the losses."""

    theta: float

    def scalarise(self, gaps: Tensor, r: Tensor) -> Tensor:
        ray = r / torch.linalg.vector_norm(r)
        along = gaps @ ray
        rounding = 1e-6 * torch.linalg.vector_norm(gaps.detach())
        across = torch.linalg.vector_norm(torch.cat([gaps - along * ray, rounding[None]]))
        total: Tensor = along + self.theta * across
        return total

    def slopes(self, gaps: Tensor, r: Tensor) -> Tensor:
        ray = r / torch.linalg.vector_norm(r)
        off = gaps - (gaps @ ray) * ray
        across = torch.hypot(torch.linalg.vector_norm(off), 1e-6 * torch.linalg.vector_norm(gaps))
        slopes: Tensor = ray + self.theta * (off / across.clamp_min(torch.finfo(gaps.dtype).tiny))
        return slopes


@register(
    Card(
        name="cosmos",
        version=1,
        title="COSMOS scalarisation",
        paper="Ruchte & Grabocka, Scalable Pareto Front Approximation for Deep Multi-Objective Learning, ICDM 2021",
        year=2021,
        arxiv="2103.13353",
        family="loss",
        equation="Σ r_t (L_t - z) - λ cos(r, L - z)",
        native_scale="mean",
        hyperparameters=(
            Hyperparameter("angle", 1.0, "λ, weight of the angle to the preference", low=0.0, sweep=(0.1, 10.0), log=True),
            Hyperparameter("ideal", 0.0, "z, one number for all tasks"),
        ),
        claims=("permutation_equivariant",),
        deviations="one preference for the whole run, and no input for it in the network; weights can be negative: a loss may be climbed",
    )
)
class COSMOS(Preference):
    """A weighted sum and the angle between losses and preference. Not monotone in the losses."""

    angle: float

    def scalarise(self, gaps: Tensor, r: Tensor) -> Tensor:
        return r @ gaps - self.angle * cosine_similarity(r, gaps, dim=0)

    def slopes(self, gaps: Tensor, r: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(gaps).clamp_min(1e-8)  # as cosine_similarity does
        ray, unit = r / torch.linalg.vector_norm(r), gaps / length
        slopes: Tensor = r - self.angle * (ray - (ray @ unit) * unit) / length
        return slopes
