"""Sessions of problems whose output is an image: every loss and metric is one number an image, and the mean over images is reported."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks import constant_images, image_losses
from tasks.base import Evaluation, Split
from tasks.ciede2000 import ciede2000, lab
from tasks.gallery import Panel, Picture
from tasks.inmemory import Arrays
from tasks.memory import MemorySession, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

TERMS = (image_losses.illumination, image_losses.colour, image_losses.structure, image_losses.smoothness)
SILENT = 1e-10
"""Mean squared errors below it are read as it, so that PSNR ends at 100 dB: no mean over images is infinite."""
CROP = 96
"""Side of a crop in pixels."""
SEEN = 0.1
"""Length of the darkest colour whose angle is measured."""


class WholeNet(nn.Module):
    """A network that all losses share to its end: there is no head, and the representation is the output."""

    def __init__(self, trunk: nn.Module, last_shared: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList()
        self._last = [last_shared]  # in a list: it is a part of the trunk, and registered there

    @property
    def last_shared(self) -> nn.Module:
        return self._last[0]

    def forward(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """The output for images ``[B, 3, H, W]`` of 8-bit levels, twice."""
        output = self.trunk(levels / 255)
        return output, output


class ImageSession(MemorySession):
    """Inputs and targets stay in 8 bits until they are looked at. The images of a training batch are flipped and turned together."""

    augments = True
    chunk = 64

    @abstractmethod
    def terms(self, outputs: Any, rows: Rows) -> list[Tensor]:
        """The T losses of every image, each ``[B]``."""

    @abstractmethod
    def measures(self, outputs: Any, rows: Rows) -> dict[str, Tensor]:
        """The metrics of every image, by their keys, each ``[B]``."""

    def augment(self, rows: Rows, draws: np.random.Generator) -> Rows:
        """One of the eight symmetries of the square (of a rectangle's four, where images are no squares)."""
        down, right, over = draws.integers(0, 2, 3).tolist()
        axes = [-2] * down + [-1] * right
        flipped = tuple(images.flip(axes) if axes else images for images in rows)
        square = rows[0].shape[-2] == rows[0].shape[-1]
        return tuple(images.transpose(-2, -1) for images in flipped) if over and square else flipped

    @abstractmethod
    def panels(self, outputs: Any, rows: Rows) -> list[list[Panel]]:
        """A row of panels for each of these images."""

    def gallery(self, split: Split, examples: int) -> list[list[Panel]]:
        found: list[list[Panel]] = []
        self.visit(split, lambda outputs, rows: found.extend(self.panels(outputs, rows)), examples)
        return found

    def criteria(self, outputs: Any, rows: Rows) -> list[Tensor]:
        return [each.mean() for each in self.terms(outputs, rows)]

    def meter(self) -> ImageMeter:
        return ImageMeter(self)


class ImageMeter:
    """Sums over the images."""

    def __init__(self, session: ImageSession) -> None:
        self._session, self._count = session, 0
        self._losses: list[float] = []
        self._metrics: dict[str, float] = {}

    def update(self, outputs: Any, rows: Rows) -> None:
        losses, metrics = self._session.terms(outputs, rows), self._session.measures(outputs, rows)
        before = self._losses or [0.0] * len(losses)
        self._losses = [total + float(each.sum(dtype=torch.float64)) for total, each in zip(before, losses, strict=True)]
        self._metrics = {key: self._metrics.get(key, 0.0) + float(each.sum(dtype=torch.float64)) for key, each in metrics.items()}
        self._count += len(rows[0])

    def compute(self) -> Evaluation:
        metrics = {key: self._metrics[key] / self._count for key in self._session.problem.card.metrics()}
        return Evaluation(tuple(total / self._count for total in self._losses), metrics)


class PairSession(ImageSession):
    """Dark images and their references. Losses are of what the network gives; metrics of what it shows, which is cut off at [0, 1]."""

    def fit(self, arrays: Arrays, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return constant_images.losses(arrays.targets[0][train], TERMS)

    def terms(self, outputs: Tensor, rows: Rows) -> list[Tensor]:
        reference = rows[1] / 255
        return [term(outputs, reference) for term in TERMS]

    def measures(self, outputs: Tensor, rows: Rows) -> dict[str, Tensor]:
        image, reference = outputs.clamp(0, 1), rows[1] / 255
        return {
            "illumination/psnr": psnr(image, reference),
            "colour/angle": angle(image, reference),
            "structure/ssim": image_losses.ssim(image, reference),
            "smoothness/gradient_error": 255 * image_losses.smoothness(image, reference),
            "ciede2000": ciede2000(lab(image), lab(reference)).mean((1, 2)),
        }

    def panels(self, outputs: Tensor, rows: Rows) -> list[list[Panel]]:
        shown = ((rows[0] / 255, "in the dark"), (outputs, "output"), (rows[1] / 255, "reference"))
        return list(map(list, zip(*(pictures(*each) for each in shown), strict=True)))


class CropSession(PairSession):
    """Trains on random crops, and evaluates whole images."""

    chunk = 1

    def augment(self, rows: Rows, draws: np.random.Generator) -> Rows:
        height, width = rows[0].shape[-2:]
        tops, lefts = (draws.integers(0, max(side - CROP, 0) + 1, len(rows[0])).tolist() for side in (height, width))
        crops = [(slice(None), slice(top, top + CROP), slice(left, left + CROP)) for top, left in zip(tops, lefts, strict=True)]
        cropped = [torch.stack([image[crop] for image, crop in zip(images, crops, strict=True)]) for images in rows]
        return super().augment(tuple(cropped), draws)


def pictures(images: Tensor, title: str) -> list[Picture]:
    """Images ``[B, 3, H, W]``, cut off at [0, 1]."""
    return [Picture(title, image) for image in images.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()]


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio ``[B]`` in dB of images in [0, 1], 100 at most."""
    return -10 * (image - reference).square().mean((1, 2, 3)).clamp_min(SILENT).log10()


def angle(image: Tensor, reference: Tensor) -> Tensor:
    """Mean angle ``[B]`` in degrees between the colours of a pixel, over pixels whose reference is not black; 0 where all are."""
    cross, dot = torch.linalg.cross(image, reference, dim=1).norm(dim=1), (image * reference).sum(1)
    seen = reference.square().sum(1) >= SEEN**2
    total = (torch.rad2deg(torch.atan2(cross, dot)) * seen).sum((1, 2))
    return total / seen.sum((1, 2)).clamp_min(1)


def same(channels: int, outputs: int) -> nn.Conv2d:
    """A convolution of 3 x 3 that repeats the edge: zeros would darken what is near it, which is half of a tile."""
    return nn.Conv2d(channels, outputs, 3, padding=1, padding_mode="replicate")


class Enhancer(nn.Module):
    """Convolutions at half the resolution, the mean over the image added to every place, and the input beside the last features.

    Works on images of any size of at least two pixels: odd sides are repeated at their edge, and cut off again.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = same(12, width)
        self.around = same(width, width)
        self.everywhere = nn.Linear(width, width)
        self.within = same(width, width)
        self.leave = same(width + 12, 12)

    def forward(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` from images in [0, 1]; not cut off."""
        height, width = image.shape[-2:]
        even = nn.functional.pad(image, (0, width % 2, 0, height % 2), mode="replicate") if height % 2 or width % 2 else image
        seen = nn.functional.pixel_unshuffle(even, 2)
        found = self.around(self.enter(seen).relu()).relu()
        found = self.within(found + self.everywhere(found.mean((2, 3)))[:, :, None, None]).relu()
        given = nn.functional.pixel_shuffle(self.leave(torch.cat([found, seen], dim=1)), 2)
        return given[..., :height, :width]


def enhancer(width: int) -> WholeNet:
    trunk = Enhancer(width)
    return WholeNet(trunk, trunk.leave)
