"""Scaling, rounding and rank: what all T x T solvers share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)


def equilibrated(gramian: Array) -> tuple[Array, Array]:
    """(C, n): the cosines C = N⁻¹ G N⁻¹ ``[T, T]`` and the norms n ``[T]``, all > 0."""
    norms = np.sqrt(gramian.diagonal())
    cosines: Array = gramian / norms / norms[:, None]
    return cosines, norms


def scaled(gramian: Array) -> Array:
    """G over its mean diagonal, so that no tolerance acts on the size of the gradients; an all-zero G stays."""
    mean = gramian.diagonal().mean()
    return gramian / mean if mean > 0 else gramian.copy()


def noise(size: int, eps: float = EPS) -> float:
    """Relative rounding of a product with a Gramian: that of the product in float64, or that of a Gramian in less."""
    return max(4 * size * EPS, eps)


def rounding(gramian: Array, weights: Array, eps: float = EPS) -> Array:
    """What rounding leaves in (Gw)_i, for every i."""
    product: Array = noise(len(weights), eps) * (np.abs(gramian) @ np.abs(weights))
    return product


def vanishes(gramian: Array, weights: Array, eps: float = EPS) -> bool:
    """Whether wᵀGw is zero but for rounding."""
    return bool(weights @ gramian @ weights <= np.abs(weights) @ rounding(gramian, weights, eps))


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
