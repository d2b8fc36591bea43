"""The min-norm point of the simplex, exactly, and by the article's Frank-Wolfe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.solvers.matrix import EPS, Array, Cosines, scaled
from methods.solvers.orthant import nonnegative


@dataclass(frozen=True, slots=True)
class MinNorm:
    """Weights ``[T]`` on the simplex, and how far ‖wᵀJ‖² can be above the minimum, relative to it.

    ``gap`` is (wᵀGw - min_i (Gw)_i) / wᵀGw, an upper bound of the relative excess over the optimum (Sener & Koltun 2018; Jaggi 2013), after
    taking off what rounding alone explains; 0 where the minimum itself is 0 to rounding.
    """

    weights: Array
    gap: float


def min_norm(gramian: Array, eps: float = EPS) -> MinNorm:
    """argmin over the simplex of wᵀGw; ``eps`` is the relative rounding of G.

    Up to a factor w is the z >= 0 with the least ‖Jᵀz‖² + κ (Σz - 1)², for any κ > 0: next to the smallest squared norm, the 1 of 11ᵀ
    drowns no gradient, however short. T = 2 has the closed form w_1 = clip((c - b) / (a + c - 2b), 0, 1).
    """
    size, least = len(gramian), float(gramian.diagonal().min())
    if least == 0:
        return MinNorm((np.arange(size) == gramian.diagonal().argmin()).astype(np.float64), 0.0)
    problem = gramian / least
    if size == 2:
        (a, b), (_, c) = problem.tolist()
        pulls = np.array([max(c - b, 0.0), max(a - b, 0.0)])  # both are computed: 1 - w_1 would lose a w_2 below rounding
        weights = pulls / pulls.sum() if a + c > 2 * b else np.full(2, 0.5)
        return MinNorm(weights, _gap(problem, weights, max(8 * EPS, eps)))
    raised = Cosines.of(problem + 1.0, eps)
    pull = 1 / raised.norms[None]
    weights = nonnegative(raised, -pull, raised.noise * pull).solutions[0] / raised.norms
    weights /= weights.sum()
    return MinNorm(weights, _gap(problem, weights, raised.noise))


def balance(cosines: Cosines) -> Array | None:
    """Shares s ``[T]`` >= 0 with sum 1 for which Σ s_i g_i / n_i is zero to rounding, or None: 0 is no convex combination of gradients."""
    if not cosines.singular:
        return None
    size = len(cosines.norms)
    pull = np.full((1, size), 0.5)
    raised = Cosines((cosines.matrix + 1.0) / 2, cosines.norms, cosines.noise, singular=True)
    shares = nonnegative(raised, -pull, cosines.noise * pull).solutions[0]
    shares /= shares.sum()
    return shares if cosines.vanishes(shares) else None


def frank_wolfe(gramian: Array, iterations: int, tolerance: float) -> MinNorm:
    """The article's solver for the same problem: α ← (1 - γ) α + γ e_τ with τ = argmin_i (Gα)_i and the exact line search for γ.

    Converges like 1 / iterations; it stops at the given relative duality gap, and says what gap it reached.
    """
    problem = scaled(gramian)
    size = len(problem)
    weights, noise = np.full(size, 1.0 / size), 4 * size * EPS
    for _ in range(iterations):
        norm, excess = _excess(problem, weights, noise)
        vertex = int(np.argmax(excess))
        if excess[vertex] <= tolerance * norm:
            break
        # ‖(1 - γ) d + γ g_τ‖² is least at γ = <d, d - g_τ> / ‖d - g_τ‖².
        product = float(problem[vertex] @ weights)
        step = min(1.0, (norm - product) / (norm - 2 * product + problem[vertex, vertex]))
        weights *= 1 - step
        weights[vertex] += step
    return MinNorm(weights, _gap(problem, weights, noise))


def _excess(gramian: Array, weights: Array, noise: float) -> tuple[float, Array]:
    """wᵀGw, and how far it exceeds (Gw)_i beyond rounding, for every i; no excess where wᵀGw is itself rounding."""
    product = gramian @ weights
    norm = float(weights @ product)
    blur = noise * (np.abs(gramian) @ weights)
    in_norm = float(weights @ blur)
    return norm, norm - product - in_norm - blur if norm > in_norm else np.zeros_like(product)


def _gap(gramian: Array, weights: Array, noise: float) -> float:
    norm, excess = _excess(gramian, weights, noise)
    return max(float(excess.max()), 0.0) / norm if norm > 0 else 0.0


def project_simplex(point: Tensor) -> Tensor:
    """The nearest point ``[T]`` of the simplex, by sorting (Held, Wolfe & Crowder, Math. Programming 6, 1974)."""
    point = point - point.max()  # the projection is the same, also where 1 is rounding beside the numbers
    ordered = point.sort(descending=True).values
    excess = (ordered.cumsum(0) - 1) / torch.arange(1, len(point) + 1, dtype=point.dtype)
    last = int((ordered > excess).nonzero().max())
    return (point - excess[last]).clamp(min=0)
