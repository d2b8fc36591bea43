"""α-fair weights: the positive root of (Gw)_i = w_i^(-1/α)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dposv

from methods.solvers.matrix import EPS, Array, Cosines
from methods.solvers.simplex import balance

ROUNDS = 200
EXACT = 1e-12


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

    With w_i = a_i / n_i the problem is C a = b a^(-1/α) with the cosines C and b_i = n_i^(1/α - 1). A step multiplies a_i by 1 + x_i with
    (D C D + I/α) D⁻¹ a x = c - a (C a) over √c, c = b a^(1-1/α), D = diag(a / √c): the matrix is never worse than 1/α.
    """
    problem = Cosines.of(gramian, eps)
    if balance(problem) is not None:
        return Fair(np.zeros(len(gramian)), 0.0, stationary=True)
    cosines, norms = problem.matrix, problem.norms
    size, power = len(norms), 1 / alpha
    middle = math.exp(float(np.log(norms).sum()) / size)
    b = (norms / middle) ** (power - 1)
    unit = middle ** ((power - 1) / (1 + power))  # a is found in this unit, where b is about 1
    a = b ** (1 / (1 + power))  # what orthogonal gradients get
    absolute = problem.noise * np.abs(cosines)
    best, least, nearest = a, math.inf, math.inf
    for _ in range(ROUNDS):
        product = cosines @ a
        c = b * a ** (1 - power)
        stretch = (float(c.sum()) / float(a @ product)) ** (1 / (1 + power))  # to the best multiple of a
        a, product, c = a * stretch, product * stretch, c * stretch ** (1 - power)
        pull = a * product
        error = np.abs(pull - c) / c
        worst = float(error.max())
        residual = max(float((error - a * (absolute @ a) / c).max()), 0.0)
        ended = residual <= EXACT and worst >= nearest / 2  # rounding ends the quadratic phase
        if (residual, worst) < (least, nearest):
            best, least, nearest = a, residual, worst
        if ended or worst <= EXACT:
            break
        root = np.sqrt(c)
        d = a / root
        matrix = cosines * d * d[:, None]
        matrix.flat[:: size + 1] += power
        x = dposv(matrix.T, (c - pull) / root, overwrite_a=1, overwrite_b=1)[1] / root
        a = a * _factors(a, x, c, product, cosines, power)
    return Fair(best * unit / norms, least)


def _factors(a: Array, x: Array, c: Array, product: Array, cosines: Array, power: float) -> Array:
    """By what a Newton step multiplies a.

    1 + x_i where that grows; where it shrinks, what the same step makes of a_i in terms of a_i^(-1/α), which never reaches zero: each
    is how a task alone, whatever the others do to it, comes to its weight without going past it. Where the objective climbs, 1 + t x.
    """
    if max(float(x.max()), -float(x.min())) < 0.25:
        return 1 + x
    factors: Array = np.where(x < 0, (1 - power * np.minimum(x, 0.0)) ** (-1 / power), 1 + x)
    change = a * (factors - 1)
    utility = np.log(factors) if power == 1 else (factors ** (1 - power) - 1) / (1 - power)
    if change @ product + change @ cosines @ change / 2 <= c @ utility:
        return factors
    return 1 + _line(a, x, c, product, cosines, power) * x


def _line(a: Array, x: Array, c: Array, product: Array, cosines: Array, power: float) -> float:
    """The t that minimises the objective at a (1 + t x): the root of φ'(t) = p + q t - Σ c_i x_i (1 + t x_i)^(-1/α), which increases."""
    change, cx = a * x, c * x
    p, q = float(change @ product), float(change @ cosines @ change)
    least = float(x.min())
    low, high = 0.0, -1 / least if least < 0 else math.inf
    t = min(1.0, high / 2)
    for _ in range(30):
        factor = 1 + t * x
        part = cx * factor**-power
        slope = p + q * t - float(part.sum())
        if abs(slope) <= 0.1 * abs(p - float(cx.sum())):
            break
        low, high = (t, high) if slope < 0 else (low, t)
        t -= slope / (q + power * float((part * x / factor).sum()))
        if not low < t < high:
            t = (low + high) / 2 if high < math.inf else 4 * low
    return t
