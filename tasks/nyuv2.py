"""NYUv2 as multi-task papers of the MTAN lineage train on it: 13 classes, depth and surface normals of indoor photographs.

Losses, masks, metrics, augmentation and recipe are those behind the published SegNet-MTAN numbers, which are means over the last ten of 200
epochs; here the model that a validation set selects is tested, once. That set is a tenth of the published training images, drawn anew for
each seed; the published test images (``val``) are the test set and select nothing. One published quirk is kept: normals whose three
components sum to exactly 0 count as missing, whatever their length. Another is an option that is always there: the published depth and
normal metrics are means over test batches of two images, given beside the pooled ones as ``NAME_METRIC_per_batch``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tasks.base import ProblemCard
from tasks.dense_card import depth, normals, per_batch, segmentation
from tasks.hub import Cached, HubProblem, Source
from tasks.inmemory import Arrays
from tasks.locations import Locations
from tasks.rows import Column, Rows
from tasks.segnet_recipe import EPOCHS, halving, network

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from tasks.base import Session

HEIGHT, WIDTH = 288, 384
TRAIN, VALIDATION, TEST = 795, 79, 654
BATCH = 2
UNITS = 32767
"""Stored length of a unit normal."""


class Nyuv2(HubProblem):
    """SegNet with MTAN's attention (``nyuv2``), or shared by all tasks up to the heads (``nyuv2_segnet``); ``widths`` are its channels."""

    source = Source(
        hub="tanganke/nyuv2",
        revision="b367b8b53c4dcefbcb4d9310b74976a63cc7f306",
        splits=("train", "val"),
        columns=(
            Column(name="image", type="float", shape=(3, HEIGHT, WIDTH), low=0, high=1),
            Column(name="segmentation", type="integer", shape=(HEIGHT, WIDTH), low=-1, high=12),
            Column(name="depth", type="float", shape=(1, HEIGHT, WIDTH), low=0),
            Column(name="normal", type="float", shape=(3, HEIGHT, WIDTH), low=-1.001, high=1.001),
        ),
        layout="the parquet files of tanganke/nyuv2",
        rows=TRAIN + TEST,
        size=2_800_000_000,
        batch=8,
        name="nyuv2",
    )
    validation_rows = VALIDATION
    test_rows = TEST

    def __init__(self, name: str, architecture: str, attention: bool, widths: tuple[int, ...] | None = None) -> None:
        self._attention, self._widths = attention, widths
        self.card = ProblemCard(
            name=name,
            version=1,
            summary=f"NYUv2 at 288x384, 13 classes, depth and surface normals; {architecture}, from scratch",
            source="NYU Depth V2 (Silberman et al., ECCV 2012), prepared by MTAN (Liu et al., CVPR 2019): tanganke/nyuv2",
            licence="none stated; for research",
            tasks=(segmentation(13), depth("in metres"), normals()),
            extra_metrics=per_batch((depth("in metres"), normals())),
            model=architecture,
            rows=(TRAIN - VALIDATION, VALIDATION, TEST),
            steps=EPOCHS * ((TRAIN - VALIDATION) // BATCH),
            batch_size=BATCH,
            learning_rate=1e-4,
            halve_every=halving((TRAIN - VALIDATION) // BATCH),
        )

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        """float16 images, int8 classes, float32 depth and int16 normals: 2.7 GB of the 5.5 that the set has."""
        import numpy as np

        normal = np.asarray(rows["normal"], np.float32)
        there = normal.sum(1, keepdims=True) != 0
        return {
            "image": np.asarray(rows["image"]).astype(np.float16),
            "segmentation": np.asarray(rows["segmentation"]).astype(np.int8),
            "depth": np.asarray(rows["depth"]).astype(np.float32),
            "normal": np.rint(np.clip(normal, -1, 1) * there * UNITS).astype(np.int16),
        }

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["image"], (cached["segmentation"], cached["depth"], cached["normal"]), cached.parts)

    def network(self) -> nn.Module:
        return network((13, 1, 3), self._attention, self._widths)

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        from tasks.dense import Depth, Normals, Segmentation
        from tasks.dense_session import DenseSession

        asked = (Segmentation(13), Depth(), Normals(1 / UNITS))
        return DenseSession(self, asked, seed, batch_size, device, where, augments=True, per_batch=BATCH)


PROBLEMS = (
    Nyuv2("nyuv2", "SegNet with MTAN's attention", attention=True),
    Nyuv2("nyuv2_segnet", "SegNet shared by all tasks up to the heads", attention=False),
)
