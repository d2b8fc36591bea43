"""Classes and regressions: cross-entropy and squared error, accuracy and error, on standardised inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torchmetrics.functional import mean_absolute_error, mean_squared_error
from torchmetrics.functional.classification import binary_accuracy, binary_f1_score, multiclass_accuracy, multiclass_f1_score

from tasks.base import Evaluation, Kind, Split, Task
from tasks.gallery import Confusion, Panel, Picture, Scatter, in_rows
from tasks.inmemory import Arrays, SupervisedProblem
from tasks.memory import MemorySession, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def classification_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over K classes for outputs ``[B, K]``; of two classes under one logit for ``[B, 1]``."""
    if outputs.shape[1] > 1:
        return cross_entropy(outputs, labels)
    return binary_cross_entropy_with_logits(outputs[:, 0], labels.to(outputs.dtype))


def accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Share of rows whose likeliest class is the true one."""
    if outputs.shape[1] > 1:
        return multiclass_accuracy(outputs, labels, outputs.shape[1], average="micro", validate_args=False)
    return binary_accuracy((outputs[:, 0] > 0).long(), labels, validate_args=False)


def f1(outputs: Tensor, labels: Tensor) -> Tensor:
    """F1 of the second of two classes under one logit; its mean over the classes that occur for K logits."""
    if outputs.shape[1] > 1:
        return multiclass_f1_score(outputs, labels, outputs.shape[1], average="macro", validate_args=False)
    return binary_f1_score((outputs[:, 0] > 0).long(), labels, validate_args=False)


_LOSSES: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = {"classification": classification_loss, "regression": mse_loss}

_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": accuracy,
    "f1": f1,
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
    "rmse": lambda outputs, labels: mean_squared_error(outputs, labels, squared=False),
}
"""From all outputs and targets of a split at once: no accumulator is left over from another split or an earlier model."""


CAPTIONED = 6
"""Tasks that the caption of a picture tells of."""


class Standard(Protocol):
    """Makes network inputs of stored ones, and pictures of network inputs."""

    def __call__(self, inputs: NDArray[Any], /) -> NDArray[np.float32]: ...

    def undo(self, scaled: NDArray[Any], /) -> NDArray[np.float64]: ...


class SupervisedSession(MemorySession):
    """Inputs are standardised (per column, or per channel of an image) and label statistics taken on the training rows of this seed."""

    problem: SupervisedProblem

    def fit(self, arrays: Arrays, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        kinds = [task.kind for task in self.problem.card.tasks]
        self.losses_of = [_LOSSES[kind] for kind in kinds]
        self._standardise = self.standardiser(arrays.inputs, train)
        labels = [target[train] for target in arrays.targets]
        initial = tuple(initial_loss(*each) for each in zip(kinds, labels, self.problem.outputs, strict=True))
        return initial, tuple(prior_loss(*each) for each in zip(kinds, labels, strict=True))

    def standardiser(self, inputs: NDArray[Any], train: NDArray[np.int64]) -> Standard:
        """What makes network inputs of stored ones, learned from the training rows."""
        return Standardiser(inputs[train])

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        return self._standardise(inputs)

    def criteria(self, outputs: Sequence[Tensor], rows: Rows) -> list[Tensor]:
        return [loss(*pair) for loss, *pair in zip(self.losses_of, outputs, rows[1:], strict=True)]

    def meter(self) -> SupervisedMeter:
        return SupervisedMeter(self)

    def gallery(self, split: Split, examples: int) -> list[list[Panel]]:
        """Images, where inputs are images, with what was wanted and what was said; then a confusion or a scatter a task."""
        meter, cards, first = self.meter(), self.problem.card.tasks, list[Tensor]()
        self.visit(split, meter.update)
        self.visit(split, lambda _, rows: first.append(rows[0]), examples)
        outputs, targets = ([tensor.cpu().numpy() for tensor in side] for side in meter.gathered())
        said = [decided(o) if card.kind == "classification" else o for card, o in zip(cards, outputs, strict=True)]
        rows: list[list[Panel]] = []
        if first and first[0].ndim == 4 and first[0].shape[1] in (1, 3):
            pixels = np.clip(self._standardise.undo(torch.cat(first).cpu().numpy()), 0, 1).transpose(0, 2, 3, 1)
            told = list(zip(cards, targets, said, strict=True))[:CAPTIONED]
            captions = ["\n".join(f"{card.name} {_value(t[i])}, said {_value(s[i])}" for card, t, s in told) for i in range(len(pixels))]
            rows.append([_picture(*each) for each in zip(captions, pixels, strict=True)])
        panels = [_summary(*each) for each in zip(cards, outputs, targets, said, strict=True)]
        return [*rows, *in_rows(panels)]


class SupervisedMeter:
    """Keeps all outputs and targets of the split, and no input: those may be more than fits."""

    def __init__(self, session: SupervisedSession) -> None:
        self._session, self._chunks = session, list[tuple[Sequence[Tensor], Sequence[Tensor]]]()

    def update(self, outputs: Sequence[Tensor], rows: Rows) -> None:
        self._chunks.append((outputs, rows[1:]))

    def compute(self) -> Evaluation:
        session, problem = self._session, self._session.problem
        outputs, targets = self.gathered()
        losses = tuple(torch.stack([loss(*pair) for loss, *pair in zip(session.losses_of, outputs, targets, strict=True)]).tolist())
        metrics = {
            f"{task.name}/{metric.name}": float(_METRICS[metric.name](*pair))
            for task, *pair in zip(problem.card.tasks, outputs, targets, strict=True)
            for metric in task.metrics
        }
        return Evaluation(losses, metrics | problem.whole(losses, session.initial_losses))

    def gathered(self) -> tuple[list[Tensor], list[Tensor]]:
        """All outputs and all targets, one tensor a task."""
        outputs, targets = (_joined([chunk[side] for chunk in self._chunks]) for side in (0, 1))
        return outputs, targets


def _joined(chunks: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*chunks, strict=True)]


class Standardiser:
    """``(inputs - mean) / std`` with the constants of the training rows, over all dimensions but the second (columns or channels)."""

    def __init__(self, train: NDArray[Any]) -> None:
        axes = tuple(axis for axis in range(train.ndim) if axis != 1)
        std = train.std(axis=axes, keepdims=True, dtype=np.float64)
        self._mean = train.mean(axis=axes, keepdims=True, dtype=np.float64)
        self._scale = np.where(std > 0, std, 1)
        self._white = max(1.0, float(train.max())) if train.ndim == 4 else 1.0

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = ((inputs - self._mean) / self._scale).astype(np.float32)
        return scaled

    def undo(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """The inputs as they were, to the rounding of float32; of images in levels of grey above 1, their share of the highest."""
        inputs: NDArray[np.float64] = (scaled * self._scale + self._mean) / self._white
        return inputs


def _picture(caption: str, pixels: NDArray[np.float64]) -> Panel:
    return Picture(caption, pixels[..., 0], "grey", span=(0, 1)) if pixels.shape[-1] == 1 else Picture(caption, pixels)


def decided(outputs: NDArray[Any]) -> NDArray[np.int64]:
    """The likeliest classes, ``[N]``."""
    classes: NDArray[np.int64] = outputs.argmax(1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(np.int64)
    return classes


def _value(value: NDArray[Any]) -> str:
    """A class, or the columns of a regression."""
    return ", ".join(f"{number:.3g}" for number in np.atleast_1d(value))


def _summary(task: Task, output: NDArray[Any], target: NDArray[Any], said: NDArray[Any]) -> Panel:
    if task.kind == "classification":
        classes = max(output.shape[1], 2)
        counts = np.bincount(target * classes + said, minlength=classes * classes)
        return Confusion(task.name, counts.reshape(classes, classes).astype(np.int64))
    return Scatter(task.name, target.ravel(), said.ravel())


def initial_loss(kind: Kind, labels: NDArray[Any], outputs: int) -> float:
    """Loss of an all-zero output: log K for K logits, log 2 for one, mean over all elements of y² for squared error."""
    return math.log(max(outputs, 2)) if kind == "classification" else float(np.mean(np.square(labels, dtype=np.float64)))


def prior_loss(kind: Kind, labels: NDArray[Any]) -> float:
    """Loss of the best constant output: entropy (nats) of the class frequencies; variance, averaged over the output columns."""
    if kind == "classification":
        frequencies = np.unique(labels, return_counts=True)[1] / len(labels)
        return float(-np.sum(frequencies * np.log(frequencies)))
    return float(np.mean(np.var(labels, axis=0, dtype=np.float64)))
