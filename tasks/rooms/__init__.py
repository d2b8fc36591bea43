"""Ray-cast indoor scenes with the labels of NYUv2: 13 classes, depth and surface normals of every pixel, embedded."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tasks.base import Metric, ProblemCard, Task
from tasks.inmemory import Arrays, InMemoryProblem
from tasks.locations import Locations

if TYPE_CHECKING:
    from tasks.base import Session
    from tasks.encoder_decoder import EncoderDecoder

HEIGHT, WIDTH, SCENES = 48, 64, 600

SEGMENTATION = (Metric("miou", True, 0.0, 1.0), Metric("pixel_accuracy", True, 0.0, 1.0))
DEPTH = (Metric("abs_err", low=0.0), Metric("rel_err", low=0.0))
NORMALS = (
    Metric("mean", low=0.0, high=180.0),
    Metric("median", low=0.0, high=180.0),
    *(Metric(f"within_{limit}", True, 0.0, 1.0) for limit in ("11.25", "22.5", "30")),
)


class Rooms(InMemoryProblem):
    card = ProblemCard(
        name="rooms",
        version=1,
        summary="ray-cast rooms of 48x64 pixels in NYUv2's layout: 13 classes, depth and surface normals, with a depth sensor's faults",
        source="generated here",
        licence="MIT",
        tasks=(
            Task("segmentation", "classification", "cross-entropy over 13 classes, unlabelled pixels left out", SEGMENTATION),
            Task("depth", "regression", "absolute error in metres, missing depth left out", DEPTH),
            Task("normals", "regression", "1 - cosine, missing normals left out", NORMALS),
        ),
        steps=400,
        batch_size=8,
        learning_rate=3e-3,
    )
    validation_rows = 80
    test_rows = 120

    def arrays(self, where: Locations) -> Arrays:
        return _load()

    def network(self) -> EncoderDecoder:
        from tasks.encoder_decoder import EncoderDecoder

        return EncoderDecoder((16, 32, 48), (13, 1, 3))

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.dense import Depth, Normals, Segmentation
        from tasks.dense_session import DenseSession
        from tasks.rooms.render import MILLIMETRES, UNITS

        return DenseSession(self, (Segmentation(13), Depth(1 / MILLIMETRES), Normals(1 / UNITS)), seed, batch_size, device, where)


@lru_cache(maxsize=1)
def _load() -> Arrays:
    return generate(SCENES, HEIGHT, WIDTH)


def generate(scenes: int, height: int, width: int) -> Arrays:
    import numpy as np

    from tasks.rooms.draws import Draws
    from tasks.rooms.furnish import furnish
    from tasks.rooms.render import View, render

    def view(number: int) -> View:
        draw = Draws("rooms", number)
        return render(furnish(draw), height, width, draw)

    views = [view(number) for number in range(scenes)]
    rgb, label, depth, normal = (np.stack([getattr(each, name) for each in views]) for name in ("rgb", "label", "depth", "normal"))
    return Arrays(rgb, (label, depth, normal))


PROBLEMS = (Rooms(),)
