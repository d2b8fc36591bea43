"""Classes and regressions: cross-entropy and squared error, accuracy and error, on standardised inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss
from torchmetrics.functional import mean_squared_error
from torchmetrics.functional.classification import multiclass_accuracy

from tasks.base import Evaluation, Kind
from tasks.inmemory import Arrays, SupervisedProblem
from tasks.memory import MemorySession, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOSSES: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = {"classification": cross_entropy, "regression": mse_loss}

_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": lambda outputs, labels: multiclass_accuracy(outputs, labels, outputs.shape[1], average="micro", validate_args=False),
    "mse": mean_squared_error,
    "rmse": lambda outputs, labels: mean_squared_error(outputs, labels, squared=False),
}
"""From all outputs and targets of a split at once: no accumulator is left over from another split or an earlier model."""


class SupervisedSession(MemorySession):
    """Inputs are standardised (per column, or per channel of an image) and label statistics taken on the training rows of this seed."""

    problem: SupervisedProblem

    def fit(self, arrays: Arrays, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        kinds = [task.kind for task in self.problem.card.tasks]
        self._criteria = [_LOSSES[kind] for kind in kinds]
        self._standardise = Standardiser(arrays.inputs[train])
        labels = [target[train] for target in arrays.targets]
        initial = tuple(initial_loss(*each) for each in zip(kinds, labels, self.problem.outputs, strict=True))
        return initial, tuple(prior_loss(*each) for each in zip(kinds, labels, strict=True))

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        return self._standardise(inputs)

    def criteria(self, outputs: Sequence[Tensor], rows: Rows) -> list[Tensor]:
        return [loss(*pair) for loss, *pair in zip(self._criteria, outputs, rows[1:], strict=True)]

    def meter(self) -> SupervisedMeter:
        return SupervisedMeter(self)


class SupervisedMeter:
    """Keeps all outputs of the split."""

    def __init__(self, session: SupervisedSession) -> None:
        self._session, self._chunks = session, list[tuple[Sequence[Tensor], Rows]]()

    def update(self, outputs: Sequence[Tensor], rows: Rows) -> None:
        self._chunks.append((outputs, rows))

    def compute(self) -> Evaluation:
        session, problem = self._session, self._session.problem
        outputs, rows = (_joined([chunk[side] for chunk in self._chunks]) for side in (0, 1))
        losses = tuple(torch.stack(session.criteria(outputs, tuple(rows))).tolist())
        metrics = {
            f"{task.name}/{metric.name}": float(_METRICS[metric.name](*pair))
            for task, *pair in zip(problem.card.tasks, outputs, rows[1:], strict=True)
            for metric in task.metrics
        }
        return Evaluation(losses, metrics | problem.whole(losses, session.initial_losses))


def _joined(chunks: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*chunks, strict=True)]


class Standardiser:
    """``(inputs - mean) / std`` with the constants of the training rows, over all dimensions but the second (columns or channels)."""

    def __init__(self, train: NDArray[Any]) -> None:
        axes = tuple(axis for axis in range(train.ndim) if axis != 1)
        std = train.std(axis=axes, keepdims=True, dtype=np.float64)
        self._mean = train.mean(axis=axes, keepdims=True, dtype=np.float64)
        self._scale = np.where(std > 0, std, 1)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = ((inputs - self._mean) / self._scale).astype(np.float32)
        return scaled


def initial_loss(kind: Kind, labels: NDArray[Any], outputs: int) -> float:
    """Loss of an all-zero output: log K for K logits, mean over all elements of y² for squared error."""
    return math.log(outputs) if kind == "classification" else float(np.mean(np.square(labels, dtype=np.float64)))


def prior_loss(kind: Kind, labels: NDArray[Any]) -> float:
    """Loss of the best constant output: entropy (nats) of the class frequencies; variance, averaged over the output columns."""
    if kind == "classification":
        frequencies = np.unique(labels, return_counts=True)[1] / len(labels)
        return float(-np.sum(frequencies * np.log(frequencies)))
    return float(np.mean(np.var(labels, axis=0, dtype=np.float64)))
