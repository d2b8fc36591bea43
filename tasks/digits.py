"""Handwritten digits: what was written, with how much ink, and how far it leans."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task
from tasks.inmemory import Arrays, SupervisedProblem
from tasks.locations import Locations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet


class Digits(SupervisedProblem):
    """1,797 scans of 8 x 8 pixels with 17 grey levels. Labels keep their units, so that raw losses differ by four orders of magnitude."""

    card = ProblemCard(
        name="digits",
        version=1,
        summary="8x8 handwritten digits: class, ink mass and slant; losses of 2.3, 387 and 0.016 for a zero output",
        source="UCI Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, 1998), test part, as shipped in scikit-learn",
        licence="CC BY 4.0",
        tasks=(
            Task("identity", "classification", "cross-entropy over 10 classes", (Metric("accuracy", True, 0.0, 1.0),)),
            Task("ink", "regression", "squared error of the ink mass in fully black pixels", (Metric("rmse", low=0.0),)),
            Task("slant", "regression", "squared error of the shear in pixels to the right a pixel up", (Metric("rmse", low=0.0),)),
        ),
        requires=("sklearn",),
        model="MLP 64-128-64, linear heads",
        rows=(1180, 257, 360),
        steps=2000,
        batch_size=64,
        learning_rate=1e-3,
    )
    outputs = (10, 1, 1)
    validation_rows = 257
    test_rows = 360

    def arrays(self, where: Locations) -> Arrays:
        self.require()
        return _load()

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((64, 128, 64), self.outputs)


@lru_cache(maxsize=1)
def _load() -> Arrays:
    import numpy as np
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = data.images / 16  # 0 (paper) .. 1 (ink)
    regression = tuple(label.astype(np.float32)[:, None] for label in (ink(grey), slant(grey)))
    return Arrays(grey[:, None].astype(np.float32), (data.target.astype(np.int64), *regression))


def ink(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the grey values in [0, 1] of images ``[N, H, W]``: the area in fully black pixels, ``[N]``."""
    area: NDArray[np.float64] = grey.sum(axis=(1, 2))
    return area


def slant(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shear of images ``[N, H, W]`` from their central moments, ``[N]``: mu11 / mu02 with x to the right and y up.

    It is the tangent of the angle to the vertical, positive where the digit leans to the right; no unit.
    """
    import numpy as np

    height, width = grey.shape[1:]
    y, x = np.mgrid[height - 1 : -1 : -1, 0:width]
    mass = grey / grey.sum(axis=(1, 2), keepdims=True)
    dx = x - (mass * x).sum(axis=(1, 2), keepdims=True)
    dy = y - (mass * y).sum(axis=(1, 2), keepdims=True)
    shear: NDArray[np.float64] = (mass * dx * dy).sum(axis=(1, 2)) / (mass * dy**2).sum(axis=(1, 2))
    return shear


PROBLEMS = (Digits(),)
