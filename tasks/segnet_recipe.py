"""What the published SegNet runs on NYUv2 and Cityscapes have in common: recipe A of the CAGrad, Nash-MTL, FAMO and FairGrad papers.

Adam with learning rate 1e-4, halved every 100 of 200 epochs, from scratch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.base import ProblemCard, Task
from tasks.dense_card import per_batch
from tasks.hub import HubProblem
from tasks.locations import Locations

if TYPE_CHECKING:
    from torch import nn

    from tasks.base import Session
    from tasks.dense import DenseTask

EPOCHS, HALVED = 200, 100


class SegNetProblem(HubProblem):
    """A set under SegNet with MTAN's attention, or shared by all tasks up to the heads; ``widths`` are its channels.

    Attributes:
        title: what the set is, as the card's summary begins.
        origin, licence: as on the card.
        labels: the tasks.
        channels: outputs of each head.
        training_rows: published training images, from which the validation images are taken.
        batch: images of a step, and of the test batches that the papers' metrics are means over.
    """

    title: str
    origin: str
    licence: str
    labels: tuple[Task, ...]
    channels: tuple[int, ...]
    training_rows: int
    batch: int

    def __init__(self, name: str, architecture: str, attention: bool, widths: tuple[int, ...] | None = None) -> None:
        self._attention, self._widths = attention, widths
        kept = self.training_rows - self.validation_rows
        epoch = kept // self.batch
        self.card = ProblemCard(
            name=name,
            version=1,
            summary=f"{self.title}; {architecture}, from scratch",
            source=self.origin,
            licence=self.licence,
            tasks=self.labels,
            extra_metrics=per_batch([task for task in self.labels if task.kind == "regression"]),
            model=architecture,
            rows=(kept, self.validation_rows, self.test_rows),
            steps=EPOCHS * epoch,
            batch_size=self.batch,
            learning_rate=1e-4,
            halve_every=HALVED * epoch,
        )

    @abstractmethod
    def dense_tasks(self) -> Sequence[DenseTask]:
        """The losses and metrics of the tasks."""

    def network(self) -> nn.Module:
        from tasks.segnet import WIDTHS, Mtan, SegNet

        return (Mtan if self._attention else SegNet)(self.channels, self._widths or WIDTHS)

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.dense_session import DenseSession

        return DenseSession(self, self.dense_tasks(), seed, batch_size, device, where, augments=True, per_batch=self.batch)
