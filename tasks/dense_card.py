"""What cards say of labels for every pixel: the tasks and the legal ranges of their metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.base import Metric, Task


def segmentation(classes: int) -> Task:
    return Task(
        "segmentation",
        "classification",
        f"cross-entropy over {classes} classes, unlabelled pixels left out",
        (Metric("miou", True, 0.0, 1.0), Metric("pixel_accuracy", True, 0.0, 1.0)),
    )


def depth(what: str) -> Task:
    loss = f"absolute error {what}, missing depth left out"
    return Task("depth", "regression", loss, (Metric("abs_err", low=0.0), Metric("rel_err", low=0.0)))


def normals() -> Task:
    """Angles in degrees; shares of the pixels within so many of them."""
    angles = tuple(Metric(name, low=0.0, high=180.0) for name in ("mean", "median"))
    shares = tuple(Metric(f"within_{limit}", True, 0.0, 1.0) for limit in ("11.25", "22.5", "30"))
    return Task("normals", "regression", "1 - cosine, missing normals left out", (*angles, *shares))


def per_batch(tasks: Sequence[Task]) -> tuple[Metric, ...]:
    """The metrics of these tasks as means over test batches; shown, but Δm compares the pooled ones."""
    return tuple(replace(metric, name=f"{task.name}_{metric.name}_per_batch", compared=False) for task in tasks for metric in task.metrics)
