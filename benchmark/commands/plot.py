"""Pictures of problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tasks
from benchmark.commands.flags import DEVICES, locations, one_of


def plot(
    name: str,
    *,
    methods: str,
    settings: Sequence[str],
    steps: int | None,
    seeds: int | None,
    device: str,
    out: Path | None,
    data_dir: Path | None,
    offline: bool,
) -> None:
    """Trains and draws; prints the file.

    Raises:
        UsageError, MethodError, TaskError: before any training; or a run that left nothing to draw.
    """
    one_of("--device", device, DEVICES)
    tasks.require(["matplotlib"], "plot")
    from benchmark import plot as drawing  # torch and numpy

    path = out or Path(f"{name}.png")
    where = locations(data_dir, offline)
    drawing.plot(name, methods=methods, settings=settings, steps=steps, seeds=seeds, device=device, out=path, where=where)
    print(path)
