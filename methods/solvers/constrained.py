"""FORUM's problem: the direction in which the worst of T tasks gains most, among those that descend one more function fast enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from methods.solvers.matrix import EPS, Array
from methods.solvers.simplex import min_norm


@dataclass(frozen=True, slots=True)
class Constrained:
    """Weights ``[T]`` on the simplex, the multiplier of the constraint, and how far its objective can be above the minimum.

    ``gap`` is a duality gap beyond rounding, relative to what the objective's derivatives add up.
    """

    weights: Array
    multiplier: float
    gap: float


def constrained_min_norm(gramian: Array, level: float) -> Constrained:
    """argmin over w in the simplex and ν >= 0 of ‖Σ w_t g_t + ν q‖²/2 - ν level, with q, of length 1, the last row of ``gramian``.

    Its direction d = Σ w_t g_t + ν q is that of least ‖d‖²/2 - min_t <g_t, d> under <q, d> >= level, of which ν is the multiplier. For
    given w that is ν(w) = max(level - <q, Σ w_t g_t>, 0). What is left is convex, quadratic where ν > 0 and where ν = 0, and smooth in
    between: its minimum is that of one of the two quadratic functions. Both are tried, and the better certificate decides.
    """
    inner, slopes = gramian[:-1, :-1], gramian[:-1, -1]
    found = []
    for weights in (simplex_quadratic(inner - np.outer(slopes, slopes), level * slopes), min_norm(inner).weights):
        multiplier = max(level - float(slopes @ weights), 0.0)
        derivatives = inner @ weights + multiplier * slopes
        blur = 4 * len(gramian) * EPS * (np.abs(inner) @ weights + (level + multiplier) * np.abs(slopes))
        size = float(weights @ (blur / (4 * len(gramian) * EPS)))
        excess = float(weights @ derivatives) - float((derivatives + blur).min()) - float(weights @ blur)
        found.append(Constrained(weights, multiplier, max(excess, 0.0) / size if size > 0 else 0.0))
    return min(found, key=lambda each: each.gap)


def simplex_quadratic(hessian: Array, linear: Array) -> Array:
    """argmin over the simplex of wᵀHw/2 + cᵀw for a positive semidefinite H, by an active-set method; the caller certifies it.

    Each round adds the vertex of the least derivative and goes to the minimum of its face; where that leaves the simplex, or where the
    face has none (δ then sends it far away), it stops at the edge and drops what became zero, as Wolfe's method for c = 0.
    """
    size = len(linear)
    scale = float(np.abs(hessian).max() + np.abs(linear).max())
    if scale == 0:
        return np.full(size, 1 / size)
    hessian, linear = hessian / scale, linear / scale
    active = [int(np.argmin(hessian.diagonal() / 2 + linear))]
    weights = np.zeros(size)
    weights[active] = 1.0
    for _ in range(20 * size + 100):
        derivatives = hessian @ weights + linear
        entering = int(np.argmin(derivatives))
        if entering in active or weights @ derivatives - derivatives[entering] <= 4 * size * EPS:
            break
        active.append(entering)
        while len(active) > 1:
            face = np.array(active)
            system = np.ones((len(face) + 1, len(face) + 1))
            system[:-1, :-1] = hessian[face[:, None], face] + DELTA * np.eye(len(face))
            system[-1, -1] = 0.0
            target = np.linalg.solve(system, np.append(DELTA * weights[face] - linear[face], 1.0))[:-1]
            if (target > 0).all():
                weights[:] = 0.0
                weights[face] = target / target.sum()
                break
            current = weights[face]
            falling = target <= 0
            reach = np.where(falling, current / np.where(falling, current - target, 1.0), np.inf)
            moved = current + float(reach.min()) * (target - current)
            moved[int(reach.argmin())] = 0.0
            keep = moved > 0
            weights[:] = 0.0
            weights[face] = np.where(keep, moved, 0.0)
            active = [task for task, kept in zip(active, keep, strict=True) if kept]
        weights /= weights.sum()
    return weights


DELTA = 1e-13
"""Next to entries of 1: regular where H is not, and gone where it is. Proximal, so that the solution itself does not move."""
