"""The two-objective landscape of CAGrad (Liu et al., NeurIPS 2021), Nash-MTL (Navon et al., ICML 2022) and FAMO (Liu et al., NeurIPS 2023).

    L1 = s (f1 c1 + q1 c2)                                            L2 = f2 c1 + q2 c2
    f1 = log max(|(-x1 - 7)/2 - tanh(-x2)|, 5e-6) + 6                 f2 = log max(|(-x1 + 3)/2 + tanh(-x2) + 2|, 5e-6) + 6
    q1 = ((-x1 + 7)² + (-x2 - 8)²/10)/10 - 20                         q2 = ((-x1 - 7)² + (-x2 - 8)²/10)/10 - 20
    c1 = max(tanh(x2/2), 0)                                           c2 = max(tanh(-x2/2), 0)

Formulas and starting points as in the authors' code (Cranial-XIX/CAGrad toy.py; AvivNavon/nash-mtl and Cranial-XIX/FAMO experiments/toy).
Both losses are negative on the front, so that methods which take logarithms of losses are undefined here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log, tanh
from typing import TYPE_CHECKING

from tasks.base import ProblemCard, derive
from tasks.known_front import EXTRA_METRICS, KnownFront, Pair, Pieces, distance, in_losses, objectives

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.gallery import Field, Trajectory

FLOOR = 5e-6
"""Where the logarithms are cut off."""


class TwoObjective(KnownFront):
    """The landscape with the first loss scaled by s. Seed i starts at ``starts[i]``; later seeds start uniformly in [-10, 10]²."""

    def __init__(self, name: str, scale: float, starts: tuple[Pair, ...], paper: str) -> None:
        self.scale = scale
        self.starts = starts
        self.card = ProblemCard(
            name=name,
            version=3,
            summary=f"descent in the plane to a known Pareto front, first loss scaled by {scale:g}, starts of {paper}",
            source="CAGrad (arXiv:2110.14048), Nash-MTL (arXiv:2202.01017) and FAMO (arXiv:2306.03792); written here from the formula",
            licence="MIT",
            tasks=objectives(f"{scale:g} (f1 c1 + q1 c2)", "f2 c1 + q2 c2"),
            extra_metrics=EXTRA_METRICS,
            requires=("moocore",),
            model="the two coordinates",
            steps=50_000,
            batch_size=1,
            learning_rate=1e-3,
        )

    def start(self, seed: int) -> Pair:
        if 0 <= seed < len(self.starts):
            return self.starts[seed]
        import numpy as np

        first, second = np.random.default_rng(derive(seed, self.card.name, "start")).uniform(-10, 10, 2).tolist()
        return first, second

    def losses(self, x: Sequence[float]) -> tuple[Pair, Pair, Pair]:
        x1, x2 = x
        return losses(x1, x2, self.scale)

    def front(self) -> Pieces:
        return (front(self.scale),)

    def parameters(self) -> tuple[object, ...]:
        return self.scale, self.starts, FLOOR

    def planes(self, path: NDArray[np.float64], title: str) -> list[Trajectory]:
        """In the plane of x over contours of L1/s + L2, to which both tasks contribute alike, and in that of the losses."""
        from tasks.gallery import Trajectory

        return [Trajectory(title, path, (pareto_set(),), ("x1", "x2"), _field()), in_losses(self, path, title)]


def losses(x1: float, x2: float, scale: float) -> tuple[Pair, Pair, Pair]:
    """``(L1, L2)`` and the gradients ``(dL1/dx1, dL1/dx2)``, ``(dL2/dx1, dL2/dx2)``.

    At a kink the gradient is that of the authors' code: ``torch.clamp`` passes its argument's gradient at the bound. On x2 = 0 both
    max(., 0) therefore have the slope of their argument, which decides how the published run from (0, 0) starts.
    """
    t, h = tanh(x2), tanh(0.5 * x2)
    slope_t, slope_h = 1 - t * t, 0.5 * (1 - h * h)

    a1 = 0.5 * (-x1 - 7) + t
    a2 = 0.5 * (-x1 + 3) - t + 2
    f1, f2 = log(max(abs(a1), FLOOR)) + 6, log(max(abs(a2), FLOOR)) + 6
    inverse1 = 1 / a1 if abs(a1) >= FLOOR else 0.0
    inverse2 = 1 / a2 if abs(a2) >= FLOOR else 0.0

    bowl = 0.01 * (x2 + 8) * (x2 + 8) - 20
    q1, q2 = 0.1 * (x1 - 7) * (x1 - 7) + bowl, 0.1 * (x1 + 7) * (x1 + 7) + bowl
    slope_bowl = 0.02 * (x2 + 8)

    c1, slope_c1 = (h, slope_h) if h >= 0 else (0.0, 0.0)
    c2, slope_c2 = (-h, -slope_h) if h <= 0 else (0.0, 0.0)

    value = scale * (f1 * c1 + q1 * c2), f2 * c1 + q2 * c2
    first = (
        scale * (-0.5 * inverse1 * c1 + 0.2 * (x1 - 7) * c2),
        scale * (slope_t * inverse1 * c1 + f1 * slope_c1 + slope_bowl * c2 + q1 * slope_c2),
    )
    second = (
        -0.5 * inverse2 * c1 + 0.2 * (x1 + 7) * c2,
        -slope_t * inverse2 * c1 + f2 * slope_c1 + slope_bowl * c2 + q2 * slope_c2,
    )
    return value, first, second


@lru_cache(maxsize=4)
def front(scale: float, points: int = 2001) -> NDArray[np.float64]:
    """The Pareto front as points ``[P, 2]`` of (L1, L2), from the minimum of L2 (x1 = -7) to the minimum of L1 (x1 = 7)."""
    import numpy as np

    x1, x2 = pareto_set(points).T
    bowl, c2 = 0.01 * (x2 + 8) ** 2 - 20, np.tanh(-0.5 * x2)
    curve = np.stack([scale * (0.1 * (x1 - 7) ** 2 + bowl) * c2, (0.1 * (x1 + 7) ** 2 + bowl) * c2], axis=1)
    curve.setflags(write=False)  # cached: every caller reads the same array
    return curve


@lru_cache(maxsize=4)
def pareto_set(points: int = 2001) -> NDArray[np.float64]:
    """The points ``[P, 2]`` of x that the front comes from, x1 from -7 to 7; they do not depend on the scale.

    The set lies in x2 < 0, where L_i = q_i c2 up to scale. For every x1 in [-7, 7] the gradients are opposed where their determinant
    vanishes::

        c2 (q1' q2_2 - q1_2 q2') + c2' (q1' q2 - q1 q2') = 0        (' by x1, _2 by x2; c2' by x2)

    whose left side changes sign once on x2 in [-12, -6]; it is found by bisection, all x1 at once.
    """
    import numpy as np

    x1 = np.linspace(-7, 7, points)
    low, high = np.full(points, -12.0), np.full(points, -6.0)
    for _ in range(60):
        x2 = (low + high) / 2
        positive = _determinant(x1, x2) > 0
        low, high = np.where(positive, x2, low), np.where(positive, high, x2)
    curve = np.stack([x1, (low + high) / 2], axis=1)
    curve.setflags(write=False)  # cached: every caller reads the same array
    return curve


def _determinant(x1: NDArray[np.float64], x2: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    c2 = np.tanh(-0.5 * x2)
    bowl, slope = 0.01 * (x2 + 8) ** 2 - 20, 0.02 * (x2 + 8)
    q1, q2, d1, d2 = 0.1 * (x1 - 7) ** 2 + bowl, 0.1 * (x1 + 7) ** 2 + bowl, 0.2 * (x1 - 7), 0.2 * (x1 + 7)
    determinant: NDArray[np.float64] = c2 * slope * (d1 - d2) - 0.5 * (1 - c2**2) * (d1 * q2 - q1 * d2)
    return determinant


def front_distance(point: Pair, scale: float) -> float:
    """Euclidean distance from (L1, L2) to the front (a polyline of 2,000 segments), in units of the losses."""
    return distance(point, (front(scale),))


@lru_cache(maxsize=1)
def _field(points: int = 161) -> Field:
    """L1/s + L2 on [-11, 11]², which holds every start."""
    import numpy as np

    from tasks.gallery import Field

    side = np.linspace(-11, 11, points)
    values = np.array([[sum(losses(x1, x2, 1.0)[0]) for x1 in side.tolist()] for x2 in side.tolist()])
    return Field(side, side, values)


PROBLEMS = (
    TwoObjective("two_objective", 0.1, ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0)), "Nash-MTL and FAMO"),
    TwoObjective("two_objective_cagrad", 1.0, ((-8.5, 7.5), (-8.5, -5.0), (9.0, 9.0)), "CAGrad"),
)
