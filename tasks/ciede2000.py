"""CIEDE2000: how different two colours look (Sharma, Wu and Dalal, Color Research & Application 30, 2005); 1 is about what is noticed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
"""From linear sRGB to XYZ, and the white point D65 for the observer of 2 degrees (ITU-R BT.709)."""


def lab(srgb: Tensor) -> Tensor:
    """CIELAB ``[B, 3, ...]`` of sRGB ``[B, 3, ...]`` in [0, 1]."""
    light = torch.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    xyz = torch.einsum("kc,bc...->bk...", srgb.new_tensor(_XYZ) / srgb.new_tensor(_WHITE)[:, None], light)
    fx, fy, fz = torch.where(xyz > 0.008856, xyz.clamp_min(1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=1)


def ciede2000(one: Tensor, two: Tensor) -> Tensor:
    """The difference ``[B, ...]`` of CIELAB colours ``[B, 3, ...]``. Equation numbers are the paper's."""
    (l1, a1, b1), (l2, a2, b2) = one.unbind(1), two.unbind(1)
    mean_chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2  # (3)
    g = 0.5 * (1 - _saturating(mean_chroma))  # (4)
    a1, a2 = (1 + g) * a1, (1 + g) * a2  # (5)
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)  # (6)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)  # (7)

    grey = c1 * c2 == 0  # a grey has no hue
    turn = h2 - h1
    turn = torch.where(turn > math.pi, turn - 2 * math.pi, torch.where(turn < -math.pi, turn + 2 * math.pi, turn))
    turn = torch.where(grey, 0.0, turn)  # (10)
    hue = 2 * (c1 * c2).sqrt() * torch.sin(turn / 2)  # (11)
    # (14): halfway on the shorter arc, that is, half the turn on from the first; of a grey and a colour, the colour's (the other is 0)
    mean_hue = torch.where(grey, h1 + h2, h1 + turn / 2)

    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2  # (12), (13)
    t = (
        1
        - 0.17 * torch.cos(mean_hue - math.radians(30))
        + 0.24 * torch.cos(2 * mean_hue)
        + 0.32 * torch.cos(3 * mean_hue + math.radians(6))
        - 0.20 * torch.cos(4 * mean_hue - math.radians(63))
    )  # (15)
    degrees = torch.rad2deg(mean_hue % (2 * math.pi))
    rotation = math.radians(60) * torch.exp(-(((degrees - 275) / 25) ** 2))  # (16), twice
    r = -2 * _saturating(mean_c) * torch.sin(rotation)  # (17), (21)
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / (20 + (mean_l - 50) ** 2).sqrt()  # (18)
    lightness, chroma, hue = (l2 - l1) / s_l, (c2 - c1) / (1 + 0.045 * mean_c), hue / (1 + 0.015 * mean_c * t)  # (19), (20)
    return (lightness**2 + chroma**2 + hue**2 + r * chroma * hue).clamp_min(0).sqrt()  # (22)


def _saturating(chroma: Tensor) -> Tensor:
    """sqrt(c^7 / (c^7 + 25^7)), without the seventh power of large numbers."""
    ratio = (chroma / 25) ** 7
    return (ratio / (1 + ratio)).sqrt()
