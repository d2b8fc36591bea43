"""What is asked of every pixel: a class, a depth, a surface normal; losses, metrics and constants, blind where labels are missing.

Let p be the prediction, g the target, and N the number of valid pixels of everything that is looked at together.

    segmentation    sum of -log softmax(p)_g / N          valid: g != -1
    depth           sum of |p - g| / N                    valid: g != 0
    normals         1 - sum of p·g / (|p| N)              valid: g is not the zero vector

Without one valid pixel each of them is 0, with a graph whose gradients are 0. Metrics are pooled over all valid pixels of a split. Sums are
taken image by image, in float64, so that they do not depend on how many images are looked at together.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from torchmetrics.functional.classification import multiclass_confusion_matrix

from tasks.base import Evaluation
from tasks.errors import TaskError
from tasks.gallery import Panel, Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.memory import Rows

BINS_A_DEGREE = 100
"""Angles are counted in bins of 0.01 degrees: the median is off by at most half of that, whatever the number of pixels."""


class Tally(ABC):
    """Gathers one task's outputs over a split."""

    @abstractmethod
    def update(self, output: Tensor, target: Tensor) -> None:
        """Adds outputs ``[B, C, H, W]`` and their targets."""

    @abstractmethod
    def compute(self) -> tuple[float, dict[str, float]]:
        """The loss and the metrics over everything that was added; nan without one valid pixel."""


class DenseTask(ABC):
    """One thing that is asked of every pixel.

    Attributes:
        channels: outputs a pixel.
        mode: how targets are interpolated where an image is enlarged.
    """

    channels: int
    mode: Literal["nearest", "bilinear"] = "nearest"

    def zoom(self, stored: Tensor, scale: float) -> Tensor:
        """Stored targets of an image that was enlarged ``scale`` times."""
        return stored

    def mirror(self, stored: Tensor) -> Tensor:
        """Stored targets ``[B, ..., W]``, already reversed along x, of an image that was."""
        return stored

    @abstractmethod
    def decode(self, stored: Tensor) -> Tensor:
        """Targets in their natural units, from targets as they are stored ``[B, ...]``."""

    @abstractmethod
    def valid(self, target: Tensor) -> Tensor:
        """Where there is a label, ``[B, H, W]`` or ``[B, 1, H, W]``, of decoded targets."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The scalar loss of a batch from outputs ``[B, C, H, W]`` and decoded targets."""

    @abstractmethod
    def tally(self) -> Tally:
        """An empty one."""

    @abstractmethod
    def pictures(self, name: str, output: Tensor, target: Tensor) -> list[Panel]:
        """One image's target and prediction, drawn alike, from ``[1, C, H, W]`` and its decoded target."""

    @abstractmethod
    def constants(self, stored: NDArray[Any], rows: NDArray[np.int64]) -> tuple[float, float]:
        """Loss of an all-zero output and of the best constant output on these rows; nan without one valid pixel."""


def share(values: Tensor, valid: Tensor) -> Tensor:
    """Sum of ``values`` (0 where not valid) over the number of valid pixels; 0 where there is none."""
    return values.sum() / valid.sum().clamp(min=1)


def _sums(values: Tensor) -> Tensor:
    """Image by image, ``[B]``."""
    return values.flatten(1).sum(1, dtype=torch.float64).cpu()


def _ratio(sums: Sequence[Tensor], counts: Sequence[Tensor]) -> float:
    number = int(torch.cat(list(counts)).sum())
    return float(torch.cat(list(sums)).sum()) / number if number else math.nan


def _pieces(stored: NDArray[Any], rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows in pieces of some 64 MiB, for statistics of a data set that is larger than memory."""
    size = max(1, 2**26 // max(1, stored[:1].nbytes))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


# --- classes ------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Segmentation(DenseTask):
    """One of ``classes`` classes; stored as an integer ``[B, H, W]``, -1 where unlabelled."""

    classes: int

    @property
    def channels(self) -> int:  # type: ignore[override]
        return self.classes

    def decode(self, stored: Tensor) -> Tensor:
        return stored.long()

    def valid(self, target: Tensor) -> Tensor:
        return target != -1

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return share(cross_entropy(output, target, ignore_index=-1, reduction="sum"), self.valid(target))

    def tally(self) -> Tally:
        return _SegmentationTally(self)

    def pictures(self, name: str, output: Tensor, target: Tensor) -> list[Panel]:
        span = (0, self.classes - 1)
        return [
            Picture(name, target[0].cpu().numpy(), "classes", span),
            Picture(f"{name}, said", output[0].argmax(0).cpu().numpy(), "classes", span),
        ]

    def constants(self, stored: NDArray[Any], rows: NDArray[np.int64]) -> tuple[float, float]:
        counts = np.zeros(self.classes + 1, dtype=np.int64)
        for piece in _pieces(stored, rows):
            counts += np.bincount(stored[piece].ravel().astype(np.int64) + 1, minlength=self.classes + 1)
        if not counts[1:].sum():
            return math.nan, math.nan
        frequencies = counts[1:][counts[1:] > 0] / counts[1:].sum()
        return math.log(self.classes), float(-np.sum(frequencies * np.log(frequencies)))


class _SegmentationTally(Tally):
    def __init__(self, task: Segmentation) -> None:
        self._task, self._sums, self._counts = task, list[Tensor](), list[Tensor]()
        self._confusion = torch.zeros(task.classes, task.classes, dtype=torch.int64)
        """Rows are the labels, columns the predictions."""

    def update(self, output: Tensor, target: Tensor) -> None:
        self._sums.append(_sums(cross_entropy(output, target, ignore_index=-1, reduction="none")))
        self._counts.append(_sums(self._task.valid(target)))
        predicted = output.argmax(1)
        found = multiclass_confusion_matrix(predicted, target, self._task.classes, ignore_index=-1, validate_args=False)
        self._confusion += found.cpu()

    def compute(self) -> tuple[float, dict[str, float]]:
        return _ratio(self._sums, self._counts), {"miou": miou(self._confusion), "pixel_accuracy": pixel_accuracy(self._confusion)}


def miou(confusion: Tensor) -> float:
    """Mean over the classes of TP / (TP + FP + FN); a class that is neither there nor predicted is left out of the mean."""
    true = confusion.diagonal().double()
    union = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
    return float((true[union > 0] / union[union > 0]).mean())


def pixel_accuracy(confusion: Tensor) -> float:
    total = int(confusion.sum())
    return int(confusion.diagonal().sum()) / total if total else math.nan


# --- depth --------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Depth(DenseTask):
    """A positive number; stored ``[B, H, W]`` or ``[B, 1, H, W]`` in units of ``unit``, 0 where it is missing.

    With ``inverse`` it is one over the depth, as a disparity is, and grows where an image is enlarged.
    """

    unit: float = 1.0
    inverse: bool = False
    channels = 1

    def zoom(self, stored: Tensor, scale: float) -> Tensor:
        return stored * scale if self.inverse else stored / scale

    def decode(self, stored: Tensor) -> Tensor:
        metres = stored.float() * self.unit
        return metres if metres.ndim == 4 else metres[:, None]

    def valid(self, target: Tensor) -> Tensor:
        return target != 0

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        valid = self.valid(target)
        return share((output - target).abs() * valid, valid)

    def tally(self) -> Tally:
        return _DepthTally(self)

    def pictures(self, name: str, output: Tensor, target: Tensor) -> list[Panel]:
        there = torch.where(self.valid(target), target, math.nan)[0, 0].cpu().numpy()
        span = (float(np.nanmin(there)), float(np.nanmax(there))) if np.isfinite(there).any() else None
        said = output[0, 0].cpu().numpy()
        return [Picture(name, there, "heat", span), Picture(f"{name}, said", said, "heat", span)]

    def constants(self, stored: NDArray[Any], rows: NDArray[np.int64]) -> tuple[float, float]:
        pieces = [stored[piece] for piece in _pieces(stored, rows)]
        known = np.concatenate([piece[piece != 0] for piece in pieces])
        if not len(known):
            return math.nan, math.nan
        median = np.median(known)
        mean, spread = np.abs(known).mean(dtype=np.float64), np.abs(known - median).mean(dtype=np.float64)
        return float(mean * self.unit), float(spread * self.unit)


class _DepthTally(Tally):
    def __init__(self, task: Depth) -> None:
        self._task, self._absolute, self._relative, self._counts = task, list[Tensor](), list[Tensor](), list[Tensor]()

    def update(self, output: Tensor, target: Tensor) -> None:
        valid = self._task.valid(target)
        error = torch.where(valid, (output - target).abs(), 0.0)
        self._absolute.append(_sums(error))
        self._relative.append(_sums(error / torch.where(valid, target, 1.0)))
        self._counts.append(_sums(valid))

    def compute(self) -> tuple[float, dict[str, float]]:
        absolute = _ratio(self._absolute, self._counts)
        return absolute, {"abs_err": absolute, "rel_err": _ratio(self._relative, self._counts)}


# --- normals ------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Normals(DenseTask):
    """A direction, x first; stored ``[B, 3, H, W]`` at length 1 / ``unit``, the zero vector where it is missing."""

    unit: float = 1.0
    channels = 3
    mode = "bilinear"

    def mirror(self, stored: Tensor) -> Tensor:
        return torch.cat([-stored[:, :1], stored[:, 1:]], 1)

    def decode(self, stored: Tensor) -> Tensor:
        return stored.float() * self.unit

    def valid(self, target: Tensor) -> Tensor:
        return (target != 0).any(1, keepdim=True)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        valid = self.valid(target)
        cosine = (direction(output) * target).sum(1, keepdim=True)
        return share((1 - cosine) * valid, valid)

    def tally(self) -> Tally:
        return _NormalsTally(self)

    def pictures(self, name: str, output: Tensor, target: Tensor) -> list[Panel]:
        """x, y and z in -1 .. 1 as red, green and blue; grey where there is none."""
        each = ((name, target), (f"{name}, said", direction(output)))
        return [Picture(title, ((v[0].clamp(-1, 1) + 1) / 2).permute(1, 2, 0).cpu().numpy()) for title, v in each]

    def constants(self, stored: NDArray[Any], rows: NDArray[np.int64]) -> tuple[float, float]:
        total, count = np.zeros(3), 0
        for piece in _pieces(stored, rows):
            vectors = self.decode(torch.from_numpy(np.ascontiguousarray(stored[piece])))
            valid = self.valid(vectors)
            total += (vectors * valid).sum((0, 2, 3), dtype=torch.float64).numpy()
            count += int(valid.sum())
        if not count:
            return math.nan, math.nan
        return 1.0, 1 - float(np.linalg.norm(total)) / count


def direction(output: Tensor) -> Tensor:
    """Vectors ``[B, 3, H, W]`` at length 1; the zero vector stays what it is, so that its loss is 1 - 0."""
    return normalize(output, dim=1, eps=1e-6)


class _NormalsTally(Tally):
    def __init__(self, task: Normals) -> None:
        self._task, self._losses, self._angles, self._counts = task, list[Tensor](), list[Tensor](), list[Tensor]()
        self._bins = torch.zeros(180 * BINS_A_DEGREE, dtype=torch.int64)

    def update(self, output: Tensor, target: Tensor) -> None:
        valid = self._task.valid(target)
        predicted = direction(output)
        self._losses.append(_sums((1 - (predicted * target).sum(1, keepdim=True)) * valid))
        angle = angles(predicted, target)
        self._angles.append(_sums(angle * valid))
        self._counts.append(_sums(valid))
        bins = (angle[valid] * BINS_A_DEGREE).long().clamp(max=len(self._bins) - 1)
        self._bins += torch.bincount(bins, minlength=len(self._bins)).cpu()

    def compute(self) -> tuple[float, dict[str, float]]:
        below = self._bins.cumsum(0)
        total = int(below[-1])
        if not total:
            return math.nan, dict.fromkeys(("mean", "median", "within_11.25", "within_22.5", "within_30"), math.nan)
        middle = int(torch.searchsorted(below, (total + 1) // 2))
        within = {f"within_{limit:g}": int(below[int(limit * BINS_A_DEGREE) - 1]) / total for limit in (11.25, 22.5, 30)}
        median = (middle + 0.5) / BINS_A_DEGREE
        return _ratio(self._losses, self._counts), {"mean": _ratio(self._angles, self._counts), "median": median, **within}


def angles(one: Tensor, two: Tensor) -> Tensor:
    """Degrees between vectors ``[B, 3, H, W]``, ``[B, 1, H, W]`` in float64; 90 where one of them is zero."""
    cosine = (normalize(one.double(), dim=1) * normalize(two.double(), dim=1)).sum(1, keepdim=True)
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


# --- all of them --------------------------------------------------------------------------------------------------------------------------


class DenseMeter:
    """Everything over a split, pooled.

    ``per_batch`` adds what papers of the MTAN lineage print instead: depth and normal metrics of every ``per_batch`` images in turn, and
    the mean of those (for the median, a mean of medians, which is no median). They are keyed ``NAME_METRIC_per_batch``.
    """

    def __init__(self, tasks: dict[str, DenseTask], per_batch: int | None = None) -> None:
        self._tasks, self._per_batch = tasks, per_batch
        self._tallies = {name: task.tally() for name, task in tasks.items()}
        self._batches: dict[str, list[float]] = {}

    def update(self, outputs: Sequence[Tensor], rows: Rows) -> None:
        for (name, task), output, stored in zip(self._tasks.items(), outputs, rows[1:], strict=True):
            target = task.decode(stored)
            self._tallies[name].update(output, target)
            if self._per_batch and not isinstance(task, Segmentation):
                for start in range(0, len(output), self._per_batch):
                    tally, some = task.tally(), slice(start, start + self._per_batch)
                    tally.update(output[some], target[some])
                    for metric, value in tally.compute()[1].items():
                        if not math.isnan(value):
                            self._batches.setdefault(f"{name}_{metric}_per_batch", []).append(value)

    def compute(self) -> Evaluation:
        """
        Raises:
            TaskError: a task has no valid pixel in all of the split.
        """
        losses = []
        metrics: dict[str, float] = {}
        for name, tally in self._tallies.items():
            loss, found = tally.compute()
            if math.isnan(loss):
                raise TaskError(f"no pixel of a held-out split has a label of {name!r}: nothing to measure; check the data")
            losses.append(loss)
            metrics |= {f"{name}/{metric}": value for metric, value in found.items()}
        return Evaluation(tuple(losses), metrics | {key: sum(values) / len(values) for key, values in self._batches.items()})
