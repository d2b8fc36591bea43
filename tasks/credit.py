"""Credit card clients: who defaults, what they have learned, and how much they may borrow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.base import Metric, ProblemCard, Task
from tasks.csvproblem import CsvProblem
from tasks.hub import Cached, Source
from tasks.inmemory import Arrays, SupervisedProblem
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet

FILE = "default_of_credit.csv"
_STATUS = tuple(f"PAY_{month}" for month in (0, 2, 3, 4, 5, 6))  # the set's own numbering
_AMOUNTS = tuple(f"{kind}_AMT{month}" for kind in ("BILL", "PAY") for month in range(1, 7))


def _numbers(names: Sequence[str], low: float | None = None, high: float | None = None) -> tuple[Column, ...]:
    return tuple(Column(name=name, type="float", low=low, high=high) for name in names)


class Credit(CsvProblem, SupervisedProblem):
    """30,000 clients of a bank in Taiwan, 2005.

    Inputs are 22 columns: sex, marriage (married, single, other), age, the repayment status of six months (-2 no use .. 8 months behind),
    and six bills and six payments as sign(x) log(1 + abs(x)) of NT$, which span seven orders of magnitude. What is predicted is not among
    them.

    Codes outside the set's documentation: EDUCATION 0, 5 and 6 (345 clients) count as 4, others; MARRIAGE 0 (54) counts as 3, others; the
    repayment status -2 and 0 (no use, revolving credit) are kept on its scale.
    """

    card = ProblemCard(
        name="credit",
        version=1,
        summary="30,000 credit card clients: default next month, education, and the limit in thousands of NT$; limits weigh 45,000 to 1",
        source="UCI Default of Credit Card Clients (I-C. Yeh, 2009); no faithful hub copy is known, so from its CSV file",
        licence="CC BY 4.0",
        tasks=(
            Task("default", "classification", "binary cross-entropy", (Metric("accuracy", True, 0.0, 1.0), Metric("f1", True, 0.0, 1.0))),
            Task(
                "education",
                "classification",
                "cross-entropy over graduate school, university, high school, others",
                (Metric("accuracy", True, 0.0, 1.0), Metric("f1", True, 0.0, 1.0)),
            ),
            Task("limit", "regression", "squared error of the credit limit in thousands of NT$ (10 to 1,000)", (Metric("rmse", low=0.0),)),
        ),
        model="perceptron 23-128-64, one linear head a task",
        rows=(21_000, 3_000, 6_000),
        steps=2000,
        batch_size=256,
        learning_rate=1e-3,
    )
    source = Source(
        hub=None,
        columns=(
            Column(name="LIMIT_BAL", type="float", low=1),
            Column(name="SEX", type="integer", low=1, high=2),
            Column(name="EDUCATION", type="integer", low=0, high=6),
            Column(name="MARRIAGE", type="integer", low=0, high=3),
            Column(name="AGE", type="float", low=18, high=120),
            *_numbers(_STATUS, -2, 9),
            *_numbers(_AMOUNTS),
            Column(name="default.payment.next.month", type="integer", low=0, high=1, aliases=("default payment next month",)),
        ),
        layout=FILE,
        rows=30_000,
        size=2_900_000,
        batch=4096,
    )
    outputs = (1, 4, 1)
    validation_rows = 3000
    test_rows = 6000

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        import numpy as np

        marriage = np.where(rows["MARRIAGE"] == 0, 3, rows["MARRIAGE"])
        education = np.where(np.isin(rows["EDUCATION"], (0, 5, 6)), 4, rows["EDUCATION"])
        amounts = [np.sign(rows[name]) * np.log1p(np.abs(rows[name])) for name in _AMOUNTS]
        columns = [rows["SEX"] == 2, *(marriage == code for code in (1, 2, 3)), rows["AGE"], *(rows[name] for name in _STATUS), *amounts]
        return {
            "inputs": np.stack(columns, axis=1).astype(np.float32),
            "default": rows["default.payment.next.month"].astype(np.int64),
            "education": (education - 1).astype(np.int64),
            "limit": (rows["LIMIT_BAL"] / 1000).astype(np.float32)[:, None],
        }

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["inputs"], tuple(cached[task.name] for task in self.card.tasks))

    def network(self) -> MultiTaskNet:
        from tasks.models import mlp

        return mlp((23, 128, 64), self.outputs)


PROBLEMS = (Credit(),)
