"""A small set with every type of column and files of its own. Imports no torch and no table library: worker processes start at once."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tasks.base import Metric, ProblemCard, Session, Task
from tasks.hub import Cached, HubProblem, Source
from tasks.inmemory import Arrays
from tasks.locations import Locations
from tasks.pixels import pixels
from tasks.rows import Column, Rows


class Shapes(HubProblem):
    """Every type of column."""

    card = ProblemCard(
        name="shapes",
        version=1,
        summary="s",
        source="s",
        licence="l",
        tasks=(Task("label", "classification", "l", (Metric("accuracy"),)), Task("age", "regression", "l", (Metric("rmse"),))),
        steps=1,
        batch_size=2,
        learning_rate=0.1,
    )
    source = Source(
        hub="nobody/shapes",
        splits=("train", "test"),
        columns=(
            Column(name="image", type="image", aliases=("picture",)),
            Column(name="label", type="integer", low=0, high=2),
            Column(name="depth", type="float", shape=(1, 4, 5), low=0),
            Column(name="atoms", type="float", shape=(None, 3)),
            Column(name="symbols", type="text", shape=(None,)),
            Column(name="sex", type="text", choices=("Male", "Female")),
            Column(name="smiles", type="boolean"),
        ),
        layout="own-train.json.gz and own-test.json.gz",
        rows=130,
        size=2_800_000_000,
        batch=4,
    )
    validation_rows = 20
    test_rows = 30

    def originals(self, folder: Path) -> Mapping[str, Sequence[Path]]:
        return {split: [path] for split in self.source.splits if (path := folder / f"own-{split}.json.gz").is_file()}

    def parse(self, split: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
        for path in files:
            for number, row in enumerate(json.loads(gzip.decompress(path.read_bytes()))):
                values = {
                    "image": [np.array(row["image"], np.uint8)],
                    "label": np.array([row["label"]]),
                    "depth": np.array([row["depth"]], np.float32),
                    "atoms": [np.array(row["atoms"])],
                    "symbols": [row["symbols"]],
                    "sex": [row["sex"]],
                    "smiles": np.array([row["smiles"]]),
                }
                yield Rows(values, partial("{0}, row {1}".format, path, number))

    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, Any]:
        kept = [row for row in range(len(rows)) if len(rows["symbols"][row]) < 8]
        if len(kept) < len(rows):
            excluded["too many atoms"] += len(rows) - len(kept)
        return {
            "image": np.stack([pixels(rows["image"][row], "RGB", rows.place(row), size=(6, 6)) for row in kept]),
            "label": rows["label"][kept].astype(np.int64),
            "depth": rows["depth"][kept],
            "atoms": np.array([rows["atoms"][row].sum() for row in kept], np.float32)[:, None],
            "person": np.array([(rows["sex"][row] == "Female", rows["smiles"][row]) for row in kept], np.uint8),
        }

    def assemble(self, cached: Cached) -> Arrays:
        return Arrays(cached["image"], (cached["label"], cached["atoms"]), cached.parts)

    def network(self) -> Any:
        raise NotImplementedError

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        raise NotImplementedError


def prepare(data: str, cache: str, start: Any, prints: Any) -> None:
    """What a worker process does: decodes when all are ready."""
    start.wait(60)
    prints.put(Shapes().fingerprint(Locations(data, cache)))
