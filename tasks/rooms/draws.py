"""Random numbers that are the same on every machine and under every version of numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.base import derive

Floats = NDArray[np.float64]
T = TypeVar("T")


class Draws:
    """A stream of uniform numbers, from the raw bits of PCG64.

    numpy promises that a bit generator's raw stream never changes, and promises no such thing of ``Generator.uniform`` or ``normal``.
    What is made of the bits here is exact: a shift and a multiplication by a power of two.
    """

    def __init__(self, *labels: str | int) -> None:
        self._bits = np.random.PCG64(derive(0, *labels))

    def many(self, *shape: int) -> Floats:
        """Uniform in [0, 1), of this shape."""
        raw = self._bits.random_raw(math.prod(shape))
        uniform: Floats = ((raw >> np.uint64(11)) * np.float64(2.0**-53)).reshape(shape)
        return uniform

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * ((self._bits.random_raw() >> 11) * 2.0**-53)

    def chance(self, probability: float) -> bool:
        return self.between(0, 1) < probability

    def index(self, count: int) -> int:
        """Uniform in 0, 1, ..., count - 1."""
        return int(self.between(0, count))

    def choice(self, options: Sequence[T]) -> T:
        return options[self.index(len(options))]

    def noise(self, *shape: int) -> Floats:
        """Mean 0, variance 1: the sum of four uniforms, which needs no logarithm and hence no libm."""
        a, b, c, d = self.many(4, *shape)
        scaled: Floats = (((a + b) + (c + d)) - 2.0) * np.sqrt(3.0)
        return scaled


def lattice(*coordinates: NDArray[np.int64], salt: NDArray[np.int64] | int = 0) -> Floats:
    """A number in [0, 1) for each cell of an integer lattice (broadcast): an integer hash, so that textures need no table."""
    mixed = np.uint32(0x9E3779B9) + np.asarray(salt).astype(np.uint32) * np.uint32(0x85EBCA6B)
    for coordinate in coordinates:
        mixed = (mixed ^ coordinate.astype(np.uint32)) * np.uint32(0xCC9E2D51)
        mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
        mixed = mixed ^ (mixed >> np.uint32(13))
    uniform: Floats = mixed * np.float64(2.0**-32)
    return uniform
