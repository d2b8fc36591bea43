"""Dark photographs brightened without ever seeing a bright one: Zero-DCE's four losses, whose weights the authors set by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task
from tasks.locations import Locations
from tasks.photographs import PACKAGES, SIDE, Camera
from tasks.photos import LICENCE, SOURCE, TilesProblem

if TYPE_CHECKING:
    from torch import nn

    from tasks.base import Session

LOSSES = tuple(Metric(f"{name}_loss", low=0.0, compared=False) for name in ("spatial", "exposure", "colour", "smoothness"))
"""Not compared: trained alone, two of them are 0 at once (leave the image, or the maps, as they are), and no change is relative to 0."""


def _share(name: str) -> Metric:
    return Metric(name, True, -1.0 if name == "consistency" else 0.0, 1.0)


class Curves(TilesProblem):
    """A network gives every pixel eight curves x + A (x² - x). The losses conflict: an image that stays dark is perfectly consistent."""

    card = ProblemCard(
        name="curves",
        version=1,
        summary=f"dark photographs in tiles of {SIDE}x{SIDE}, brightened by curves without a reference: Zero-DCE's four losses",
        source=f"{SOURCE}; losses of Zero-DCE (arXiv:2001.06826), whose hand-set weights are 1/10/5/200, from the formulas",
        licence=LICENCE,
        tasks=(
            Task("spatial", "regression", "squared change of the differences between neighbouring cells", (_share("consistency"),)),
            Task("exposure", "regression", "squared distance of the brightness of regions to 0.6", (_share("exposedness"),)),
            Task("colour", "regression", "differences between the means of the channels", (_share("balance"),)),
            Task("smoothness", "regression", "total variation of the curve maps", (_share("evenness"),)),
        ),
        extra_metrics=(
            *LOSSES,
            Metric("psnr", True, 0.0, 100.0, compared=False),
            Metric("ssim", True, -1.0, 1.0, compared=False),
        ),
        requires=PACKAGES,
        model="convolutions of 16 channels at half the resolution, which give the maps of eight curves, no heads",
        steps=400,
        batch_size=8,
        learning_rate=1e-3,
    )
    camera = Camera(stops=(1.0, 3.0), cast=0.2, gamma=(2.0, 2.4), photons=(12.0, 14.0), read=1.0)  # curves cannot remove noise

    def network(self) -> nn.Module:
        from tasks.curve_sessions import estimator

        return estimator(width=16)

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.curve_sessions import CurveSession

        return CurveSession(self, seed, batch_size, device, where)


PROBLEMS = (Curves(),)
