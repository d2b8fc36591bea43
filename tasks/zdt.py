"""ZDT1, ZDT2 and ZDT3 (Zitzler, Deb, Thiele, Evolutionary Computation 8(2), 2000): fronts that are convex, concave and broken.

    L1 = x_1      L2 = g h(x_1, g)      g = 1 + 9/(n - 1) Σ_{i ≥ 2} x_i      x in [0, 1]^n, n = 30
    ZDT1: h = 1 - √(x_1/g)        ZDT2: h = 1 - (x_1/g)²        ZDT3: h = 1 - √(x_1/g) - (x_1/g) sin(10π x_1)

The Pareto set has g = 1. What is trained is u in R^n with x_i = sin²(u_i):
- it covers the box, ends included, and is smooth, where clamping has no gradient outside and a fold overshoots its corner for ever;
- the slope of √x_1, infinite at 0, becomes that of |sin u_1|, which is bounded: ZDT1 and ZDT3 have no gradient to explode;
- dx/du = sin 2u vanishes at the ends of the box alone. Runs start at x_i uniform in [0.1, 0.9], where it is at least 0.6; the end x_i = 0
  that g wants is approached like the minimum of a parabola, and the end x_i = 1 repels.
Every point with x_1 = 0 has the least L1 there is: where g > 1 it is dominated, but only by others with the same L1. Methods that never let
a loss rise stop there, in x as in u.
At u_1 = 0 exactly, where |sin u_1| has a kink, the slope to the right is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import cos, pi, sin, sqrt
from typing import Literal

from tasks.base import ProblemCard, derive
from tasks.known_front import EXTRA_METRICS, KnownFront, Pair, Pieces, objectives

Shape = Literal["convex", "concave", "broken"]

SIZE = 30
LOWEST = -0.78
"""Below L2 everywhere: ZDT3's front ends at -0.774."""

PIECES = (
    (0.0, 0.0830015349),
    (0.1822287280, 0.2577623634),
    (0.4093136748, 0.4538821041),
    (0.6183967944, 0.6525117038),
    (0.8233317983, 0.8518328654),
)
"""L1 where the pieces of ZDT3's front begin and end."""


class ZDT(KnownFront):
    """One parameter decides where on the front, the other 29 how far from it."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.shape: Shape = shape
        term = {"convex": "√(x1/g)", "concave": "(x1/g)²", "broken": "√(x1/g) - (x1/g) sin(10π x1)"}[shape]
        self.card = ProblemCard(
            name=name,
            version=2,
            summary=f"a benchmark of evolutionary algorithms by its gradients: 30 dimensions, {shape} front",
            source="E. Zitzler, K. Deb, L. Thiele, Comparison of Multiobjective Evolutionary Algorithms: Empirical Results (Evolutionary "
            "Computation 8(2), 2000); written here from the formula",
            licence="MIT",
            tasks=objectives("x1", f"g (1 - {term})", low=LOWEST if shape == "broken" else 0.0),
            extra_metrics=EXTRA_METRICS,
            requires=("moocore",),
            model=f"{SIZE} angles, one a coordinate",
            steps=1000,
            batch_size=1,
            learning_rate=1e-2,
        )

    def start(self, seed: int) -> tuple[float, ...]:
        import numpy as np

        x = np.random.default_rng(derive(seed, self.card.name, "start")).uniform(0.1, 0.9, SIZE)
        return tuple(np.arcsin(np.sqrt(x)).tolist())

    def losses(self, x: Sequence[float]) -> tuple[Pair, Sequence[float], Sequence[float]]:
        """``x`` is u."""
        import numpy as np

        u, rest = x[0], np.array(x[1:])
        share = 9 / (SIZE - 1)
        g, slope_g = 1 + share * float(np.square(np.sin(rest)).sum()), share * np.sin(2 * rest)
        s, first, slope_first = sin(u), sin(u) ** 2, sin(2 * u)
        root, slope_root = abs(s), cos(u) if s >= 0 else -cos(u)  # √x_1 and its slope
        if self.shape == "concave":
            second, by_first, by_g = (g - first) * (g + first) / g, -2 * first / g * slope_first, 1 + (first / g) ** 2
        else:
            second, by_first, by_g = sqrt(g) * (sqrt(g) - root), -sqrt(g) * slope_root, 1 - root / (2 * sqrt(g))
        if self.shape == "broken":
            wave, slope_wave = sin(10 * pi * first), 10 * pi * cos(10 * pi * first)
            second -= first * wave
            by_first -= (wave + first * slope_wave) * slope_first
        return (first, second), [slope_first, *[0.0] * (SIZE - 1)], [by_first, *(by_g * slope_g).tolist()]

    def front(self) -> Pieces:
        return _front(self.shape)


@lru_cache(maxsize=3)
def _front(shape: Shape, points: int = 2001) -> Pieces:
    """Evenly spaced in √L1, since the front is vertical where a square root is 0."""
    import numpy as np

    pieces = []
    for low, high in PIECES if shape == "broken" else ((0.0, 1.0),):
        root = np.linspace(sqrt(low), sqrt(high), points)
        first = root**2
        wave = first * np.sin(10 * pi * first) if shape == "broken" else 0.0
        curve = np.stack([first, 1 - (first**2 if shape == "concave" else root) - wave], axis=1)
        curve.setflags(write=False)  # cached: every caller reads the same array
        pieces.append(curve)
    return tuple(pieces)


PROBLEMS = (ZDT("zdt1", "convex"), ZDT("zdt2", "concave"), ZDT("zdt3", "broken"))
