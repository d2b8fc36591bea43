"""Projections on the dual cone of the gradients, {x: Jx >= 0}."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dposv

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
    if cosines.values is not None and _is_zero(cosines, rank=int((cosines.values > 4 * cosines.noise).sum())):
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
    """Whether the cone is seen at once to hold only what is orthogonal to all gradients, which span ``rank`` dimensions.

    If Σ w_i u_i = 0, w > 0, for unit gradients u_i that span all, <u_i, x> >= 0 makes <u_i, x> = 0. Where the sum has length ε, a unit x
    has <u_i, x> <= ε / w_i, and none is left if that is less than the smallest singular value allows. The projections find out as well,
    at three times the cost; so no more is done than is likely to pay.
    """
    if _empties(cosines, _kernel(cosines), rank):
        return True
    # T gradients without a preferred direction leave a cone as often as not where they span T/2 dimensions (Wendel, Mathematica
    # Scandinavica 11, 1962). A cone that their sum is in is not zero.
    size = len(cosines.matrix)
    likely = 2 * rank <= size and cosines.matrix.sum(axis=0).min() <= size * cosines.noise
    return likely and _empties(cosines, balance(cosines), rank)


def _empties(cosines: Cosines, shares: Array | None, rank: int) -> bool:
    """Whether Σ s_i u_i = 0 holds for these shares, to rounding, and leaves the cone nothing."""
    if shares is None or not cosines.vanishes(shares):
        return False
    (support,) = (shares > 0).nonzero()
    if len(support) < rank:
        return False
    least = np.linalg.eigvalsh(cosines.matrix[support[:, None], support])[-rank]
    return bool(least * shares[support].min() ** 2 > len(support) * shares @ cosines.rounding(shares))


def _kernel(cosines: Cosines) -> Array | None:
    """(C + δ)⁻¹ 1 for a small δ, if all of it is positive: the shares nearest to equal ones with Σ s_i u_i = 0, if there are any."""
    raised = cosines.matrix.copy()
    raised.flat[:: len(raised) + 1] += max(KERNEL, 100 * cosines.noise)
    shares: Array = dposv(raised.T, np.ones(len(raised)), overwrite_a=1)[1]
    return shares / shares.sum() if shares.min() > 0 else None


KERNEL = 1e-10
"""The least δ: small against the eigenvalues of C that are not zero, and large against rounding."""
