"""Two handwritten digits on top of each other: which is left, which is right, and how much ink of one lies under the other.

After MultiMNIST (Sabour et al., NeurIPS 2017; Sener & Koltun, NeurIPS 2018), with the 8 x 8 digits that ship in scikit-learn.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task, derive
from tasks.inmemory import Arrays, Indices, SupervisedProblem, split
from tasks.locations import Locations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet

SIDE = 8
"""Pixels of a scan."""
HEIGHT, WIDTH = 10, 14
"""Pixels of the canvas."""
GROUPS, PAIRS = 36, 300
"""The scans are dealt into so many groups, and in every group so many pairs are drawn."""


class MultiDigits(SupervisedProblem):
    """10,800 pairs of the 1,797 scans. A pair is of two scans of one group, and a group lies in one split: so does every scan."""

    card = ProblemCard(
        name="multidigits",
        version=1,
        summary="two overlapping handwritten digits: the left, the right and the ink that is hidden; losses of 2.3, 2.3 and 2,069",
        source="made here from UCI Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, 1998), test part, as shipped in "
        "scikit-learn; the construction is that of MultiMNIST",
        licence="CC BY 4.0",
        tasks=(
            Task("left", "classification", "cross-entropy over 10 classes", (Metric("accuracy", True, 0.0, 1.0),)),
            Task("right", "classification", "cross-entropy over 10 classes", (Metric("accuracy", True, 0.0, 1.0),)),
            Task("hidden", "regression", "squared error of the hidden ink in grey levels of 1/16", (Metric("rmse", low=0.0),)),
        ),
        requires=("sklearn",),
        model="MLP 140-128-64, linear heads",
        rows=(24 * PAIRS, 5 * PAIRS, 7 * PAIRS),
        steps=2000,
        batch_size=64,
        learning_rate=1e-3,
    )
    outputs = (10, 10, 1)
    validation_rows = 5 * PAIRS
    test_rows = 7 * PAIRS

    def arrays(self, where: Locations) -> Arrays:
        self.require()
        return _load()

    def indices(self, rows: int, seed: int) -> Indices:
        """Whole groups: rows of one group lie together."""
        import numpy as np

        groups = split(self.card, GROUPS, self.validation_rows // PAIRS, self.test_rows // PAIRS, seed)
        rows_of = np.arange(rows).reshape(GROUPS, PAIRS)
        return Indices(rows_of[groups.train].ravel(), rows_of[groups.validation].ravel(), rows_of[groups.test].ravel())

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((HEIGHT * WIDTH, 128, 64), self.outputs)


def pairs(scans: int) -> NDArray[np.int64]:
    """The numbers of the left and the right scan of every pair, ``[GROUPS * PAIRS, 2]``, group by group; no scan is paired with itself."""
    import numpy as np

    draws = np.random.default_rng(derive(MultiDigits.card.version, MultiDigits.card.name, "pairs"))
    drawn = []
    for group in np.array_split(draws.permutation(scans), GROUPS):
        left = draws.integers(len(group), size=PAIRS)
        right = (left + draws.integers(1, len(group), size=PAIRS)) % len(group)
        drawn.append(group[np.stack([left, right], axis=1)])
    return np.concatenate(drawn)


def overlay(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Canvases ``[N, HEIGHT, WIDTH]`` of scans ``[N, SIDE, SIDE]`` and the ink that they hide ``[N]``.

    Where both have ink the darker one is seen; the hidden ink is the sum of the lighter one. The left scan begins in columns 0 to 2, the
    right one 3 or 4 columns further; each begins in rows 0 to 2 of its own.
    """
    import numpy as np

    count = len(left)
    draws = np.random.default_rng(derive(MultiDigits.card.version, MultiDigits.card.name, "places"))
    column = draws.integers(0, 3, size=count)
    layers = np.zeros((2, count, HEIGHT, WIDTH), dtype=np.uint8)
    for layer, scans, start in zip(layers, (left, right), (column, column + draws.integers(3, 5, size=count)), strict=True):
        row = draws.integers(0, HEIGHT - SIDE + 1, size=count)
        y, x = row[:, None, None] + np.arange(SIDE)[:, None], start[:, None, None] + np.arange(SIDE)
        layer[np.arange(count)[:, None, None], y, x] = scans
    return layers.max(axis=0), layers.min(axis=0).sum(axis=(1, 2), dtype=np.int64)


@lru_cache(maxsize=1)
def _load() -> Arrays:
    import numpy as np
    from sklearn.datasets import load_digits

    data = load_digits()
    left, right = pairs(len(data.images)).T
    scans = data.images.astype(np.uint8)
    canvas, hidden = overlay(scans[left], scans[right])
    classes = data.target.astype(np.int64)
    return Arrays(canvas[:, None], (classes[left], classes[right], hidden.astype(np.float32)[:, None]))


PROBLEMS = (MultiDigits(),)
