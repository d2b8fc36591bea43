"""Faces of the famous: forty things that are there or not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tasks.base import Metric, ProblemCard, Task
from tasks.hub import Cached, HubProblem, Source
from tasks.inmemory import Arrays, ImageProblem
from tasks.pixels import pixels
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet

ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair",
    "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup",
    "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose",
    "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
SIDE = 64


class CelebA(HubProblem, ImageProblem):
    """202,599 faces, 64 x 64 (the whole 178 x 218 picture, squeezed), on the set's own three splits.

    As in FAMO and FairGrad: forty binary cross-entropies, nine layers, F1 of every attribute at a threshold of 0.5, batches of 256, Adam
    at 3e-4 and 15 epochs. Theirs has BatchNorm where this has GroupNorm. The images are not held in memory: 2.5 GB of bytes are read from
    the cache, batch by batch.
    """

    card = ProblemCard(
        name="celeba",
        version=1,
        summary="202,599 faces: forty attributes that are there or not",
        source="CelebA (Z. Liu, P. Luo, X. Wang, X. Tang, ICCV 2015), flwrlabs/celeba",
        licence="CelebA agreement: non-commercial research",
        tasks=tuple(Task(name, "classification", "binary cross-entropy", (Metric("f1", True, 0.0, 1.0),)) for name in ATTRIBUTES),
        model="eight 3x3 convolutions (64 to 512) with GroupNorm and a layer of 512, one linear head a task",
        rows=(162_770, 19_867, 19_962),
        steps=9537,
        batch_size=256,
        learning_rate=3e-4,
    )
    source = Source(
        hub="flwrlabs/celeba",
        config="img_align+identity+attr",
        splits=("train", "valid", "test"),
        columns=(Column(name="image", type="image"), *(Column(name=name, type="boolean") for name in ATTRIBUTES)),
        layout="",
        rows=202_599,
        size=11_700_000_000,
    )
    outputs = (1,) * len(ATTRIBUTES)
    validation_rows = 19_867
    test_rows = 19_962

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        import numpy as np

        images = [pixels(image, "RGB", rows.place(row), size=(SIDE, SIDE)) for row, image in enumerate(rows["image"])]
        return {
            "image": np.stack(images).transpose(0, 3, 1, 2),
            "attributes": np.stack([rows[name] for name in ATTRIBUTES], axis=1).astype(np.uint8),
        }

    def assemble(self, cached: Cached) -> Arrays:
        import numpy as np

        targets = tuple(np.ascontiguousarray(column, np.int64) for column in cached["attributes"].T)
        return Arrays(cached["image"], targets, cached.parts)

    def network(self) -> MultiTaskNet:
        from tasks.convnets import pyramid

        return pyramid((64, 128, 256, 512), 2, 512, self.outputs)


PROBLEMS = (CelebA(),)
