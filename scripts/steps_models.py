"""The cells of `bench_steps`: two networks of T tasks with random inputs and labels, so that about half of the gradients conflict."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, l1_loss, mse_loss

from tasks.models import MultiTaskNet, mlp

WIDTHS = (128, 256, 256, 256, 256)
PIXELS = 64
SEEDS = 5  # labels to choose from: those of two or three tasks can all agree, or all conflict


@dataclass(frozen=True, order=True)
class Cell:
    """One model at one batch size with T tasks."""

    model: str
    batch: int
    tasks: int

    def __str__(self) -> str:
        return f"{self.model}, batch {self.batch}, T={self.tasks}"


def conv_net(outputs: Sequence[int]) -> MultiTaskNet:
    """Three scales down and up again with batch normalisation, the shape of SegNet at a quarter of its width: 0.68 million shared
    parameters, and a head of two layers a task."""

    def block(fan_in: int, fan_out: int) -> list[nn.Module]:
        return [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.ReLU()]

    layers: list[nn.Module] = []
    for fan_in, width in ((3, 32), (32, 64), (64, 144)):
        layers += [*block(fan_in, width), *block(width, width), nn.MaxPool2d(2)]
    for width, fan_out in ((144, 64), (64, 32), (32, 32)):
        layers += [nn.Upsample(scale_factor=2), *block(width, width), *block(width, fan_out)]
    heads = [nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, size, 1)) for size in outputs]
    return MultiTaskNet(nn.Sequential(*layers), heads)


def angle(output: Tensor, normals: Tensor) -> Tensor:
    return 1 - cosine_similarity(output, normals, dim=1).mean()


@dataclass(frozen=True)
class Head:
    """Outputs (a pixel, in the conv net), what kind of loss they have, and which."""

    outputs: int
    kind: str
    criterion: Callable[[Tensor, Tensor], Tensor]


SCALAR = Head(1, "regression", mse_loss)
DENSE = (Head(13, "classification", cross_entropy), Head(1, "regression", l1_loss), Head(3, "objective", angle))
"""Segmentation, depth and surface normals."""


class Session:
    """A model and its batches; what the trainer asks of a problem's session, without the evaluations."""

    def __init__(self, cell: Cell, device: str, seed: int = 0) -> None:
        self.cell, self.device, self.seed = cell, device, seed
        torch.manual_seed(seed)
        self.heads = list(itertools.islice(itertools.cycle([SCALAR] if cell.model == "mlp" else DENSE), cell.tasks))
        outputs = [head.outputs for head in self.heads]
        self.model = (mlp(WIDTHS, outputs) if cell.model == "mlp" else conv_net(outputs)).to(device)
        self._batches: dict[int, tuple[Tensor, list[Tensor]]] = {}

    def shared(self) -> list[nn.Parameter]:
        return list(self.model.trunk.parameters())

    def last_layer(self) -> list[nn.Parameter]:
        layers = [layer for layer in self.model.trunk if isinstance(layer, nn.Linear | nn.Conv2d)]
        return list(layers[-1].parameters())

    def batch(self, step: int) -> tuple[Tensor, list[Tensor]]:
        if step not in self._batches:
            generator = torch.Generator().manual_seed(1000 * self.seed + step)
            normal = partial(torch.randn, generator=generator)
            flat = self.cell.model == "mlp"
            places = () if flat else (PIXELS, PIXELS)
            x = normal(self.cell.batch, WIDTHS[0] if flat else 3, *places)
            labels = [
                torch.randint(head.outputs, (self.cell.batch, *places), generator=generator)
                if head.kind == "classification"
                else normal(self.cell.batch, head.outputs, *places)
                for head in self.heads
            ]
            self._batches[step] = x.to(self.device), [label.to(self.device) for label in labels]
        return self._batches[step]

    def losses(self, batch: tuple[Tensor, list[Tensor]]) -> tuple[list[Tensor], Tensor]:
        x, labels = batch
        outputs, z = self.model(x)
        return [head.criterion(y, label) for head, y, label in zip(self.heads, outputs, labels, strict=True)], z

    def conflicts(self) -> float:
        """The share of pairs of task gradients with a negative inner product."""
        losses, _ = self.losses(self.batch(0))
        shared = self.shared()
        gradients = (torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses)
        rows = torch.stack([torch.cat([g.flatten() for g in of_task]) for of_task in gradients])
        return float((rows @ rows.T < 0).sum()) / max(self.cell.tasks * (self.cell.tasks - 1), 1)


def contested(cell: Cell, device: str) -> tuple[Session, float]:
    """The session whose share of conflicting pairs, given with it, is nearest to one half from above."""
    sessions = [Session(cell, device, seed) for seed in range(SEEDS)]
    shares = [session.conflicts() for session in sessions]
    best = min(range(SEEDS), key=lambda seed: (shares[seed] < 0.5, abs(shares[seed] - 0.5)))
    return Session(cell, device, best), shares[best]
