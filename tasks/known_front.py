"""Two functions of a point, without data or noise, whose best trade-offs are known: how far from them did a run end?

The Pareto front is the set of losses (L1, L2) where neither can fall without the other rising. It is given as ``pieces``: polylines
``[P, 2]``, one unless the front is broken.
"""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.base import Metric, Problem, Task
from tasks.locations import Locations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tasks.base import Session
    from tasks.gallery import Trajectory

Pair = tuple[float, float]
Pieces = tuple["NDArray[np.float64]", ...]

EXTRA_METRICS = (Metric("front_distance", low=0.0, compared=False), Metric("hypervolume", True, 0.0, 1.0, compared=False))
MARGIN = 0.1
"""The reference point lies so far beyond the worst corner of the front, in units of the front's extent."""


class KnownFront(Problem):
    """A point x in R^n descends L1 and L2: validation and test are the functions themselves, and every step sees the same."""

    @abstractmethod
    def start(self, seed: int) -> tuple[float, ...]:
        """x ``[n]`` before the first step."""

    @abstractmethod
    def losses(self, x: Sequence[float]) -> tuple[Pair, Sequence[float], Sequence[float]]:
        """(L1, L2), and the gradients of L1 and of L2 by x ``[n]``, in double precision."""

    @abstractmethod
    def front(self) -> Pieces:
        """The Pareto front."""

    def parameters(self) -> tuple[object, ...]:
        """What decides the functions and the starts, for the fingerprint; by default the problem's name says it all."""
        return (self.card.name,)

    def planes(self, path: NDArray[np.float64], title: str) -> list[Trajectory]:
        """Pictures of a way ``[S, n]`` through the parameters; by default in the plane of the losses."""
        return [in_losses(self, path, title)]

    def fingerprint(self, where: Locations | None = None) -> str:
        return hashlib.blake2b(repr(self.parameters()).encode(), digest_size=10).hexdigest()

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.landscape import LandscapeSession

        self.require()
        return LandscapeSession(self, seed, device)


def objectives(first: str, second: str, low: float = -math.inf) -> tuple[Task, Task]:
    """The two tasks by their formulas, of which neither can fall below ``low``.

    What is compared is how much of its best a task attained: a relative change of the loss itself means nothing where the best is 0.
    """
    metrics = (Metric("attained", True), Metric("loss", low=low, compared=False))
    return Task("first", "objective", first, metrics), Task("second", "objective", second, metrics)


def in_losses(problem: KnownFront, path: NDArray[np.float64], title: str) -> Trajectory:
    """The way of the losses along a path ``[S, n]``."""
    import numpy as np

    from tasks.gallery import Trajectory

    return Trajectory(title, np.array([problem.losses(x)[0] for x in path.tolist()]), problem.front(), ("L1", "L2"), objectives=True)


def distance(point: Pair, pieces: Pieces) -> float:
    """Euclidean distance from (L1, L2) to the nearest piece, in units of the losses."""
    import numpy as np

    nearest = []
    for curve in pieces:
        start, along = curve[:-1], np.diff(curve, axis=0)
        offset = np.asarray(point) - start
        share = np.clip((offset * along).sum(1) / (along * along).sum(1), 0, 1)
        nearest.append(float(np.sqrt(((offset - share[:, None] * along) ** 2).sum(1).min())))
    return float(np.min(nearest))


def attained(point: Pair, pieces: Pieces) -> Pair:
    """Each loss as a share of its way along the front: 1 is its best value there, 0 its worst, less is off the front."""
    import numpy as np

    front = np.concatenate(pieces)
    worst, best = front.max(0), front.min(0)
    first, second = ((worst - np.asarray(point)) / (worst - best)).tolist()
    return first, second


def reference(pieces: Pieces) -> Pair:
    """The reference point: the worst value of either loss on the front, and a tenth of that loss's extent beyond."""
    import numpy as np

    front = np.concatenate(pieces)
    worst, best = front.max(0), front.min(0)
    first, second = (worst + MARGIN * (worst - best)).tolist()
    return first, second


def hypervolume(points: ArrayLike, pieces: Pieces) -> float:
    """Share, 0 to 1, of the area that the front dominates which is dominated by points ``[N, 2]`` of (L1, L2); nan if one is not finite.

    Both areas end at the :func:`reference` point. A single point, however good, dominates but a rectangle: the ends of several runs, one a
    seed, together come closer to 1.
    """
    import moocore
    import numpy as np

    given = np.asarray(points, dtype=np.float64)
    if not np.isfinite(given).all():
        return float("nan")
    corner = reference(pieces)
    return float(moocore.hypervolume(given, ref=corner) / moocore.hypervolume(np.concatenate(pieces), ref=corner))
