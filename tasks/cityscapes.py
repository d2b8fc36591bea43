"""Cityscapes with two tasks, as multi-task papers of the MTAN lineage train on it: classes and inverse depth of street scenes.

Published recipe and metrics as in :mod:`tasks.nyuv2`. The hub copy's schema could not be read when this was written, so it is found out at
run time: the columns go by any of several names, and the labels are either MTAN's 7 classes or the 19 that these are groups of, which are
then grouped. The 500 images of ``validation`` are the published test set; a tenth of the training images validates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.dense_card import depth, segmentation
from tasks.errors import TaskError
from tasks.hub import Cached, Source
from tasks.inmemory import Arrays
from tasks.rows import Column, Rows
from tasks.segnet_recipe import SegNetProblem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.dense import DenseTask

HEIGHT, WIDTH = 128, 256
TRAIN, TEST = 2975, 500

CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
GROUPS = (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6)
"""The class of each of the 19 training labels: road, sidewalk; building, wall, fence; pole, traffic light, traffic sign; and so on."""


class Cityscapes(SegNetProblem):
    """Under MTAN (``cityscapes``) and under a shared SegNet (``cityscapes_segnet``)."""

    source = Source(
        hub="tanganke/cityscapes",
        splits=("train", "validation"),
        columns=(
            Column(name="image", type="float", shape=(3, HEIGHT, WIDTH), low=0, high=1, aliases=("img", "rgb")),
            Column(
                name="segmentation",
                type="integer",
                shape=(HEIGHT, WIDTH),
                low=-1,
                high=255,
                aliases=("segmentation_7", "segmentation_19", "label", "semantic"),
            ),
            Column(name="depth", type="float", shape=(1, HEIGHT, WIDTH), low=0, aliases=("disparity", "depth_map")),
        ),
        layout="the parquet files of tanganke/cityscapes",
        rows=TRAIN + TEST,
        size=1_500_000_000,
        batch=32,
        name="cityscapes",
    )
    title = "Cityscapes at 128x256, 7 classes and inverse depth"
    origin = "Cityscapes (Cordts et al., CVPR 2016), prepared by MTAN (Liu et al., CVPR 2019): tanganke/cityscapes"
    licence = "Cityscapes terms, not for commerce"
    labels = (segmentation(len(CLASSES)), depth("of the normalised inverse depth"))
    channels = (len(CLASSES), 1)
    training_rows, validation_rows, test_rows = TRAIN, 297, TEST
    batch = 8

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        """float16 images, int8 classes (255, which Cityscapes itself has for no class, becomes -1) and float32 inverse depth."""
        import numpy as np

        label = np.asarray(rows["segmentation"])
        label = np.where(label == 255, -1, label)
        if label.max() >= len(GROUPS):
            row = int((label >= len(GROUPS)).any((1, 2)).argmax())
            raise TaskError(
                f"{rows.place(row)}: segmentation is {int(label[row].max())}; expected -1, 255 or one of 7 or 19 classes from 0"
            )
        return {
            "image": np.asarray(rows["image"]).astype(np.float16),
            "segmentation": label.astype(np.int8),
            "depth": np.asarray(rows["depth"]).astype(np.float32),
        }

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["image"], (grouped(cached["segmentation"], self.card.name), cached["depth"]), cached.parts)

    def dense_tasks(self) -> Sequence[DenseTask]:
        from tasks.dense import Depth, Segmentation

        return Segmentation(len(CLASSES)), Depth(inverse=True)


def grouped(labels: NDArray[np.int8], name: str) -> NDArray[np.int8]:
    """7 classes from labels that are those already, or the 19 training labels; -1 stays.

    Raises:
        TaskError: the highest label is 7: neither.
    """
    import numpy as np

    highest = int(labels.max())
    if highest < len(CLASSES):
        return labels
    if highest == len(CLASSES):
        raise TaskError(f"problem {name!r}: segmentation has labels up to 7; expected 0 .. 6 (7 classes) or 0 .. 18 (19 of them), and -1")
    table = np.array([-1, *GROUPS], dtype=np.int8)
    return table[labels.astype(np.int16) + 1]


PROBLEMS = (
    Cityscapes("cityscapes", "SegNet with MTAN's attention", attention=True),
    Cityscapes("cityscapes_segnet", "SegNet shared by all tasks up to the heads", attention=False),
)
