"""SegNet (Badrinarayanan et al., 2017) as multi-task papers use it, shared by all tasks up to the heads, or with MTAN's attention.

Five stages of convolutions go down, each to half the size by max-pooling, and five go up again by un-pooling to where the maxima were.
Height and width of the images are multiples of 32. Written after the papers; widths and depths are those of the MTAN lineage (64 to 512
channels, one or two convolutions beside the first of each stage).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, max_unpool2d

WIDTHS = (64, 128, 256, 512, 512)


def convolution(fan_in: int, fan_out: int) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.ReLU())


def head(width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, channels, 1))


class Stage(nn.Module):
    """The convolutions of one size: features u after the first, p after the last."""

    def __init__(self, fan_in: int, fan_out: int, more: int) -> None:
        super().__init__()
        self.first = convolution(fan_in, fan_out)
        self.rest = nn.Sequential(*[convolution(fan_out, fan_out) for _ in range(more)])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        u = self.first(features)
        return u, self.rest(u)


class Body(nn.Module):
    """All ten stages."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        more = [min(1 + level // 2, 2) for level in range(len(widths))]  # one at the two finest sizes, two at the others
        self.down = nn.ModuleList([Stage(*each) for each in zip([3, *widths[:-1]], widths, more, strict=True)])
        ups = list(zip(widths, [widths[0], *widths[:-1]], more, strict=True))
        self.up = nn.ModuleList([Stage(*each) for each in reversed(ups)])

    def forward(self, images: Tensor) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
        """u and p of every stage, on the way down and on the way up, in their order."""
        features, down, up, places = images, [], [], []
        for stage in self.down:
            down.append(stage(features))
            features, place = max_pool2d(down[-1][1], 2, return_indices=True)
            places.append(place)
        for stage in self.up:
            up.append(stage(max_unpool2d(features, places.pop(), (2, 2))))
            features = up[-1][1]
        return down, up


class SegNet(nn.Module):
    """Hard sharing: one body, a head of two convolutions a task. ``last_shared`` is the last convolution of the body."""

    def __init__(self, channels: Sequence[int], widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.trunk = Body(widths)
        self.heads = nn.ModuleList([head(widths[0], count) for count in channels])

    @property
    def last_shared(self) -> nn.Module:
        return self.trunk.up[-1].rest[-1]  # type: ignore[index, return-value]

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Outputs ``[B, channels_t, H, W]`` and the representation ``[B, widths[0], H, W]``."""
        representation = self.trunk(images)[1][-1][1]
        return [each(representation) for each in self.heads], representation


class Trunk(nn.Module):
    """What all tasks of an MTAN share: the body, and the convolutions that carry attended features on to the next size."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.carry_down = nn.ModuleList([convolution(*each) for each in zip(widths, [*widths[1:], widths[-1]], strict=True)])
        self.carry_up = nn.ModuleList([convolution(*each) for each in reversed(list(zip(widths, [widths[0], *widths[:-1]], strict=True)))])
        self.body = Body(widths)


class Mask(nn.Module):
    """Attention over the channels of every pixel, in (0, 1), from a stage's u and what the task brings from the size before."""

    def __init__(self, fan_in: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(fan_in, width, 1), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.Sigmoid()),
        )

    def forward(self, *features: Tensor) -> Tensor:
        mask: Tensor = self.layers(torch.cat(features, 1))
        return mask


class Attention(nn.Module):
    """One task's own part of an MTAN: a mask for each of the ten stages, and the head."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList([Mask(widths[0], widths[0]), *[Mask(2 * width, width) for width in widths[1:]]])
        outs = [widths[0], *widths[:-1]]
        self.up = nn.ModuleList([Mask(2 * width, width) for width in reversed(outs)])
        self.head = head(widths[0], channels)

    def forward(self, trunk: Trunk, down: Sequence[tuple[Tensor, Tensor]], up: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """This task's output from every stage's u and p."""
        brought: list[Tensor] = []
        for mask, carry, (u, p) in zip(self.down, trunk.carry_down, down, strict=True):
            brought = [max_pool2d(carry(mask(u, *brought) * p), 2)]
        features = brought[0]
        for mask, carry, (u, p) in zip(self.up, trunk.carry_up, up, strict=True):
            larger = interpolate(features, size=u.shape[2:], mode="bilinear", align_corners=True)
            features = mask(u, carry(larger)) * p
        output: Tensor = self.head(features)
        return output


class Mtan(nn.Module):
    """The multi-task attention network (Liu et al., CVPR 2019) on a SegNet.

    Every task attends to features of all ten stages, so that no single representation stands between the shared parameters and the tasks:
    the forward pass returns none. ``last_shared`` is the body's last convolution, whose features every task's last mask multiplies.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.trunk = Trunk(widths)
        self.heads = nn.ModuleList([Attention(count, widths) for count in channels])

    @property
    def last_shared(self) -> nn.Module:
        return self.trunk.body.up[-1].rest[-1]  # type: ignore[index, return-value]

    def forward(self, images: Tensor) -> tuple[list[Tensor], None]:
        """Outputs ``[B, channels_t, H, W]``."""
        down, up = self.trunk.body(images)
        return [each(self.trunk, down, up) for each in self.heads], None
