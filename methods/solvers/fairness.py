"""α-fair weights: the positive root of (Gw)_i = w_i^(-1/α)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from methods.solvers.matrix import EPS, Array, equilibrated, vanishes
from methods.solvers.simplex import min_norm

ROUNDS = 200
EXACT = 1e-12
MURKY = 1e-9
"""Rounding of an equation, relative, from which on it is checked that 0 is no convex combination of the gradients."""
PATIENCE = 8
"""Rounds with an equation below rounding, after which the weights are taken to diverge: 0 may be a convex combination."""


@dataclass(frozen=True, slots=True)
class Fair:
    """Weights ``[T]`` > 0, and the largest relative residual |w_i^(1/α) (Gw)_i - 1| beyond rounding.

    ``stationary``: a convex combination of the gradients is zero to rounding. Then there is no root, and the weights are 0.
    """

    weights: Array
    residual: float
    stationary: bool = False


def fair(gramian: Array, alpha: float = 1.0, eps: float = EPS) -> Fair:
    """The minimiser of wᵀGw / 2 - Σ ψ(w_i), ψ'(w) = w^(-1/α), by Newton's method (self-concordant for α = 1, ψ = log).

    With w_i = a_i / n_i the problem is C a = b a^(-1/α) with the cosines C and b_i = n_i^(1/α - 1). A step multiplies a_i by 1 + t x_i with
    (D C D + I/α) D⁻¹ a x = c - a (C a) over √c, c = b a^(1-1/α), D = diag(a / √c): the matrix is never worse than 1/α.
    """
    cosines, norms = equilibrated(gramian)
    size, power = len(norms), 1 / alpha
    b = norms ** (power - 1)
    middle = np.exp(np.log(b).mean())
    b /= middle
    unit = middle ** (1 / (1 + power))  # a is found in this unit, where b is about 1
    a = b ** (1 / (1 + power))
    product = cosines @ a
    quadratic = float(a @ product)
    if quadratic > 0:  # the best multiple of the start: what orthogonal gradients would get
        a *= ((b * a ** (1 - power)).sum() / quadratic) ** (1 / (1 + power))
    noise = 4 * size * EPS
    absolute = np.abs(cosines)
    best, least, nearest = a, np.inf, np.inf
    lost, murk = 0, 0.0
    for _ in range(ROUNDS):
        product = cosines @ a
        c = b * a ** (1 - power)
        pull = a * product
        blur = noise * a * (absolute @ a)
        error = np.abs(pull - c)
        residual = max(float(((error - blur) / c).max()), 0.0)
        worst = float((error / c).max())
        ended = residual <= EXACT and worst >= nearest / 2  # rounding ends the quadratic phase
        if (residual, worst) < (least, nearest):
            best, least, nearest = a, residual, worst
            murk = float((blur / c).max())
        if ended or worst <= EXACT:
            break
        lost += bool((blur >= c).any())
        if lost == PATIENCE and vanishes(cosines, min_norm(cosines).weights, eps):
            break
        root = np.sqrt(c)
        d = a / root
        matrix = cosines * d * d[:, None]
        matrix.flat[:: size + 1] += power
        try:
            x = np.linalg.solve(matrix, (c - pull) / root) / root
        except np.linalg.LinAlgError:
            break
        a = a * (1 + _line(a, x, c, product, cosines, power) * x)
    if (lost or least > EXACT or murk > MURKY) and vanishes(cosines, min_norm(cosines).weights, eps):
        return Fair(np.zeros(size), 0.0, stationary=True)
    return Fair(best * unit / norms, least)


def _line(a: Array, x: Array, c: Array, product: Array, cosines: Array, power: float) -> float:
    """The t that minimises the objective at a (1 + t x): the root of φ'(t) = p + q t - Σ c_i x_i (1 + t x_i)^(-1/α), which increases."""
    if max(x.max(), -x.min()) < 0.25:
        return 1.0
    change = a * x
    p, q = float(change @ product), float(change @ cosines @ change)
    cx = c * x
    low, high = 0.0, 1.0
    least = float(x.min())
    wall = -1 / least if least < 0 else np.inf
    t = min(1.0, 0.5 * wall)
    high = wall
    for _ in range(30):
        factor = 1 + t * x
        slope_part = cx * factor**-power
        slope = p + q * t - float(slope_part.sum())
        if slope < 0:
            low = t
        else:
            high = t
        curve = q + power * float((slope_part * x / factor).sum())
        if abs(slope) <= 0.1 * abs(p - cx.sum()):
            break
        new = t - slope / curve
        if not low < new < high:
            new = (low + high) / 2 if high < np.inf else 4 * t
        t = new
    return t
