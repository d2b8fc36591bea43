"""The min-norm point of the simplex, exactly, and by the article's Frank-Wolfe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.solvers.cone import block_pivot
from methods.solvers.matrix import EPS, Array, equilibrated, scaled


@dataclass(frozen=True, slots=True)
class MinNorm:
    """Weights ``[T]`` on the simplex, and how far ‖wᵀJ‖² can be above the minimum, relative to it.

    ``gap`` is (wᵀGw - min_i (Gw)_i) / wᵀGw, an upper bound of the relative excess over the optimum (Sener & Koltun 2018; Jaggi 2013), after
    taking off what rounding alone explains; 0 where the minimum itself is 0 to rounding.
    """

    weights: Array
    gap: float


ACCEPTED = 1e-12


def min_norm(gramian: Array) -> MinNorm:
    """argmin over the simplex of wᵀGw: by block pivoting, and where that does not certify, by Wolfe's active-set method in Gram space.

    Wolfe's method (Math. Programming 11, 1976) is finite and exact: each round adds the vertex with the smallest inner product and solves
    the affine problem on the active face. T = 2 has the closed form w_1 = clip((c - b) / (a + c - 2b), 0, 1).
    """
    size = len(gramian)
    problem = scaled(gramian)
    if size == 1:
        return MinNorm(np.ones(1), 0.0)
    if size == 2:
        (a, b), (_, c) = problem
        pulls = np.array([max(c - b, 0.0), max(a - b, 0.0)])  # both are computed: 1 - w_1 would lose a w_2 below rounding
        weights = pulls / pulls.sum() if pulls.sum() > 0 else np.full(2, 0.5)
        return MinNorm(weights, _gap(problem, weights))
    if (problem.diagonal() > 0).all():
        guess = _by_pivoting(problem)
        if guess.gap <= ACCEPTED:
            return guess
    return _wolfe(problem)


def _by_pivoting(problem: Array) -> MinNorm:
    """Gz >= 1, z >= 0, z_i (Gz - 1)_i = 0 gives w = z / Σz, unless 0 is a convex combination of the gradients."""
    cosines, norms = equilibrated(problem)
    linear = -norms.min() / norms
    z = np.maximum(block_pivot(cosines, linear, np.ones(len(norms), dtype=bool), 1e-14), 0.0) / norms
    total = z.sum()
    if not 0 < total < np.inf:
        return MinNorm(z, np.inf)
    weights = z / total
    return MinNorm(weights, _gap(problem, weights))


def _wolfe(problem: Array) -> MinNorm:
    """Wolfe's method proper: slower, at home on every Gramian."""
    size = len(problem)
    start = int(np.argmin(problem.diagonal()))
    active = [start]
    weights = np.zeros(size)
    weights[start] = 1.0
    best, least = weights, np.inf
    for _ in range(20 * size + 100):  # in exact arithmetic every face is visited at most once; practice needs about T rounds
        norm, excess = _excess(problem, weights)
        if not norm < least:  # every round must shorten the point; where rounding ends that, the last one stands
            break
        best, least = weights.copy(), norm
        entering = int(np.argmax(excess))
        if entering in active or excess[entering] <= 0:
            break
        active.append(entering)
        while True:
            target = _affine(problem[np.ix_(active, active)])
            if not np.isfinite(target).all():
                break
            if np.all(target > 0):
                weights[:] = 0
                weights[active] = target
                break
            current = weights[active]
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = np.where(target <= 0, current / (current - target), np.inf)
            step = float(np.nanmin(reach))
            moved = current + step * (target - current)
            moved[int(np.nanargmin(reach))] = 0.0  # the face is left here, whatever rounding says
            keep = moved > 0
            weights[:] = 0
            weights[active] = np.where(keep, moved, 0.0)
            active = [task for task, kept in zip(active, keep, strict=True) if kept]
            if len(active) == 1:
                weights[active] = 1.0
                break
    best = best / best.sum()
    return MinNorm(best, _gap(problem, best))


def frank_wolfe(gramian: Array, iterations: int, tolerance: float) -> MinNorm:
    """The article's solver for the same problem: α ← (1 - γ) α + γ e_τ with τ = argmin_i (Gα)_i and the exact line search for γ.

    Converges like 1 / iterations; it stops at the given relative duality gap, and says what gap it reached.
    """
    problem = scaled(gramian)
    size = len(problem)
    weights = np.full(size, 1.0 / size)
    for _ in range(iterations):
        norm, excess = _excess(problem, weights)
        vertex = int(np.argmax(excess))
        if excess[vertex] <= tolerance * norm:
            break
        # ‖(1 - γ) d + γ g_τ‖² is least at γ = <d, d - g_τ> / ‖d - g_τ‖².
        product = float(problem[vertex] @ weights)
        step = min(1.0, (norm - product) / (norm - 2 * product + problem[vertex, vertex]))
        weights *= 1 - step
        weights[vertex] += step
    return MinNorm(weights, _gap(problem, weights))


def _affine(face: Array) -> Array:
    """argmin yᵀGy with Σy = 1 on a face: y ∝ (G + 11ᵀ)⁻¹ 1, which is regular wherever the face is affinely independent.

    G is divided by its smallest diagonal entry: next to that, the 1 of 11ᵀ drowns no row, however small.
    """
    face = face / face.diagonal().min()
    scale = 1 / np.sqrt(face.diagonal() + 1.0)
    matrix: Any = (face + 1.0) * np.outer(scale, scale)
    try:
        solution = np.linalg.solve(matrix, scale)
    except np.linalg.LinAlgError:
        solution = np.linalg.lstsq(matrix, scale, rcond=None)[0]
    solution = solution * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        total: Array = solution / solution.sum()
    return total


def _rounding(gramian: Array, weights: Array) -> tuple[float, Array]:
    """What float64 rounding leaves in wᵀGw, and in (Gw)_i for every i."""
    product = 4 * len(weights) * EPS * (np.abs(gramian) @ weights)
    return float(weights @ product), product


def _excess(gramian: Array, weights: Array) -> tuple[float, Array]:
    """wᵀGw, and how far it exceeds (Gw)_i beyond rounding, for every i; no excess where wᵀGw is itself rounding."""
    product = gramian @ weights
    norm = float(weights @ product)
    in_norm, in_product = _rounding(gramian, weights)
    return norm, norm - product - in_norm - in_product if norm > in_norm else np.zeros_like(product)


def _gap(gramian: Array, weights: Array) -> float:
    norm, excess = _excess(gramian, weights)
    return max(float(excess.max()), 0.0) / norm if norm > 0 else 0.0


def project_simplex(point: Tensor) -> Tensor:
    """The nearest point ``[T]`` of the simplex, by sorting (Held, Wolfe & Crowder, Math. Programming 6, 1974)."""
    ordered = point.sort(descending=True).values
    excess = (ordered.cumsum(0) - 1) / torch.arange(1, len(point) + 1, dtype=point.dtype)
    last = int((ordered > excess).nonzero().max())
    return (point - excess[last]).clamp(min=0)
