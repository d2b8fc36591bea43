"""Chemical analysis of wines: the cultivar, and two of the measurements from the other eleven."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task
from tasks.inmemory import Arrays, SupervisedProblem
from tasks.locations import Locations

if TYPE_CHECKING:
    from tasks.models import MultiTaskNet


class Wine(SupervisedProblem):
    """178 wines of three cultivars. The smallest real problem: it is noisy, and a run takes under a second."""

    card = ProblemCard(
        name="wine",
        version=1,
        summary="178 wines: cultivar, colour intensity and hue from eleven measurements",
        source="UCI Wine (S. Aeberhard, M. Forina, 1992), as shipped in scikit-learn",
        licence="CC BY 4.0",
        tasks=(
            Task("cultivar", "classification", "cross-entropy over 3 classes", (Metric("accuracy", True, 0.0, 1.0),)),
            Task(
                "color_intensity", "regression", "squared error of the colour intensity (absorbance, 1.3 to 13)", (Metric("rmse", low=0.0),)
            ),
            Task("hue", "regression", "squared error of the hue (ratio of absorbances, 0.5 to 1.7)", (Metric("rmse", low=0.0),)),
        ),
        requires=("sklearn",),
        model="MLP 11-32-32, linear heads",
        rows=(84, 40, 54),
        steps=200,
        batch_size=32,
        learning_rate=1e-3,
    )
    outputs = (3, 1, 1)
    validation_rows = 40
    test_rows = 54

    def arrays(self, where: Locations) -> Arrays:
        self.require()
        return _load()

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((11, 32, 32), self.outputs)


@lru_cache(maxsize=1)
def _load() -> Arrays:
    import numpy as np
    from sklearn.datasets import load_wine

    data = load_wine()
    columns = list(data.feature_names)
    labels = [columns.index("color_intensity"), columns.index("hue")]
    measurements = data.data.astype(np.float32)
    inputs = np.delete(measurements, labels, axis=1)
    return Arrays(inputs, (data.target.astype(np.int64), *(measurements[:, [column]] for column in labels)))


PROBLEMS = (Wine(),)
