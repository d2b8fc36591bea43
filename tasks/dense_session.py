"""The session of problems with several labels for every pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from tasks.augment import zoom_and_mirror
from tasks.base import Split
from tasks.dense import DenseMeter, DenseTask
from tasks.errors import TaskError
from tasks.gallery import Panel, Picture
from tasks.inmemory import Arrays, InMemoryProblem
from tasks.locations import Locations
from tasks.memory import MemorySession, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DenseSession(MemorySession):
    """Inputs are images ``[N, 3, H, W]``: uint8, which reach the network in -2 .. 2, or floats in [0, 1], which reach it as they are.

    A training batch in which no pixel has a label of a task is an event, ``unlabelled_NAME``; that loss is 0 and moves nothing.
    ``augments`` asks for :func:`tasks.augment.zoom_and_mirror`, ``per_batch`` for the further metrics of :class:`tasks.dense.DenseMeter`.
    """

    chunk = 32

    def __init__(
        self,
        problem: InMemoryProblem,
        tasks: Sequence[DenseTask],
        seed: int,
        batch_size: int,
        device: str = "cpu",
        where: Locations | None = None,
        augments: bool = False,
        per_batch: int | None = None,
    ) -> None:
        self.augments = augments
        self._tasks = dict(zip([task.name for task in problem.card.tasks], tasks, strict=True))
        self._per_batch = per_batch
        self._unlabelled: dict[str, set[tuple[int, int]]] = {}
        super().__init__(problem, seed, batch_size, device, where)

    def fit(self, arrays: Arrays, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        self._centred = arrays.inputs.dtype == np.uint8
        constants = {}
        for (name, task), stored in zip(self._tasks.items(), arrays.targets, strict=True):
            constants[name] = task.constants(stored, train)
            if math.isnan(constants[name][0]):
                raise TaskError(
                    f"problem {self.problem.card.name!r}: no pixel of the training images has a label of {name!r}; check the data"
                )
        initial, prior = zip(*constants.values(), strict=True)
        return initial, prior

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        pixels = inputs.astype(np.float32)
        return pixels * np.float32(4 / 255) - np.float32(2) if self._centred else pixels

    def batch(self, step: int, stream: int = 0) -> Rows:
        """Counts here and once, as some methods look at a batch several times."""
        rows = super().batch(step, stream)
        for (name, task), stored in zip(self._tasks.items(), rows[1:], strict=True):
            if not bool(task.valid(task.decode(stored)).any()):
                key = f"unlabelled_{name}"
                self._unlabelled.setdefault(key, set()).add((step, stream))
                self.events[key] = len(self._unlabelled[key])
        return rows

    def augment(self, rows: Rows, draws: np.random.Generator) -> Rows:
        return zoom_and_mirror(rows, list(self._tasks.values()), draws)

    def criteria(self, outputs: Sequence[Tensor], rows: Rows) -> list[Tensor]:
        pairs = zip(self._tasks.values(), outputs, rows[1:], strict=True)
        return [task.loss(output, task.decode(stored)) for task, output, stored in pairs]

    def gallery(self, split: Split, examples: int) -> list[list[Panel]]:
        """A row an image: the image, and each task's target beside its prediction."""
        found: list[list[Panel]] = []

        def see(outputs: Sequence[Tensor], rows: Rows) -> None:
            for number in range(len(rows[0])):
                one = slice(number, number + 1)
                seen = rows[0][number].permute(1, 2, 0).cpu().numpy()
                panels: list[Panel] = [Picture("image", np.clip((seen + 2) / 4 if self._centred else seen, 0, 1))]
                for (name, task), output, stored in zip(self._tasks.items(), outputs, rows[1:], strict=True):
                    panels += task.pictures(name, output[one], task.decode(stored[one]))
                found.append(panels)

        self.visit(split, see, examples)
        return found

    def meter(self) -> DenseMeter:
        return DenseMeter(self._tasks, self._per_batch)
