"""What the published SegNet runs on NYUv2 and Cityscapes have in common: recipe A of the CAGrad, Nash-MTL, FAMO and FairGrad papers.

Adam with learning rate 1e-4, halved every 100 of 200 epochs, from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.base import Metric

if TYPE_CHECKING:
    from torch import nn

EPOCHS = 200


def halving(steps: int) -> int:
    """Steps after which the learning rate is halved, from the steps of an epoch."""
    return 100 * steps


def per_batch(metrics: Mapping[str, Sequence[Metric]]) -> tuple[Metric, ...]:
    """The metrics of these tasks as means over test batches; shown, but Δm compares the pooled ones."""
    return tuple(
        replace(metric, name=f"{task}_{metric.name}_per_batch", compared=False) for task, listed in metrics.items() for metric in listed
    )


def network(channels: Sequence[int], attention: bool, widths: Sequence[int] | None) -> nn.Module:
    from tasks.segnet import WIDTHS, Mtan, SegNet

    return (Mtan if attention else SegNet)(channels, widths or WIDTHS)
