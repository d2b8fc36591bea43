"""American adults of 1994: who earns more than 50,000 dollars, who never married, and how long they work."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tasks.base import Metric, ProblemCard, Task
from tasks.csvproblem import CsvProblem
from tasks.hub import Cached, Source
from tasks.inmemory import Arrays, SupervisedProblem
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet

FILE = "adult.csv"
MISSING = "?"
WORK = (
    "Federal-gov", "Local-gov", "Never-worked", "Private", "Self-emp-inc", "Self-emp-not-inc", "State-gov", "Without-pay", MISSING,
)  # fmt: skip
OCCUPATIONS = (
    "Adm-clerical", "Armed-Forces", "Craft-repair", "Exec-managerial", "Farming-fishing", "Handlers-cleaners", "Machine-op-inspct",
    "Other-service", "Priv-house-serv", "Prof-specialty", "Protective-serv", "Sales", "Tech-support", "Transport-moving", MISSING,
)  # fmt: skip
RACES = ("Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White")
MARITAL = (
    "Divorced", "Married-AF-spouse", "Married-civ-spouse", "Married-spouse-absent", "Never-married", "Separated", "Widowed",
)  # fmt: skip
_F1 = (Metric("accuracy", True, 0.0, 1.0), Metric("f1", True, 0.0, 1.0))


class Adult(CsvProblem, SupervisedProblem):
    """32,561 people of the census, its training part.

    Inputs are 37 columns: age and years of education; capital gains and losses as log(1 + dollars); sex; work class, occupation, race and
    country (United States, another, not said) one-hot, where '?' (not said) is a class of its own. Left out are the sampling weight
    (fnlwgt), education in words, which says the years again, and relationship, which all but says who is married.
    """

    card = ProblemCard(
        name="adult",
        version=1,
        summary="32,561 census records: income above 50,000 dollars, never married, and hours of work a week",
        source="UCI Adult (B. Becker, R. Kohavi, 1996), scikit-learn/adult-census-income",
        licence="CC BY 4.0",
        tasks=(
            Task("income", "classification", "binary cross-entropy", _F1),
            Task("never_married", "classification", "binary cross-entropy", _F1),
            Task("hours", "regression", "squared error of the hours of work a week (1 to 99)", (Metric("rmse", low=0.0),)),
        ),
        model="perceptron 37-128-64, one linear head a task",
        rows=(22_793, 3_256, 6_512),
        steps=2000,
        batch_size=256,
        learning_rate=1e-3,
    )
    source = Source(
        hub="scikit-learn/adult-census-income",
        columns=(
            Column(name="age", type="float", low=0, high=120),
            Column(name="workclass", type="text", choices=WORK),
            Column(name="education.num", type="float", low=1, high=16),
            Column(name="marital.status", type="text", choices=MARITAL),
            Column(name="occupation", type="text", choices=OCCUPATIONS),
            Column(name="race", type="text", choices=RACES),
            Column(name="sex", type="text", choices=("Female", "Male")),
            Column(name="capital.gain", type="float", low=0),
            Column(name="capital.loss", type="float", low=0),
            Column(name="hours.per.week", type="float", low=1, high=99),
            Column(name="native.country", type="text"),
            Column(name="income", type="text", choices=("<=50K", ">50K")),
        ),
        files=(FILE,),
        layout=FILE,
        rows=32_561,
        size=4_100_000,
        batch=4096,
    )
    outputs = (1, 1, 1)
    validation_rows = 3256
    test_rows = 6512

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        import numpy as np

        words = {name: np.array(rows[name]) for name in ("workclass", "occupation", "race", "native.country")}
        country = words["native.country"]
        numbers = [rows["age"], rows["education.num"], np.log1p(rows["capital.gain"]), np.log1p(rows["capital.loss"])]
        one_hot = [
            words[name] == word for name, known in (("workclass", WORK), ("occupation", OCCUPATIONS), ("race", RACES)) for word in known
        ]
        home = [country == "United-States", (country != "United-States") & (country != MISSING), country == MISSING]
        columns = [*numbers, np.array(rows["sex"]) == "Female", *one_hot, *home]
        return {
            "inputs": np.stack(columns, axis=1).astype(np.float32),
            "income": (np.array(rows["income"]) == ">50K").astype(np.int64),
            "never_married": (np.array(rows["marital.status"]) == "Never-married").astype(np.int64),
            "hours": rows["hours.per.week"].astype(np.float32)[:, None],
        }

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["inputs"], tuple(cached[task.name] for task in self.card.tasks))

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((37, 128, 64), self.outputs)


PROBLEMS = (Adult(),)
