"""Scaling, rounding and rank: what all T x T solvers share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf

Array = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)
REGULAR = 1e-7
"""Smallest eigenvalue of C from which on C is taken as it is."""


@dataclass(frozen=True, slots=True)
class Cosines:
    """C = N⁻¹ G N⁻¹ ``[T, T]``, positive definite, and the norms n ``[T]``, all > 0.

    ``noise`` is the relative rounding of C and of products with it. Where C is ``singular`` to rounding, a quarter of that is added to
    its diagonal; a negative eigenvalue says that the rounding is larger than the dtype of the gradients promises. ``values`` are its
    eigenvalues, ascending, known where finding it to be singular took them.
    """

    matrix: Array
    norms: Array
    noise: float
    singular: bool
    values: Array | None = None

    @classmethod
    def of(cls, gramian: Array, eps: float = EPS) -> Cosines:
        """``eps``: relative rounding of the entries of G, whose diagonal is not zero."""
        matrix, norms = equilibrated(gramian)
        size = len(norms)
        noise = max(4 * size * EPS, eps)
        shifted = matrix.copy()
        shifted.flat[:: size + 1] -= REGULAR
        if dpotrf(shifted, overwrite_a=1)[1] == 0:
            return cls(matrix, norms, noise, False)
        values = np.asarray(np.linalg.eigvalsh(matrix), dtype=np.float64)
        noise = max(noise, -8 * float(values[0]))
        matrix.flat[:: size + 1] += noise / 4
        values += noise / 4
        return cls(matrix, norms, noise, True, values)

    def rounding(self, shares: Array) -> Array:
        """What rounding leaves in C s, for shares s ``[..., T]``."""
        blur: Array = self.noise * (np.abs(shares) @ np.abs(self.matrix))
        return blur

    def vanishes(self, shares: Array) -> bool:
        """Whether sᵀCs, the squared length of Jᵀ N⁻¹ s, is zero but for rounding."""
        return bool(shares @ self.matrix @ shares <= np.abs(shares) @ self.rounding(shares))


def equilibrated(gramian: Array) -> tuple[Array, Array]:
    """(C, n): the cosines C = N⁻¹ G N⁻¹ ``[T, T]`` and the norms n ``[T]``, all > 0."""
    norms = np.sqrt(gramian.diagonal())
    cosines: Array = gramian / norms / norms[:, None]
    return cosines, norms


def scaled(gramian: Array) -> Array:
    """G over its mean diagonal, so that no tolerance acts on the size of the gradients; an all-zero G stays."""
    mean = gramian.diagonal().mean()
    return gramian / mean if mean > 0 else gramian.copy()


def eigensystem(gramian: Array, eps: float = EPS) -> tuple[Array, Array]:
    """(λ, V) of the eigenvalues above rounding, ascending: λ ``[R]`` and their vectors ``[T, R]``, R the numerical rank."""
    values, vectors = np.linalg.eigh(gramian)
    first = int(np.searchsorted(values, 4 * len(values) * eps * values[-1], side="right"))
    return values[first:], vectors[:, first:]


FLOOR = 1e-10
"""The least eigenvalue of cosines that counts as positive."""


def nearest_definite(cross: Array, norms: Array) -> Array:
    """The positive definite matrix nearest to the symmetric part of A, entries measured in n_i n_j: eigenvalues below the floor are raised.

    The set of such matrices is convex, so that no member of it (the true Gramian, say) is farther from the result than from A. What is
    definite already stays as it is.
    """
    sizes = np.outer(norms, norms)
    symmetric: Array = (cross + cross.T) / 2
    values, vectors = np.linalg.eigh(symmetric / sizes)
    return symmetric if values[0] >= FLOOR else (vectors * np.maximum(values, FLOOR)) @ vectors.T * sizes
