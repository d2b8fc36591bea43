"""Two linear functions of the same eight numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks import Locations, Metric, ProblemCard, Task, derive
from tasks.inmemory import Arrays, SupervisedProblem, hash_arrays

if TYPE_CHECKING:
    from tasks.models import MultiTaskNet


class Line(SupervisedProblem):
    """y_t = a_t x with x ~ N(0, I) in R^8, the second ten times as large."""

    validation_rows = 40
    test_rows = 40
    outputs = (1, 1)
    card = ProblemCard(
        name="example_line",
        version=1,
        summary="two linear functions at different scales",
        source="generated",
        licence="MIT",
        tasks=tuple(Task(name, "regression", "squared error", (Metric("mse", low=0.0),)) for name in ("small", "large")),
        model="MLP 8-16, linear heads",
        rows=(120, 40, 40),
        steps=100,
        batch_size=20,
        learning_rate=3e-3,
    )

    def arrays(self, where: Locations) -> Arrays:
        import numpy as np

        draws = np.random.default_rng(derive(0, "example_line"))
        x = draws.normal(size=(200, 8)).astype(np.float32)
        slopes = draws.normal(size=(2, 8, 1)).astype(np.float32)
        return Arrays(x, (x @ slopes[0], 10 * (x @ slopes[1])))

    def fingerprint(self, where: Locations | None = None) -> str:
        return hash_arrays([self.arrays(where or Locations()).inputs])

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((8, 16), self.outputs)


PROBLEMS = (Line(),)
