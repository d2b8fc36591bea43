"""Two distances from two points: problems of Van Veldhuizen and Lamont (SAC 1999), and Pareto MTL's toy (Lin et al., NeurIPS 2019).

With a = (1, ..., 1)/√n, whose length is 1:

    VLMOP1   L1 = ‖x - a‖²/4                L2 = ‖x + a‖²/4                front √L1 + √L2 = 1, convex
    VLMOP2   L1 = 1 - exp(-‖x - a‖²)        L2 = 1 - exp(-‖x + a‖²)        front √-log(1 - L1) + √-log(1 - L2) = 2, concave

The Pareto set of both is the segment x = t a, -1 ≤ t ≤ 1. VLMOP1 is divided by 4 so that its front ends at (0, 1) and (1, 0). A sum of
the two losses of VLMOP2 has no minimum in the middle of its front, whatever the weights: fixed weights only find the ends. Pareto MTL
takes n = 20 and starts nearer to the front.

The boxes that the problems are usually searched in ([-2, 2]^n and [-1, 1]^n) hold the Pareto set and the starts, and descent never
leaves them for good, so nothing has to keep x inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import ProblemCard, derive
from tasks.known_front import EXTRA_METRICS, KnownFront, Pair, Pieces, objectives

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class VLMOP(KnownFront):
    """``concave`` tells VLMOP2 from VLMOP1; seeds start uniformly in [-box, box]^n."""

    def __init__(self, name: str, concave: bool, size: int, box: float, summary: str, source: str) -> None:
        self.concave, self.size, self.box = concave, size, box
        formulas = ("1 - exp(-|x - a|²)", "1 - exp(-|x + a|²)") if concave else ("|x - a|²/4", "|x + a|²/4")
        self.card = ProblemCard(
            name=name,
            version=2,
            summary=summary,
            source=f"{source}; written here from the formula",
            licence="MIT",
            tasks=objectives(*formulas, low=0.0),
            extra_metrics=EXTRA_METRICS,
            requires=("moocore",),
            model=f"the {size} coordinates",
            steps=1000,
            batch_size=1,
            learning_rate=1e-2,
        )

    def start(self, seed: int) -> tuple[float, ...]:
        import numpy as np

        return tuple(np.random.default_rng(derive(seed, self.card.name, "start")).uniform(-self.box, self.box, self.size).tolist())

    def losses(self, x: Sequence[float]) -> tuple[Pair, Sequence[float], Sequence[float]]:
        import numpy as np

        point, a = np.array(x), 1 / np.sqrt(self.size)
        pairs = [self._distance(point - a), self._distance(point + a)]
        (first, first_gradient), (second, second_gradient) = pairs
        return (first, second), first_gradient, second_gradient

    def _distance(self, offset: NDArray[np.float64]) -> tuple[float, Sequence[float]]:
        """The loss at an offset ``[n]`` from its minimum, and its gradient."""
        import numpy as np

        square = float(offset @ offset)
        if not self.concave:
            return square / 4, (offset / 2).tolist()
        return float(-np.expm1(-square)), (2 * np.exp(-square) * offset).tolist()

    def front(self) -> Pieces:
        return _front(self.concave)

    def parameters(self) -> tuple[object, ...]:
        return (self.card.name, self.concave, self.size, self.box)


@lru_cache(maxsize=2)
def _front(concave: bool, points: int = 2001) -> Pieces:
    import numpy as np

    t = np.linspace(-1, 1, points)
    squares = np.stack([(t - 1) ** 2, (t + 1) ** 2], axis=1)
    curve = -np.expm1(-squares) if concave else squares / 4
    curve.setflags(write=False)  # cached: every caller reads the same array
    return (curve,)


_VAN_VELDHUIZEN = "D. Van Veldhuizen, G. Lamont, Multiobjective evolutionary algorithm test suites (SAC 1999)"

PROBLEMS = (
    VLMOP("vlmop1", False, 10, 2.0, "two squared distances in ten dimensions: a convex front", _VAN_VELDHUIZEN),
    VLMOP(
        "vlmop2",
        True,
        10,
        1.0,
        "two saturating distances in ten dimensions: a concave front, on which fixed weights end at the ends",
        _VAN_VELDHUIZEN,
    ),
    VLMOP(
        "pareto_mtl",
        True,
        20,
        0.5,
        "Pareto MTL's toy: VLMOP2 in twenty dimensions, from starts near the middle",
        "X. Lin et al., Pareto Multi-Task Learning (NeurIPS 2019, arXiv:1912.12854)",
    ),
)
