"""Diabetes patients: how the disease will progress, their sex and their cholesterol ratio, from eight measurements at the beginning."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task
from tasks.inmemory import Arrays, SupervisedProblem
from tasks.locations import Locations

if TYPE_CHECKING:
    from tasks.models import MultiTaskNet


class Diabetes(SupervisedProblem):
    """442 patients. Labels keep their units, so that the loss of the progression is thousands of times the others.

    Sex and cholesterol ratio are columns of the data and no inputs here; the table has the sex as 1 and 2 without saying which is which.
    With progression and sex alone equal weights do as well as one network a task: nine measurements tell the sex in 70 % of the cases, and
    what the progression needs of them is enough for that. The ratio can be had from two inputs, but only by a trunk that works for it.
    """

    card = ProblemCard(
        name="diabetes",
        version=1,
        summary="442 diabetes patients: progression, sex and cholesterol ratio; losses of 27,000, 0.69 and 18 for a zero output",
        source="Least Angle Regression (B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, 2004), as shipped in scikit-learn",
        licence="none stated by its authors; scikit-learn distributes it under BSD-3-Clause",
        tasks=(
            Task(
                "progression",
                "regression",
                "squared error of the progression after a year (25 to 346, no unit)",
                (Metric("rmse", low=0.0),),
            ),
            Task("sex", "classification", "cross-entropy over 2 classes", (Metric("accuracy", True, 0.0, 1.0),)),
            Task(
                "cholesterol", "regression", "squared error of total over HDL cholesterol (2 to 9.1, a ratio)", (Metric("rmse", low=0.0),)
            ),
        ),
        requires=("sklearn",),
        model="MLP 8-32-32, linear heads",
        rows=(242, 80, 120),
        steps=1000,
        batch_size=32,
        learning_rate=5e-3,
    )
    outputs = (1, 2, 1)
    validation_rows = 80
    test_rows = 120

    def arrays(self, where: Locations) -> Arrays:
        self.require()
        return _load()

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((8, 32, 32), self.outputs)


@lru_cache(maxsize=1)
def _load() -> Arrays:
    import numpy as np
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    sex, ratio = (list(data.feature_names).index(name) for name in ("sex", "s4"))
    regressions = (data.target, data.data[:, ratio])
    progression, cholesterol = (column.astype(np.float32)[:, None] for column in regressions)
    inputs = np.delete(data.data, [sex, ratio], axis=1).astype(np.float32)
    return Arrays(inputs, (progression, data.data[:, sex].astype(np.int64) - 1, cholesterol))


PROBLEMS = (Diabetes(),)
