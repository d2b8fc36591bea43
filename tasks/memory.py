"""The session of a problem that is arrays and a network: rows on the device, or read when asked, visited in seeded permutations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tasks.base import Evaluation, Session, Split, derive
from tasks.errors import TaskError
from tasks.inmemory import Arrays, Indices, InMemoryProblem
from tasks.locations import Locations

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rows = tuple[Tensor, ...]
"""Inputs, then the targets."""

HELD = 2**30
"""A data set of at most so many stored bytes is held on the device; a larger one is read from its memory map, batch by batch."""


class Held:
    """The rows of one split as tensors on the device."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows[0])

    def take(self, picked: Tensor) -> Rows:
        return tuple(tensor.index_select(0, picked) for tensor in self.rows)

    def slice(self, start: int, stop: int) -> Rows:
        return tuple(tensor[start:stop] for tensor in self.rows)


class Streamed:
    """The rows of one split in arrays that stay where they are; what is asked for is copied to the device."""

    def __init__(self, session: MemorySession, arrays: Sequence[NDArray[Any]], index: NDArray[np.int64], device: str) -> None:
        self._session, self._arrays, self._index, self._device = session, arrays, index, device

    def __len__(self) -> int:
        return len(self._index)

    def take(self, picked: Tensor) -> Rows:
        return self._read(self._index[picked.cpu().numpy()])

    def slice(self, start: int, stop: int) -> Rows:
        return self._read(self._index[start:stop])

    def _read(self, index: NDArray[np.int64]) -> Rows:
        inputs, *targets = (array[index] for array in self._arrays)
        rows = (self._session.prepare(inputs), *targets)
        return tuple(torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in rows)


class Meter(Protocol):
    """Gathers a split chunk by chunk; what it computes does not depend on how the split was cut."""

    def update(self, outputs: Any, rows: Rows) -> None:
        """Adds the network's outputs for these rows."""

    def compute(self) -> Evaluation:
        """Losses ``[T]`` and metrics over everything that was added."""


class MemorySession(Session):
    """Trains ``problem.network()`` on the problem's arrays.

    The network returns its outputs and the representation, and has ``trunk``, ``heads`` and ``last_shared``. An epoch is one seeded
    permutation; its last batch is dropped where ragged, and a batch size above the training set means all of it. Every further stream
    has permutations of its own. A subclass says what the losses and metrics are; ``chunk`` rows are evaluated at once.

    Raises:
        TaskError: a split is empty.
    """

    chunk = 8192
    augments = False
    """Whether :meth:`augment` changes anything: a random generator is seeded for every batch only if so."""

    def __init__(self, problem: InMemoryProblem, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> None:
        self.problem, self._seed = problem, seed
        self.events = {}
        arrays = problem.arrays(where or Locations())
        index = problem.cut(arrays, seed)
        for name, rows in (("training", index.train), ("validation", index.validation), ("test", index.test)):
            if not len(rows):
                raise TaskError(f"problem {problem.card.name!r}: no {name} row for seed {seed} ({len(arrays.inputs)} rows in all)")
        self.initial_losses, self.prior_losses = self.fit(arrays, index.train)
        self._train, self._validation, self._test = self._place(arrays, index, device)
        self._rows = len(index.train)
        self._batch_size = min(batch_size, self._rows)
        self._batches = self._rows // self._batch_size
        self._orders: dict[int, tuple[int, Tensor]] = {}
        self._device = device

        # Only the CPU generator is seeded and restored: weights are drawn on the CPU, so that they are the same on every device.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, problem.card.name, "weights"))
            self.net: Any = problem.network()
        self.model: nn.Module = self.net.to(device)

    @abstractmethod
    def fit(self, arrays: Arrays, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Learns what :meth:`prepare` needs from the training rows alone; the initial and the prior losses, ``[T]`` each."""

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """What the network is given, from inputs as they are stored; of any rows, and independent of the others among them."""
        return inputs

    def augment(self, rows: Rows, draws: np.random.Generator) -> Rows:
        """A training batch, changed at random (crops, flips): a function of the rows and the draws alone."""
        return rows

    @abstractmethod
    def criteria(self, outputs: Any, rows: Rows) -> list[Tensor]:
        """The T scalar losses of a training batch."""

    @abstractmethod
    def meter(self) -> Meter:
        """A fresh one for each evaluation."""

    def shared(self) -> Sequence[nn.Parameter]:
        return list(self.net.trunk.parameters())

    def last_layer(self) -> Sequence[nn.Parameter]:
        return list(self.net.last_shared.parameters())

    def batch(self, step: int, stream: int = 0) -> Rows:
        rows = self._train.take(self._picked(step, stream))
        if self.augments:
            name = self.problem.card.name
            rows = self.augment(rows, np.random.default_rng(derive(self._seed, name, "augment", stream, step)))
        return rows

    def batches(self, first: int, count: int) -> Sequence[Tensor]:
        if type(self).batch is not MemorySession.batch or self.augments:
            return super().batches(first, count)
        picked = torch.cat([self._picked(step, 0) for step in range(first, first + count)])
        return [tensor.view(count, self._batch_size, *tensor.shape[1:]) for tensor in self._train.take(picked)]

    def _picked(self, step: int, stream: int) -> Tensor:
        """The training rows of a batch."""
        epoch, index = divmod(step, self._batches)
        known, order = self._orders.get(stream, (-1, None))
        name = self.problem.card.name
        if order is None or known != epoch:
            labels = (epoch, "stream", stream) if stream else (epoch,)
            drawn = np.random.default_rng(derive(self._seed, name, "order", *labels)).permutation(self._rows)
            order = torch.from_numpy(drawn).to(self._device)
            self._orders[stream] = epoch, order
        return order[index * self._batch_size : (index + 1) * self._batch_size]

    def losses(self, batch: Rows) -> tuple[list[Tensor], Tensor | None]:
        outputs, representation = self.net(batch[0])
        return self.criteria(outputs, batch), representation

    def evaluate(self, split: Split) -> Evaluation:
        meter = self.meter()
        self.visit(split, meter.update)
        with torch.no_grad():
            return meter.compute()

    def visit(self, split: Split, see: Callable[[Any, Rows], None], first: int | None = None) -> None:
        """Calls ``see(outputs, rows)`` for a split, or its ``first`` rows, chunk by chunk, in eval mode and without gradients."""
        rows = {"validation": self._validation, "test": self._test}[split]
        stop = len(rows) if first is None else min(first, len(rows))
        with torch.no_grad(), evaluating(self.model):
            for start in range(0, stop, self.chunk):
                piece = rows.slice(start, min(start + self.chunk, stop))
                see(self.net(piece[0])[0], piece)

    def _place(self, arrays: Arrays, index: Indices, device: str) -> list[Held | Streamed]:
        stored, splits = (arrays.inputs, *arrays.targets), (index.train, index.validation, index.test)
        if sum(array.nbytes for array in stored) > HELD:
            return [Streamed(self, stored, rows, device) for rows in splits]
        everything = [Streamed(self, stored, rows, device) for rows in splits]
        return [Held(split.slice(0, len(split))) for split in everything]  # split by split: the whole is never there twice


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
