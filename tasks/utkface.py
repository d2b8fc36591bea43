"""Faces: how old, of which sex and of which of five groups the set's authors saw them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base import Metric, ProblemCard, Task
from tasks.errors import TaskError
from tasks.hub import Cached, HubProblem, Source
from tasks.inmemory import Arrays, ImageProblem
from tasks.pixels import pixels
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.models import MultiTaskNet

GENDERS = ("Male", "Female")
GROUPS = ("White", "Black", "Asian", "Indian", "Other")
SIDE = 64
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+\.jpg(\.chip\.jpg)?")
"""age_gender_race_date.jpg, as the authors write it; the aligned copies end in .chip.jpg."""


class UtkFace(HubProblem, ImageProblem):
    """23,700 faces of 1 to 116 years, 64 x 64. Rows come sorted by age, and are shuffled before they are split.

    A squared error in years against two cross-entropies: losses of the best constants differ by 570. Of the original files those whose name
    does not say age, gender and race (three lack the race, two have a damaged ending) are left out and counted.
    """

    card = ProblemCard(
        name="utkface",
        version=1,
        summary="23,700 faces: age in years, gender and race; the best constants lose 395, 0.69 and 1.45",
        source="UTKFace (Z. Zhang, Y. Song, H. Qi, CVPR 2017), nu-delta/utkface, or the authors' files",
        licence="non-commercial research",
        tasks=(
            Task("age", "regression", "squared error of the age in years", (Metric("mae", low=0.0),)),
            Task("gender", "classification", "binary cross-entropy", (Metric("accuracy", True, 0.0, 1.0),)),
            Task(
                "race",
                "classification",
                f"cross-entropy over {', '.join(GROUPS)}",
                (Metric("accuracy", True, 0.0, 1.0), Metric("f1", True, 0.0, 1.0)),
            ),
        ),
        model="four 3x3 convolutions (32, 64, 128, 256) with GroupNorm and halving, a layer of 128, one linear head a task",
        rows=(18_960, 2_370, 2_370),
        steps=5000,
        batch_size=64,
        learning_rate=1e-3,
    )
    source = Source(
        hub="nu-delta/utkface",
        columns=(
            Column(name="image", type="image"),
            Column(name="age", type="integer", low=0, high=120),
            Column(name="gender", type="text", choices=GENDERS),
            Column(name="ethnicity", type="text", choices=GROUPS, aliases=("race",)),
        ),
        layout="the original age_gender_race_date.jpg files (in the folder or its folder UTKFace)",
        rows=23_700,
        size=150_000_000,
    )
    outputs = (1, 1, 5)
    validation_rows = 2370
    test_rows = 2370

    def originals(self, folder: Path) -> Mapping[str, Sequence[Path]]:
        for inside in (folder, folder / "UTKFace"):
            found = sorted(inside.glob("*.jpg*"))
            if any(_NAME.fullmatch(path.name) for path in found):
                _once(found)
                return {"train": found}
        return {}

    def parse(self, split: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
        import numpy as np

        named = [(path, match) for path in files if (match := _NAME.fullmatch(path.name))]
        if len(named) < len(files):
            excluded["the file name does not say age_gender_race_date"] += len(files) - len(named)
        for start in range(0, len(named), self.source.batch):
            piece = named[start : start + self.source.batch]
            values = {
                "image": [path.read_bytes() for path, _ in piece],
                "age": np.array([int(match[1]) for _, match in piece]),
                "gender": [GENDERS[int(match[2])] for _, match in piece],
                "ethnicity": [GROUPS[int(match[3])] for _, match in piece],
            }
            yield Rows(values, [str(path) for path, _ in piece].__getitem__)

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        import numpy as np

        images = [pixels(image, "RGB", rows.place(row), size=(SIDE, SIDE)) for row, image in enumerate(rows["image"])]
        return {
            "image": np.stack(images).transpose(0, 3, 1, 2),
            "age": rows["age"].astype(np.float32)[:, None],
            "gender": np.array([GENDERS.index(word) for word in rows["gender"]], np.int64),
            "race": np.array([GROUPS.index(word) for word in rows["ethnicity"]], np.int64),
        }

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["image"], tuple(cached[task.name] for task in self.card.tasks))

    def network(self) -> MultiTaskNet:
        from tasks.convnets import pyramid

        return pyramid((32, 64, 128, 256), 1, 128, self.outputs)


def _once(files: Sequence[Path]) -> None:
    """Raises TaskError where a face is there twice: it might be trained on and tested with."""
    names = {path.name for path in files}
    twice = next((name for name in sorted(names) if f"{name}.chip.jpg" in names), None)
    if twice is not None:
        raise TaskError(f"{files[0].parent}: both {twice} and {twice}.chip.jpg, one face; keep the originals or the aligned copies")


PROBLEMS = (UtkFace(),)
