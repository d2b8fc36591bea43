"""Curves that brighten an image, estimated from it alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tasks import curve_losses, image_losses
from tasks.curves import LOSSES
from tasks.gallery import Panel, Picture
from tasks.image_sessions import ImageSession, WholeNet, pictures, psnr, same
from tasks.inmemory import Arrays
from tasks.memory import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 256


class CurveSession(ImageSession):
    """The references are looked at by metrics alone: no loss, no constant and no selection knows them."""

    def fit(self, arrays: Arrays, train: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Maps of zero leave an image as it is: two losses are 0, two are those of the dark images. There are no labels to have a prior."""
        exposed = coloured = 0.0
        for start in range(0, len(train), CHUNK):
            dark = torch.from_numpy(arrays.inputs[train[start : start + CHUNK]]) / 255
            exposed += float(curve_losses.exposure(dark).sum(dtype=torch.float64))
            coloured += float(curve_losses.colour(dark).sum(dtype=torch.float64))
        return (0.0, exposed / len(train), coloured / len(train), 0.0), (math.nan,) * 4

    def terms(self, outputs: Tensor, rows: Rows) -> list[Tensor]:
        dark = rows[0] / 255
        image = curve_losses.brighten(dark, outputs)
        return [
            curve_losses.spatial(image, dark),
            curve_losses.exposure(image),
            curve_losses.colour(image),
            curve_losses.smoothness(outputs),
        ]

    def measures(self, outputs: Tensor, rows: Rows) -> dict[str, Tensor]:
        dark, reference = rows[0] / 255, rows[1] / 255
        image = curve_losses.brighten(dark, outputs)
        return {
            "spatial/consistency": curve_losses.consistency(image, dark),
            "exposure/exposedness": curve_losses.exposedness(image),
            "colour/balance": curve_losses.balance(image),
            "smoothness/evenness": curve_losses.evenness(outputs),
            **dict(zip((metric.name for metric in LOSSES), self.terms(outputs, rows), strict=True)),
            "psnr": psnr(image, reference),
            "ssim": image_losses.ssim(image, reference),
        }

    def panels(self, outputs: Tensor, rows: Rows) -> list[list[Panel]]:
        """Of the maps their mean over the iterations and channels."""
        dark = rows[0] / 255
        shown = ((dark, "in the dark"), (curve_losses.brighten(dark, outputs), "output"), (rows[1] / 255, "never seen in training"))
        maps = [Picture("mean of the curve maps", each, "heat", (-1.0, 1.0)) for each in outputs.mean(1).cpu().numpy()]
        return list(map(list, zip(*(pictures(*each) for each in shown), maps, strict=True)))


class CurveEstimator(nn.Module):
    """A small DCE-Net: maps are estimated at half the resolution, as in Zero-DCE++ (arXiv:2103.00860)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = same(3, width)
        self.second = same(width, width)
        self.third = same(width, width)
        self.curves = same(2 * width, 3 * curve_losses.ITERATIONS)

    def forward(self, image: Tensor) -> Tensor:
        """Maps ``[B, 24, H/2, W/2]`` in [-1, 1] from images in [0, 1]."""
        early = self.first(nn.functional.avg_pool2d(image, 2)).relu()
        late = self.third(self.second(early).relu()).relu()
        maps: Tensor = self.curves(torch.cat([early, late], dim=1)).tanh()
        return maps


def estimator(width: int) -> WholeNet:
    trunk = CurveEstimator(width)
    return WholeNet(trunk, trunk.curves)
