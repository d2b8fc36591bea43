"""A small convolutional encoder-decoder with skip connections, for images of a few thousand pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


def block(fan_in: int, fan_out: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU())


class Trunk(nn.Module):
    """Down by stride 2 to each of ``widths`` in turn, and up again: bilinear, joined with the encoder's features of that size, one block.

    Features ``[B, widths[0], H / 2, W / 2]`` come out.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList([block(fan_in, fan_out, 2) for fan_in, fan_out in pairwise([3, *widths])])
        self.bottom = block(widths[-1], widths[-1])
        self.up = nn.ModuleList([block(below + beside, beside) for beside, below in pairwise(widths)][::-1])

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = images
        skips: list[Tensor] = []
        for down in self.down:
            features = down(features)
            skips.append(features)
        features = self.bottom(features)
        for up, skip in zip(self.up, skips[-2::-1], strict=True):
            larger = interpolate(features, size=skip.shape[2:], mode="bilinear", align_corners=False)
            features = up(torch.cat([larger, skip], 1))
        return features


class EncoderDecoder(nn.Module):
    """One shared trunk; a head a task gives each half-resolution feature's 2 x 2 pixels at once (sub-pixel convolution).

    ``last_shared`` is the trunk's last block: GradNorm's W.
    """

    def __init__(self, widths: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        self.trunk = Trunk(widths)
        self.heads = nn.ModuleList([nn.Sequential(nn.Conv2d(widths[0], 4 * count, 3, padding=1), nn.PixelShuffle(2)) for count in channels])

    @property
    def last_shared(self) -> nn.Module:
        return self.trunk.up[-1]

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Outputs ``[B, channels_t, H, W]`` and the representation ``[B, widths[0], H / 2, W / 2]`` of images with even H and W."""
        representation = self.trunk(images)
        return [head(representation) for head in self.heads], representation
