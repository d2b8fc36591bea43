"""Two overlapping handwritten digits: which is the left one, and which the right one?"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import Metric, ProblemCard, Task, derive
from tasks.errors import TaskError
from tasks.hub import Cached, HubProblem, Source
from tasks.inmemory import Arrays, ImageProblem
from tasks.pixels import pixels
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet

_PREFIXES = {"train": "train", "test": "t10k"}
_ACCURACY = (Metric("accuracy", True, 0.0, 1.0),)
VALIDATION = 10_000
"""Digits of the training part that validate."""


class MultiMnist(HubProblem, ImageProblem):
    """The construction of Sener and Koltun on MNIST: :func:`overlay` of every digit with a random partner.

    Partners come from the same set, so that no digit is seen in two of training, validation and test: of 60,000 training digits the last
    10,000 validate, and the test digits are the set's own. Where only one part of the original files is there (the 10,000 test digits,
    say), 70 % of its digits train, 10 % validate and 20 % test, drawn once; to its fingerprint that is another problem. Inputs are
    standardised by the training pixels (the papers: fixed constants). The papers train 100 epochs, as a suite may: ``steps = 19531``.
    """

    card = ProblemCard(
        name="multimnist",
        version=1,
        summary="MNIST, two digits over one another on 28x28 pixels: ten classes on the left and ten on the right",
        source="MNIST (Y. LeCun, C. Cortes, C. Burges), ylecun/mnist; construction of Sener and Koltun, NeurIPS 2018 (arXiv 1810.04650)",
        licence="CC BY-SA 3.0",
        tasks=(
            Task("left", "classification", "cross-entropy over 10 classes", _ACCURACY),
            Task("right", "classification", "cross-entropy over 10 classes", _ACCURACY),
        ),
        model="LeNet: two 5x5 convolutions (10, 20) and a layer of 50 shared, two layers a head",
        rows=(50_000, 10_000, 10_000),
        steps=2000,
        batch_size=256,
        learning_rate=1e-3,
    )
    source = Source(
        hub="ylecun/mnist",
        config="mnist",
        splits=("train", "test"),
        columns=(Column(name="image", type="image"), Column(name="label", type="integer", low=0, high=9)),
        layout="the original *-images-idx3-ubyte.gz and *-labels-idx1-ubyte.gz (train, t10k or both)",
        rows=70_000,
        size=18_000_000,
        partial=True,
        batch=1000,
    )
    outputs = (10, 10)
    validation_rows = VALIDATION
    test_rows = 10_000

    def originals(self, folder: Path) -> Mapping[str, Sequence[Path]]:
        found = {
            split: [_idx(folder, f"{prefix}-{part}") for part in ("images-idx3", "labels-idx1")] for split, prefix in _PREFIXES.items()
        }
        for paths in found.values():
            there = [path.exists() for path in paths]
            if any(there) and not all(there):
                missing = paths[there.index(False)]
                raise TaskError(f"{missing} is missing beside {paths[there.index(True)].name}: images and labels belong together")
        return {split: paths for split, paths in found.items() if paths[0].exists()}

    def parse(self, split: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
        images, labels = (read_idx(path, dimensions) for path, dimensions in zip(files, (3, 1), strict=True))
        if len(images) != len(labels):
            raise TaskError(f"{files[0]}: {len(images)} images, but {len(labels)} labels in {files[1].name}")

        def place(row: int) -> str:
            return f"{files[0]}, digit {row}"

        yield Rows({"image": images, "label": labels.astype("int64")}, place)

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        import numpy as np

        grey = [pixels(image, "L", rows.place(row)) for row, image in enumerate(rows["image"])]
        for row, image in enumerate(grey):
            if image.shape != (28, 28):
                raise TaskError(f"{rows.place(row)}: the image is {image.shape[0]}x{image.shape[1]}; expected 28x28 pixels")
        return {"image": np.stack(grey), "label": rows["label"].astype(np.int64)}

    def assemble(self, cached: Cached) -> Arrays:
        import numpy as np

        images, left, right = list[Any](), list[Any](), list[Any]()
        cells = cells_of(cached.manifest.splits)
        for digits in cells:
            partners = np.random.default_rng(derive(self.card.version, self.card.name, "partners", len(images))).permutation(digits)
            images.append(overlay(cached["image"][digits], cached["image"][partners]))
            left.append(cached["label"][digits])
            right.append(cached["label"][partners])
        return Arrays(np.concatenate(images)[:, None], (np.concatenate(left), np.concatenate(right)), tuple(map(len, cells)))

    def network(self) -> MultiTaskNet:
        from tasks.convnets import lenet

        return lenet(self.outputs)


def cells_of(splits: Mapping[str, int]) -> list[NDArray[np.int64]]:
    """The digits that make up training, validation and test, from the rows of the splits that are there, which lie one after the other."""
    import numpy as np

    rows = np.arange(sum(splits.values()))
    if len(splits) > 1:
        train = splits["train"]
        return np.split(rows, [train - max(1, VALIDATION * train // 60_000), train])
    card = MultiMnist.card  # the order of the files is no random one: the first half of the test digits is the easier
    mixed = np.random.default_rng(derive(card.version, card.name, "cells")).permutation(rows)
    return np.split(mixed, [7 * len(rows) // 10, 8 * len(rows) // 10])


def overlay(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pairs of digits ``[N, 28, 28]`` on one canvas, ``[N, 28, 28]``.

    On 36 x 36 pixels the left digit begins at (0, 0) and the right one at (6, 6), as published; where they overlap the brighter one counts.
    The canvas is resized by taking the pixel nearest to each centre.
    """
    import numpy as np

    canvas = np.zeros((len(left), 36, 36), np.uint8)
    canvas[:, 0:28, 0:28] = left
    np.maximum(canvas[:, 6:34, 6:34], right, out=canvas[:, 6:34, 6:34])
    nearest = (np.arange(28) * 2 + 1) * 36 // 56
    return canvas[:, nearest[:, None], nearest]


def _idx(folder: Path, name: str) -> Path:
    """The compressed file, or the plain one where that is there instead."""
    plain = folder / f"{name}-ubyte"
    return plain if plain.exists() else folder / f"{name}-ubyte.gz"


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Bytes in LeCun's format: two zeros, 8 for bytes, the number of dimensions, their sizes (big-endian), the data.

    Raises:
        TaskError: the file is truncated or another.
    """
    import numpy as np

    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{path}: not a whole gzip file: {error}") from error
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes((0, 0, 8, dimensions)):
        raise TaskError(f"{path}: not an idx file of bytes in {dimensions} dimensions (it begins with {content[:4].hex(' ') or 'nothing'})")
    shape = struct.unpack(f">{dimensions}I", content[4:head])
    data = np.frombuffer(content, np.uint8, offset=head)
    if len(data) != np.prod(shape, dtype=object):
        raise TaskError(f"{path}: {len(data)} bytes of data; expected {' x '.join(map(str, shape))}: truncated, or not what it says")
    return data.reshape(shape)


PROBLEMS = (MultiMnist(),)
