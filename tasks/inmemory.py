"""Supervised problems whose data fits in memory: the arrays, how they are split, and what such a problem must say."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Problem, ProblemCard, derive
from tasks.locations import Locations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from tasks.base import Session


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """The whole data set, in its natural units, row by row; memory-mapped where it is large.

    ``inputs`` is float32 ``[N, F]`` or ``[N, C, H, W]``, or whatever the problem's session turns into that. Under cross-entropy and squared
    error ``targets`` has one array a task: int64 ``[N]`` for classes and float32 ``[N, D]`` for regression. ``parts`` are the numbers of
    rows of the set's own splits, one after the other: training and test, or training, validation and test; () where it has none.
    """

    inputs: NDArray[Any]
    targets: tuple[NDArray[Any], ...]
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Indices:
    """Rows of the three disjoint sets, which together are all rows."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(card: ProblemCard, rows: int, validation: int, test: int, seed: int) -> Indices:
    """Cuts ``rows`` into three sets of which two have the given sizes.

    The test set is the same for every seed, so that all runs are graded on the same examples; train and validation are cut anew for each.
    """
    import numpy as np

    shuffled = np.random.default_rng(derive(card.version, card.name, "test")).permutation(rows)
    rest = np.random.default_rng(derive(seed, card.name, "split")).permutation(shuffled[test:])
    return Indices(train=rest[validation:], validation=rest[:validation], test=shuffled[:test])


def cut_parts(card: ProblemCard, parts: tuple[int, ...], validation: int, seed: int) -> Indices:
    """The set's own splits; of two of them, the validation set is carved from the first, anew for each seed: no test row selects."""
    import numpy as np

    train, *held_out = np.split(np.arange(sum(parts)), np.cumsum(parts)[:-1])
    if len(held_out) == 2:
        return Indices(train, *held_out)
    rest = np.random.default_rng(derive(seed, card.name, "split")).permutation(train)
    return Indices(train=rest[validation:], validation=rest[:validation], test=held_out[0])


def hash_arrays(arrays: Iterable[NDArray[Any]]) -> str:
    """20 hexadecimal digits of the dtypes, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=10)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class InMemoryProblem(Problem):
    """A problem that is its arrays, its network and its session (a :class:`tasks.memory.MemorySession`).

    Attributes:
        validation_rows, test_rows: sizes of the two held-out sets; the remainder trains.
    """

    validation_rows: int
    test_rows: int

    @abstractmethod
    def arrays(self, where: Locations) -> Arrays:
        """The data; read or generated once a process. The arrays may be memory-mapped.

        Raises:
            MissingDependency: the package that ships it is not installed.
            TaskError: the data cannot be had, or is not what it should be.
        """

    def indices(self, rows: int, seed: int) -> Indices:
        """The three sets of this seed, of rows that come in one piece."""
        return split(self.card, rows, self.validation_rows, self.test_rows, seed)

    def cut(self, arrays: Arrays, seed: int) -> Indices:
        """The three sets of this seed, along the set's own splits where it has them."""
        if len(arrays.parts) < 2:
            return self.indices(len(arrays.inputs), seed)
        return cut_parts(self.card, arrays.parts, self.validation_rows, seed)

    @abstractmethod
    def network(self) -> nn.Module:
        """A freshly initialised network with ``trunk``, ``heads`` and ``last_shared``; the caller seeds torch's generator."""

    def fingerprint(self, where: Locations | None = None) -> str:
        arrays = self.arrays(where or Locations())
        return hash_arrays((arrays.inputs, *arrays.targets))


class SupervisedProblem(InMemoryProblem):
    """Classes and regressions under cross-entropy and squared error; :class:`tasks.supervised.SupervisedSession` does the rest.

    Attributes:
        outputs: outputs of each head: K for K classes (1 for two under a single logit), D for a regression of D columns.
    """

    outputs: tuple[int, ...]
    stackable = True

    def whole(self, losses: Sequence[float], initial_losses: Sequence[float]) -> dict[str, float]:
        """The card's ``extra_metrics`` from the losses ``[T]`` of a split and the session's initial losses ``[T]``."""
        return {}

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.supervised import SupervisedSession

        return SupervisedSession(self, seed, batch_size, device, where)


class ImageProblem(SupervisedProblem):
    """Images that are stored as bytes, uint8 ``[N, C, H, W]``, and become numbers batch by batch; the rest is as in its parent."""

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.images import ImageSession

        return ImageSession(self, seed, batch_size, device, where)
