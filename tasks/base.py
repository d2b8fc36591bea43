"""What a problem is: a card that says what it measures, and a session that trains one model on it from one seed.

Nothing here imports torch, so that problems can be listed, planned and shown at once.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tasks.errors import require
from tasks.locations import Locations

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.gallery import Panel

Kind = Literal["classification", "regression", "objective"]
Split = Literal["validation", "test"]

Report = Callable[[str, int, int | None], None]
"""Is told what is being prepared, how many rows of it are done, and of how many, where that is known."""


def silent(what: str, done: int, total: int | None) -> None:
    """The report that nobody reads."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a trained model earns. Values outside [low, high] are impossible and are refused when a record is loaded."""

    name: str
    higher_is_better: bool = False
    low: float = -math.inf
    high: float = math.inf
    compared: bool = True
    """Whether Δm compares it with single-task training; a metric of the whole problem (a distance to the front) never is."""


@dataclass(frozen=True, slots=True)
class Task:
    """One of the T losses of a problem.

    ``kind`` tells methods whose formula depends on the likelihood (uncertainty weighting) which one it is; ``loss`` is its formula
    in words.
    """

    name: str
    kind: Kind
    loss: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemCard:
    """Everything about a problem that can be known without its data.

    ``version`` grows whenever the same seed would train differently. ``extra_metrics`` belong to no single task.
    ``requires`` names importable packages beyond torch and numpy; ``steps``, ``batch_size`` and ``learning_rate`` are what a suite uses
    where it says nothing else. ``model`` is the network in words, ``rows`` the sizes of the training, the validation and the test set
    (None where there are none, or where only the data tells).
    """

    name: str
    version: int
    summary: str
    source: str
    licence: str
    tasks: tuple[Task, ...]
    extra_metrics: tuple[Metric, ...] = ()
    requires: tuple[str, ...] = ()
    model: str = ""
    rows: tuple[int, int, int] | None = None
    steps: int
    batch_size: int
    learning_rate: float
    halve_every: int | None = None
    """Steps after which the learning rate is halved, again and again; None: it is constant."""

    def metrics(self) -> dict[str, Metric]:
        """Every metric by the key that records use: ``task/metric``, or the bare name for one of the whole problem."""
        keyed = {f"{task.name}/{metric.name}": metric for task in self.tasks for metric in task.metrics}
        return keyed | {metric.name: metric for metric in self.extra_metrics}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Unweighted losses ``[T]`` and metrics (keyed as in :meth:`ProblemCard.metrics`) of the current model on one split."""

    losses: tuple[float, ...]
    metrics: dict[str, float]


class Session(ABC):
    """One model, its data and its seed, on one device. Two sessions of one seed are bit-identical, whatever method trains them.

    Attributes:
        model: the network; its parameters are ``shared`` plus the private heads.
        initial_losses: ``[T]`` losses of an all-zero output (log K for K classes, mean ‖y‖² for squared error); nan where undefined.
        prior_losses: ``[T]`` losses of the best constant output over the training labels (entropy, variance); nan where undefined.
        events: what happened that a reader of the run should know, by name with its count (a batch without one valid pixel).
    """

    model: nn.Module
    initial_losses: tuple[float, ...]
    prior_losses: tuple[float, ...]
    events: dict[str, int]

    @abstractmethod
    def shared(self) -> Sequence[nn.Parameter]:
        """Parameters that all tasks use, in forward order."""

    @abstractmethod
    def last_layer(self) -> Sequence[nn.Parameter]:
        """Parameters of the last shared layer (GradNorm's W)."""

    @abstractmethod
    def batch(self, step: int, stream: int = 0) -> Any:
        """The training batch of ``step`` (0, 1, ...): a function of the seed, the step and the stream alone.

        Stream 0 is what the model trains on. Streams 1, 2, ... visit the same training split in orders of their own, for methods that
        need several independent batches at every step; no stream ever sees a held-out row.
        """

    def batches(self, first: int, count: int) -> Sequence[Tensor]:
        """The training batches of ``count`` steps, beginning with ``first``, one after the other: the tensors of a batch, ``[count, ...]``.

        For batches that are tuples of tensors, of the same shapes at every step.
        """
        import torch

        return [torch.stack(tensors) for tensors in zip(*(self.batch(step) for step in range(first, first + count)), strict=True)]

    @abstractmethod
    def losses(self, batch: Any) -> tuple[list[Tensor], Tensor | None]:
        """The T scalar losses of a batch and the shared representation that the heads read (None where there is none)."""

    @abstractmethod
    def evaluate(self, split: Split) -> Evaluation:
        """Losses and metrics of the current model, in eval mode, without touching the random state or the training mode."""

    def gallery(self, split: Split, examples: int) -> list[list[Panel]]:
        """Rows of panels that show what the current model makes of a split: inputs, targets, predictions; no rows: nothing to show.

        ``examples`` are shown one by one, its first rows; panels that sum up (a confusion, a scatter) are of the whole split. Like
        :meth:`evaluate` it leaves the model and all states as they were.
        """
        return []


class Problem(ABC):
    """Data + model + T tasks. Subclasses are stateless: everything that depends on a seed lives in the session.

    Attributes:
        embedded: its data ships with a package or is generated here: nothing is ever downloaded, and a run takes seconds.
        stackable: whether the losses are a function of the model's parameters and the batch alone, in tensor operations and the same for
            every seed, and a batch is a tuple of tensors: then several seeds can be trained in one pass.
    """

    card: ProblemCard
    embedded: bool = True
    stackable: bool = False

    def require(self) -> None:
        """Raises MissingDependency, before any work is done, where a package that the problem needs is not installed."""
        require(self.card.requires, f"problem {self.card.name!r}")

    @abstractmethod
    def fingerprint(self, where: Locations | None = None) -> str:
        """A hash of the data that any seed may see; part of every trial's identity.

        Raises:
            TaskError: the data cannot be had from ``where`` (None: the defaults of :class:`Locations`).
        """

    def prepare(self, where: Locations | None = None, report: Report = silent) -> str:
        """Downloads, decodes or generates ahead what a run would otherwise do first; one line that says what is there and where.

        Raises:
            TaskError: the data cannot be had from ``where`` (None: the defaults of :class:`Locations`).
        """
        self.require()
        return "nothing to prepare: it ships with its package or is generated"

    @abstractmethod
    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        """Data split, initial weights and batch order for one seed.

        Raises:
            TaskError: the data cannot be had from ``where`` (None: the defaults of :class:`Locations`).
        """


def derive(seed: int, *labels: str | int) -> int:
    """A 63-bit seed for one named random stream, so that streams of one trial, and trials of neighbouring seeds, are unrelated."""
    text = "/".join([str(seed), *map(str, labels)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
