"""Convolutional networks for classes and numbers from images: one shared trunk, one small head a task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tasks.models import MultiTaskNet


def lenet(outputs: Sequence[int]) -> MultiTaskNet:
    """Sener and Koltun's LeNet for ``[B, 1, 28, 28]``: two 5x5 convolutions and a layer of 50 shared, two layers in each head."""
    trunk = nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(320, 50), nn.ReLU(),
    )  # fmt: skip
    return MultiTaskNet(trunk, [nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, size)) for size in outputs])


def pyramid(widths: Sequence[int], depth: int, features: int, outputs: Sequence[int]) -> MultiTaskNet:
    """``depth`` 3x3 convolutions at each width with a halving after each, their mean over the image, a layer, and linear heads.

    GroupNorm, as batch statistics would tie the rows of a batch and the passes of a step to one another. ``[B, 3, H, W]`` of any H and W
    that can be halved ``len(widths)`` times.
    """
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, features), nn.ReLU()]
    return MultiTaskNet(nn.Sequential(*layers), [nn.Linear(features, size) for size in outputs])
