"""NYUv2 as multi-task papers of the MTAN lineage train on it: 13 classes, depth and surface normals of indoor photographs.

Losses, masks, metrics, augmentation and recipe are those behind the published SegNet-MTAN numbers, which are means over the last ten of 200
epochs; here the model that a validation set selects is tested, once. That set is a tenth of the published training images, drawn anew for
each seed; the published test images (``val``) are the test set and select nothing. One published quirk is kept: normals whose three
components sum to exactly 0 count as missing, whatever their length. Another is an option that is always there: the published depth and
normal metrics are means over test batches of two images, given beside the pooled ones as ``NAME_METRIC_per_batch``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.dense_card import depth, normals, segmentation
from tasks.hub import Cached, Source
from tasks.inmemory import Arrays
from tasks.rows import Column, Rows
from tasks.segnet_recipe import SegNetProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.dense import DenseTask

HEIGHT, WIDTH = 288, 384
TRAIN, TEST = 795, 654
UNITS = 32767
"""Stored length of a unit normal."""


class Nyuv2(SegNetProblem):
    """Under MTAN (``nyuv2``) and under a shared SegNet (``nyuv2_segnet``)."""

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
    title = "NYUv2 at 288x384, 13 classes, depth and surface normals"
    origin = "NYU Depth V2 (Silberman et al., ECCV 2012), prepared by MTAN (Liu et al., CVPR 2019): tanganke/nyuv2"
    licence = "none stated; for research"
    labels = (segmentation(13), depth("in metres"), normals())
    channels = (13, 1, 3)
    training_rows, validation_rows, test_rows = TRAIN, 79, TEST
    batch = 2

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

    def dense_tasks(self) -> Sequence[DenseTask]:
        from tasks.dense import Depth, Normals, Segmentation

        return Segmentation(13), Depth(), Normals(1 / UNITS)


PROBLEMS = (
    Nyuv2("nyuv2", "SegNet with MTAN's attention", attention=True),
    Nyuv2("nyuv2_segnet", "SegNet shared by all tasks up to the heads", attention=False),
)
