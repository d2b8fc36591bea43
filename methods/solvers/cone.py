"""Projections on the dual cone of the gradients, {x: Jx >= 0}."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from methods.solvers.matrix import EPS, Array, Cosines
from methods.solvers.orthant import nonnegative
from methods.solvers.simplex import balance


@dataclass(frozen=True, slots=True)
class Projections:
    """Weights ``[K, T]`` of the K projections, and the largest KKT residual of any, relative to the length of what is projected."""

    weights: Array
    residual: float


def cone_projections(gramian: Array, points: Array, eps: float = EPS) -> Projections:
    """For each row u of points ``[K, T]``, all >= 0, the v >= u with the least vᵀGv: Jᵀv is the projection of Jᵀu on {x: Jx >= 0}.

    With the cosines C, s = N (v - u) >= 0 minimises sᵀCs / 2 + (C N u)ᵀ s. Points are solved together; one that does not conflict is its
    own projection.
    """
    cosines = Cosines.of(gramian, eps)
    if cosines.values is not None:
        rank = int((cosines.values > 4 * cosines.noise).sum())
        likely = 2 * rank <= len(gramian)  # where it is not, the projections find out as well, at three times the cost
        if likely and _is_zero(cosines, rank):
            return Projections(np.zeros_like(points), 0.0)
    stretched = points * cosines.norms
    lengths = stretched.max(axis=1, keepdims=True)
    stretched /= np.where(lengths > 0, lengths, 1.0)
    found = nonnegative(cosines, stretched @ cosines.matrix, cosines.rounding(stretched))
    shares = found.solutions + stretched
    beyond = shares @ cosines.matrix - cosines.rounding(shares)
    shares[(beyond * shares).sum(axis=1) <= 0] = 0.0  # a projection that is zero to rounding is zero
    return Projections(shares * lengths / cosines.norms, found.residual)


def _is_zero(cosines: Cosines, rank: int) -> bool:
    """Whether the cone holds only what is orthogonal to all gradients, which span ``rank`` dimensions.

    Of gradients without a preferred direction that is as likely as not where these are T/2 (Wendel, Mathematica Scandinavica 11, 1962).
    If Σ w_i u_i = 0, w > 0, for unit gradients u_i that span all, <u_i, x> >= 0 makes <u_i, x> = 0. Where the sum has length ε, a unit x
    has <u_i, x> <= ε / w_i, and none is left if that is less than the smallest singular value allows.
    """
    agreeing = cosines.matrix.sum(axis=0)
    if agreeing.min() > len(agreeing) * cosines.noise:  # their sum is in the cone
        return False
    shares = balance(cosines)
    if shares is None:
        return False
    (support,) = (shares > 0).nonzero()
    if len(support) < rank:
        return False
    least = np.linalg.eigvalsh(cosines.matrix[support[:, None], support])[-rank]
    return bool(least * shares[support].min() ** 2 > len(support) * shares @ cosines.rounding(shares))
