"""Convex quadratic programs over the positive orthant: projections, min-norm points and priority constraints come to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from methods.solvers.matrix import EPS, Array, Cosines

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Nonnegative:
    """s ``[K, T]`` >= 0, and the largest violation of y = Cs + q >= 0 and of s_i y_i = 0, beyond rounding, over max |q| of its problem."""

    solutions: Array
    residual: float


def nonnegative(cosines: Cosines, linear: Array, blur: Array) -> Nonnegative:
    """argmin over s >= 0 of sᵀCs / 2 + qᵀs, for each of the K rows q of ``linear`` ``[K, T]``; ``blur`` ``[K, T]`` is the rounding in q.

    The projected Newton method (Bertsekas, SIAM J. Control and Optimization 20, 1982): y = 0 is solved on the free variables, those
    with s_i > 0 or y_i < 0, and what turns negative becomes zero; a step that climbs is shortened. Where C is singular many steps
    climb: there it begins where :func:`approached` ends, and its equations are damped, less and less while the free variables stay.
    """
    s, y, allowed = np.zeros_like(linear), linear, blur
    free = y < -allowed
    going: Mask = np.any(free, axis=1)
    if not going.any():
        return Nonnegative(s, 0.0)
    matrix, absolute = cosines.matrix, cosines.noise * np.abs(cosines.matrix)
    if len(matrix) <= 2 and not cosines.singular:
        rows = zip(linear.tolist(), blur.tolist(), strict=True)
        s = np.array([closed(float(matrix[0, -1]), cosines.noise, *row) for row in rows])
        return Nonnegative(s, _residual(s, s @ matrix + linear, blur + s @ absolute, linear))
    if cosines.singular:
        s[going] = approached(matrix, linear[going])
        y = s @ matrix + linear
        allowed = blur + s @ absolute
        free = (s > 0) | (y < -allowed)
    computed = 4 * len(matrix) * EPS / cosines.noise  # how much of the rounding is in the products, and not in C
    most, least = max(1e-7, 100 * cosines.noise), max(1e-13, cosines.noise)
    damping = np.full(len(s), most if cosines.singular else 0.0)
    off, moved, faces = np.full(len(s), np.inf), going, Faces(matrix)
    for _ in range(ROUNDS):
        s, y, falls = _step(faces, damping, linear, s, y, free & going[:, None], computed * allowed)
        allowed = blur + s @ absolute
        face, free = free, (s > 0) | (y < -allowed)
        wrong = np.where(free, np.abs(y), 0.0)
        going = going & np.any(wrong > allowed / 4, axis=1)
        if not going.any():
            break
        before, off = off, wrong.max(axis=1)
        still, moved = moved, falls | (off < before / 2)
        going &= moved | still  # two rounds without progress: what is left is rounding
        if cosines.singular:
            damping = np.where((free == face).all(axis=1), np.maximum(damping / 100, least), most)
    return Nonnegative(s, _residual(s, y, allowed, linear))


ROUNDS = 100


def closed(cosine: float, noise: float, linear: Sequence[float], blur: Sequence[float]) -> tuple[float, ...]:
    """s for one variable, or for two with this cosine: none is free, or one that keeps the other bound but for rounding, or both."""
    if len(linear) == 1:
        return (max(0.0, -linear[0]),)
    q, p = linear
    s, t, size = max(0.0, -q), max(0.0, -p), noise * abs(cosine)
    if p + cosine * s >= -(blur[1] + size * s):
        return s, 0.0
    if q + cosine * t >= -(blur[0] + size * t):
        return 0.0, t
    t = max(0.0, (cosine * q - p) / ((1 - cosine) * (1 + cosine)))
    return max(0.0, -q - cosine * t), t


def _residual(s: Array, y: Array, allowed: Array, linear: Array) -> float:
    violated = np.where(s > 0, np.abs(y), -y) - allowed
    sizes = np.maximum(np.abs(linear).max(axis=1), np.finfo(float).tiny)
    return float((np.maximum(violated.max(axis=1), 0.0) / sizes).max())


class Faces:
    """The systems (C_FF + δ) p_F = r_F of the faces F of the orthant."""

    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix

    def solve(self, damping: Array, right: Array, free: Mask) -> Array:
        """p ``[K, T]`` for each row of δ ``[K]``, r ``[K, T]`` and of the free variables, 0 elsewhere.

        Where few are bound, by (C_FF)⁻¹ = H_FF - H_FB (H_BB)⁻¹ H_BF with H = C⁻¹ and the bound variables B.
        """
        size, going = len(self.matrix), free.any(axis=1, keepdims=True)
        many = 2 * free.sum() - size * going.sum() > WORTH * size
        inverse = self.inverse if many and not damping.any() else None
        if inverse is None:
            return _solved(self.matrix, damping, right, free)
        everywhere = np.where(free, right, 0.0) @ inverse
        share = _solved(inverse, damping, everywhere, going & ~free)
        return np.where(free, everywhere - share @ inverse, 0.0)

    @cached_property
    def inverse(self) -> Array | None:
        """H, if it is accurate: H_BB loses ε times the square of its entries."""
        inverse: Array = np.linalg.inv(self.matrix).astype(np.float64, copy=False)
        return inverse if np.abs(inverse).max() < ACCURATE else None


WORTH = 9
"""Σ (|F|² - |B|²) / T² from which on the smaller systems save more than the inverse costs, which is T³ as well (measured for T = 40)."""
ACCURATE = 1e4


def _solved(matrix: Array, damping: Array, right: Array, chosen: Mask) -> Array:
    """x with (A_SS + δ) x_S = r_S on the chosen variables S of each row, 0 elsewhere."""
    x = np.zeros_like(right)
    for row, r, found, more in zip(chosen, right, x, damping, strict=True):
        face = row.nonzero()[0]
        if face.size:
            block = matrix.take(face, axis=0).take(face, axis=1)
            if more:
                block.flat[:: len(face) + 1] += more
            found[face] = dposv(block.T, r[face], overwrite_a=1, overwrite_b=1)[1]
    return x


def _step(faces: Faces, damping: Array, q: Array, s: Array, y: Array, free: Mask, blur: Array) -> tuple[Array, Array, Mask]:
    """(s, y, whether the objective fell) after the step [s + p]₊, or where that climbs, after the best of some shorter ones on the path.

    ``blur`` is the rounding in y: what the objective changes by less than that is worth is no change.
    """
    matrix = faces.matrix
    p = faces.solve(damping, -y, free)
    new = np.maximum(s + p, 0.0)
    slack = new @ matrix + q
    change = ((new - s) * (slack + y)).sum(axis=1)  # twice that of the objective
    if not (change <= 0).all():
        (climbing,) = (~(change <= (np.abs(new - s) * blur).sum(axis=1))).nonzero()
        s, p, y, q = s[climbing], p[climbing], y[climbing], q[climbing]
        p = faces.solve(damping[climbing], -y, free[climbing] & ((s > 0) | (p > 0)))
        first = np.where((s == 0) & (p < 0), 0.0, p)  # up to where the first variable is zero, or the objective is least on the way
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = np.where(first < 0, -s / first, np.inf).min(axis=1)
            least = -(first * y).sum(axis=1) / ((first @ matrix) * first).sum(axis=1)
        start = np.clip(np.fmin(bound, least), np.finfo(float).tiny, 1.0)
        tried = s[:, None] + (start[:, None] ** STEPS)[:, :, None] * p[:, None]
        tried = np.where(tried > 1e-12 * s[:, None], tried, 0.0)  # a bound that is reached is reached exactly
        slacks = tried @ matrix + q[:, None]
        changes = ((tried - s[:, None]) * (slacks + y[:, None])).sum(axis=2)
        best = changes.argmin(axis=1)
        rows = np.arange(len(s))
        new[climbing], slack[climbing], change[climbing] = tried[rows, best], slacks[rows, best], changes[rows, best]
    return new, slack, change < 0


STEPS = np.linspace(1.0, 0.0, 8)


def approached(matrix: Array, linear: Array) -> Array:
    """Points ``[K, T]`` near the solutions, with mostly their faces, for all problems by one inverse.

    The modulus iteration (van Bokhoven 1981), which is the alternating direction method of multipliers in one variable: s = max(v, 0)
    with v ← v + γ (|v| P - qP/ρ - s), P = ρ (C + ρ)⁻¹.
    """
    size = len(matrix)
    inverse = np.linalg.inv(matrix + RHO * np.eye(size))
    shift = GAMMA * (linear @ inverse)
    inverse *= GAMMA * RHO
    inverse.flat[:: size + 1] -= GAMMA / 2
    v, face = np.zeros_like(linear), linear < 0
    absolute, step = np.empty_like(v), np.empty_like(v)
    for _ in range(8):
        for _ in range(10):
            np.matmul(np.abs(v, out=absolute), inverse, out=step)
            v *= 1 - GAMMA / 2
            v += step
            v -= shift
        before, face = face, v > 0
        if (face == before).all():
            break
    return np.maximum(v, 0.0)


RHO, GAMMA = 0.1, 1.8
