"""Photographs taken in the dark: the light, the colours, the structure and the noise, all in one image."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task, derive
from tasks.inmemory import Arrays, InMemoryProblem
from tasks.locations import Locations
from tasks.photographs import PACKAGES, SIDE, Camera, tiles

if TYPE_CHECKING:
    from torch import nn

    from tasks.base import Session

SOURCE = (
    "china and flower as shipped in scikit-learn; astronaut, chelsea, coffee and the left motorcycle (Middlebury 2014) as shipped in"
    " scikit-image; darkened here"
)
LICENCE = "CC BY 2.0 (china, flower), public domain (astronaut), CC0 (chelsea, coffee), free to use and publish (motorcycle)"

TASKS = (
    Task("illumination", "regression", "mean absolute error of the pixels", (Metric("psnr", True, 0.0, 100.0),)),
    Task(
        "colour",
        "regression",
        "1 - cos of the angle between the colours of a pixel, plus the L1 distance of the soft histograms of the three channels' shares",
        (Metric("angle", low=0.0, high=180.0),),
    ),
    Task("structure", "regression", "1 - SSIM, Gaussian windows of 11 x 11, sigma 1.5", (Metric("ssim", True, -1.0, 1.0),)),
    Task(
        "smoothness",
        "regression",
        "mean absolute error of the differences between neighbouring pixels",
        (Metric("gradient_error", low=0.0, high=510.0),),
    ),
)
"""Four losses of one image and its reference. The angle is in degrees, the gradient error in levels of 8 bits."""


class TilesProblem(InMemoryProblem):
    """Tiles of 32 x 32 pixels. Two photographs are for testing; the tiles of the others, which do not overlap, train and validate.

    Attributes:
        camera: how dark, how noisy.
    """

    camera: Camera
    validation_rows = 128

    def arrays(self, where: Locations) -> Arrays:
        self.require()
        return _exposed(self.card.name, self.card.version, self.camera)


@lru_cache
def _exposed(name: str, version: int, camera: Camera) -> Arrays:
    import numpy as np

    references, parts = tiles()
    return Arrays(camera.expose(references, np.random.default_rng(derive(version, name, "camera"))), (references,), parts)


class Photos(TilesProblem):
    """Every tile has its own exposure, cast and noise: what it was must be guessed from what is seen."""

    card = ProblemCard(
        name="photos",
        version=2,
        summary=f"photographs in tiles of {SIDE}x{SIDE}, taken in the dark: light, colour, structure and smoothness of one output",
        source=SOURCE,
        licence=LICENCE,
        tasks=TASKS,
        extra_metrics=(Metric("ciede2000", low=0.0, compared=False),),
        requires=PACKAGES,
        model="convolutions of 24 channels at half the resolution, the mean over the image added, no heads",
        steps=400,
        batch_size=8,
        learning_rate=2e-3,
    )
    camera = Camera(stops=(1.5, 4.0), cast=0.4, gamma=(1.8, 2.6), photons=(9.0, 12.0), read=2.0)

    def network(self) -> nn.Module:
        from tasks.image_sessions import enhancer

        return enhancer(width=24)

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.image_sessions import PairSession

        return PairSession(self, seed, batch_size, device, where)


PROBLEMS = (Photos(),)
