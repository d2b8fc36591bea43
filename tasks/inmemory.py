"""Supervised problems whose data fits in memory: the arrays, how they are split, and what such a problem must say."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.base import Problem, ProblemCard, derive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.base import Session
    from tasks.models import MultiTaskNet


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """The whole data set, in its natural units.

    ``inputs`` is float32 ``[N, F]`` or ``[N, C, H, W]``; ``targets`` has one array a task: int64 ``[N]`` for classes and float32 ``[N, D]``
    for regression.
    """

    inputs: NDArray[np.float32]
    targets: tuple[NDArray[Any], ...]


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


def hash_arrays(arrays: Iterable[NDArray[Any]]) -> str:
    """20 hexadecimal digits of the dtypes, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=10)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class SupervisedProblem(Problem):
    """A problem that is its arrays and its network; :class:`tasks.supervised.SupervisedSession` does the rest.

    Attributes:
        outputs: outputs of each head: K for K classes, D for a regression of D columns.
        validation_rows, test_rows: sizes of the two held-out sets; the remainder trains.
    """

    outputs: tuple[int, ...]
    validation_rows: int
    test_rows: int

    @abstractmethod
    def arrays(self) -> Arrays:
        """The data; read or generated once a process.

        Raises:
            MissingDependency: the package that ships it is not installed.
        """

    @abstractmethod
    def network(self) -> MultiTaskNet:
        """A freshly initialised network; the caller seeds torch's generator."""

    def whole(self, losses: Sequence[float], initial_losses: Sequence[float]) -> dict[str, float]:
        """The card's ``extra_metrics`` from the losses ``[T]`` of a split and the session's initial losses ``[T]``."""
        return {}

    def fingerprint(self) -> str:
        arrays = self.arrays()
        return hash_arrays((arrays.inputs, *arrays.targets))

    def open(self, seed: int, batch_size: int, device: str = "cpu") -> Session:
        from tasks.supervised import SupervisedSession

        return SupervisedSession(self, seed, batch_size, device)
