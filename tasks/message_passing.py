"""Message passing between all atoms of a molecule, and the session of standardised regressions on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from tasks.base import Evaluation, Split
from tasks.gallery import Panel, Scatter, in_rows
from tasks.inmemory import Arrays
from tasks.memory import MemorySession, Rows
from tasks.models import MultiTaskNet

if TYPE_CHECKING:
    from numpy.typing import NDArray

REACH = 6.0
"""Angstrom between the first and the last of the bumps that a distance is described by; few pairs of atoms lie farther apart."""
BUMPS = 32


class MessagePassing(nn.Module):
    """Molecules as rows of atoms (atomic number, x, y, z), ``[B, A, 4]`` with number 0 where there is none, to ``[B, 2 width]``.

    An atom begins as the embedding of its element. In every round it hears from every other atom the other's state times a filter of their
    distance (the continuous filters of SchNet), and takes it in through a gated unit (as in J. Gilmer and others, ICML 2017), the same in
    all rounds. Sum and mean over the atoms are what is read out: the one for what grows with the molecule, the other for what does not.
    Only distances enter, so that turning, moving or mirroring a molecule changes nothing.
    """

    def __init__(self, elements: Sequence[int], width: int, rounds: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max(elements) + 1, width, padding_idx=0)
        self.filters = nn.Sequential(nn.Linear(BUMPS, width), nn.SiLU(), nn.Linear(width, width))
        self.sender = nn.Linear(width, width, bias=False)
        self.update = nn.GRUCell(width, width)
        self.readout = nn.Linear(width, width)
        self.rounds = rounds
        self.register_buffer("bumps", torch.linspace(0.0, REACH, BUMPS), persistent=False)
        self.bumps: Tensor

    def forward(self, molecules: Tensor) -> Tensor:
        numbers, places = molecules[..., 0].long(), molecules[..., 1:]
        there = (numbers > 0).to(places.dtype)
        others = there[:, :, None] * there[:, None, :] * (1 - torch.eye(there.shape[1], dtype=there.dtype, device=there.device))
        squared = (places[:, :, None] - places[:, None, :]).square().sum(-1)  # [B, A, A]
        distances = squared.clamp_min(1e-12).sqrt()
        filters = self.filters(torch.exp(-((distances[..., None] - self.bumps) * (BUMPS / REACH)).square() / 2)) * others[..., None]
        state = self.embedding(numbers)
        for _ in range(self.rounds):
            heard = torch.einsum("bijw,bjw->biw", filters, self.sender(state))
            state = self.update(heard.flatten(0, 1), state.flatten(0, 1)).view_as(state)
        told = silu(self.readout(state)) * there[..., None]
        total = told.sum(1)
        return torch.cat([total, total / there.sum(1, keepdim=True)], dim=1)


def message_passing_net(elements: Sequence[int], width: int, rounds: int, outputs: int) -> MultiTaskNet:
    """:class:`MessagePassing`, a shared layer on its readout, and as many linear heads of one output."""
    trunk = nn.Sequential(MessagePassing(elements, width, rounds), nn.Linear(2 * width, width), nn.SiLU())
    return MultiTaskNet(trunk, [nn.Linear(width, 1) for _ in range(outputs)])


class MoleculeSession(MemorySession):
    """Squared errors of targets ``[N, 1]`` that are standardised by the training rows; absolute errors in the targets' own units."""

    chunk = 512

    def fit(self, arrays: Arrays, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        labels = [target[train].astype(np.float64) for target in arrays.targets]
        self.mean = [float(label.mean()) for label in labels]
        self.std = [float(label.std()) or 1.0 for label in labels]
        priors = tuple(float(label.var()) / std**2 for label, std in zip(labels, self.std, strict=True))
        return priors, priors  # of standardised targets the best constant is zero

    def standard(self, task: int, target: Tensor) -> Tensor:
        return (target - self.mean[task]) / self.std[task]

    def criteria(self, outputs: Sequence[Tensor], rows: Rows) -> list[Tensor]:
        return [
            (output - self.standard(task, target)).square().mean()
            for task, (output, target) in enumerate(zip(outputs, rows[1:], strict=True))
        ]

    def meter(self) -> ErrorMeter:
        return ErrorMeter(self)

    def gallery(self, split: Split, examples: int) -> list[list[Panel]]:
        """A scatter of every property, in its own unit."""
        seen: list[tuple[Sequence[Tensor], Rows]] = []
        self.visit(split, lambda outputs, rows: seen.append((outputs, rows[1:])))
        panels: list[Panel] = []
        for task, card in enumerate(self.problem.card.tasks):
            said, target = (torch.cat([chunk[side][task] for chunk in seen]).flatten().cpu().numpy() for side in (0, 1))
            panels.append(Scatter(card.name, target, said * self.std[task] + self.mean[task]))
        return in_rows(panels)


class ErrorMeter:
    """Sums of squared and absolute errors, in float64."""

    def __init__(self, session: MoleculeSession) -> None:
        self._session, self._rows = session, 0
        self._sums = torch.zeros(2, len(session.std), dtype=torch.float64)

    def update(self, outputs: Sequence[Tensor], rows: Rows) -> None:
        self._rows += len(rows[0])
        for task, (output, target) in enumerate(zip(outputs, rows[1:], strict=True)):
            error = (output - self._session.standard(task, target)).double()
            self._sums[:, task] += torch.stack([error.square().sum(), error.abs().sum() * self._session.std[task]]).cpu()

    def compute(self) -> Evaluation:
        losses, errors = (self._sums / self._rows).tolist()
        tasks = self._session.problem.card.tasks
        return Evaluation(tuple(losses), {f"{task.name}/mae": error for task, error in zip(tasks, errors, strict=True)})
