"""The session of a supervised problem held in memory: tensors on the device, indexed by seeded permutations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torchmetrics.functional import mean_squared_error
from torchmetrics.functional.classification import multiclass_accuracy

from tasks.base import Evaluation, Kind, Session, Split, derive
from tasks.inmemory import SupervisedProblem, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rows = tuple[Tensor, ...]
"""Inputs, then the targets of each task."""

_CHUNK = 8192
"""Rows that are evaluated at once."""

_LOSSES: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = {"classification": cross_entropy, "regression": mse_loss}

_METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": lambda outputs, labels: multiclass_accuracy(outputs, labels, outputs.shape[1], average="micro", validate_args=False),
    "mse": mean_squared_error,
    "rmse": lambda outputs, labels: mean_squared_error(outputs, labels, squared=False),
}
"""From all outputs and targets of a split at once: no accumulator is left over from another split or an earlier model."""


class SupervisedSession(Session):
    """Trains ``problem.network()`` on the problem's arrays.

    Inputs are standardised (per column, or per channel of an image) and label statistics taken on the training rows of this seed.
    An epoch is one seeded permutation; its last batch is dropped where ragged, and a batch size above the training set means all of it.
    Every further stream has permutations of its own.
    """

    def __init__(self, problem: SupervisedProblem, seed: int, batch_size: int, device: str = "cpu") -> None:
        self._problem, self._seed = problem, seed
        arrays, kinds = problem.arrays(), [task.kind for task in problem.card.tasks]
        rows = split(problem.card, len(arrays.inputs), problem.validation_rows, problem.test_rows, seed)

        inputs = standardise(arrays.inputs, arrays.inputs[rows.train])
        everything = [torch.from_numpy(array) for array in (inputs, *arrays.targets)]
        self._train, self._validation, self._test = (
            tuple(tensor[torch.from_numpy(index)].to(device) for tensor in everything) for index in (rows.train, rows.validation, rows.test)
        )
        self._rows = len(rows.train)
        self._batch_size = min(batch_size, self._rows)
        self._batches = self._rows // self._batch_size
        self._orders: dict[int, tuple[int, Tensor]] = {}

        # Only the CPU generator is seeded and restored: weights are drawn on the CPU, so that they are the same on every device.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, problem.card.name, "weights"))
            self.net = problem.network()
        self.model: nn.Module = self.net.to(device)
        self._losses = [_LOSSES[kind] for kind in kinds]

        labels = [target[rows.train] for target in arrays.targets]
        self.initial_losses = tuple(initial_loss(*each) for each in zip(kinds, labels, problem.outputs, strict=True))
        self.prior_losses = tuple(prior_loss(*each) for each in zip(kinds, labels, strict=True))

    def shared(self) -> Sequence[nn.Parameter]:
        return list(self.net.trunk.parameters())

    def last_layer(self) -> Sequence[nn.Parameter]:
        return list(self.net.last_shared.parameters())

    def batch(self, step: int, stream: int = 0) -> Rows:
        epoch, index = divmod(step, self._batches)
        known, order = self._orders.get(stream, (-1, None))
        if order is None or known != epoch:
            labels = (epoch, "stream", stream) if stream else (epoch,)
            drawn = np.random.default_rng(derive(self._seed, self._problem.card.name, "order", *labels)).permutation(self._rows)
            order = torch.from_numpy(drawn).to(self._train[0].device)
            self._orders[stream] = epoch, order
        picked = order[index * self._batch_size : (index + 1) * self._batch_size]
        return tuple(tensor.index_select(0, picked) for tensor in self._train)

    def losses(self, batch: Rows) -> tuple[list[Tensor], Tensor | None]:
        inputs, *targets = batch
        outputs, representation = self.net(inputs)
        return [loss(*pair) for loss, *pair in zip(self._losses, outputs, targets, strict=True)], representation

    def evaluate(self, split: Split) -> Evaluation:
        inputs, *targets = {"validation": self._validation, "test": self._test}[split]
        tasks = self._problem.card.tasks
        with torch.no_grad(), evaluating(self.model):
            chunks = [self.net(inputs[start : start + _CHUNK])[0] for start in range(0, len(inputs), _CHUNK)]
            outputs = [torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*chunks, strict=True)]
            pairs = list(zip(outputs, targets, strict=True))
            losses = tuple(torch.stack([loss(*pair) for loss, pair in zip(self._losses, pairs, strict=True)]).tolist())
            metrics = {
                f"{task.name}/{metric.name}": float(_METRICS[metric.name](*pair))
                for task, pair in zip(tasks, pairs, strict=True)
                for metric in task.metrics
            }
        return Evaluation(losses, metrics | self._problem.whole(losses, self.initial_losses))


def standardise(inputs: NDArray[np.float32], train: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(inputs - mean) / std`` with the constants of ``train``, over all dimensions but the second (columns or channels)."""
    axes = tuple(axis for axis in range(inputs.ndim) if axis != 1)
    mean = train.mean(axis=axes, keepdims=True, dtype=np.float64)
    std = train.std(axis=axes, keepdims=True, dtype=np.float64)
    scaled: NDArray[np.float32] = ((inputs - mean) / np.where(std > 0, std, 1)).astype(np.float32)
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


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every module is back in the mode it was in, frozen ones included."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
