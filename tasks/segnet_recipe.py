"""What the published SegNet runs on NYUv2 and Cityscapes have in common: recipe A of the CAGrad, Nash-MTL, FAMO and FairGrad papers.

Adam with learning rate 1e-4, halved every 100 of 200 epochs, from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

EPOCHS = 200


def halving(steps: int) -> int:
    """Steps after which the learning rate is halved, from the steps of an epoch."""
    return 100 * steps


def network(channels: Sequence[int], attention: bool, widths: Sequence[int] | None) -> nn.Module:
    from tasks.segnet import WIDTHS, Mtan, SegNet

    return (Mtan if attention else SegNet)(channels, widths or WIDTHS)
