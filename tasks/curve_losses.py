"""Zero-DCE's four losses without a reference (Guo et al., CVPR 2020, arXiv:2001.06826), as its code computes them, one number an image.

Images are float ``[B, 3, H, W]`` in [0, 1]; Y is the mean over the channels. A is the curve maps ``[B, 3 x 8, H/2, W/2]`` in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

ITERATIONS = 8
CELL = 4
"""Side of the regions whose differences are to stay."""
REGION = 8
"""Side of the regions that are to be well exposed; 16 in the paper, whose images are 16 times as large as a tile."""
WELL_EXPOSED = 0.6
FAINT = 1e-4
"""Contrasts, and means of maps, whose squares are well below this do not count (SSIM's C1)."""


def brighten(dark: Tensor, maps: Tensor) -> Tensor:
    """x <- x + A_n (x² - x), once for each of the maps, interpolated to the image: stays in [0, 1], and so do 0 and 1."""
    image = dark
    curves = interpolate(maps, size=dark.shape[-2:], mode="bilinear", align_corners=False)
    for curve in curves.chunk(ITERATIONS, dim=1):
        image = image + curve * (image * image - image)
    return image


def spatial(image: Tensor, dark: Tensor) -> Tensor:
    """Squared change of the difference to each of four neighbours, in cells of 4 x 4, summed over the neighbours ``[B]``.

    Of a cell at the edge only the neighbours that exist count; the authors' code compares it with zeros outside the image besides.
    """
    error = _grey(image, CELL) - _grey(dark, CELL)
    cells = error.shape[-2] * error.shape[-1]
    down, right = error[:, 1:] - error[:, :-1], error[..., 1:] - error[..., :-1]
    return 2 * (down.square().sum((1, 2)) + right.square().sum((1, 2))) / cells  # every difference is that of two cells


def exposure(image: Tensor) -> Tensor:
    """Mean of (Y - 0.6)² over regions ``[B]``."""
    return (_grey(image, REGION) - WELL_EXPOSED).square().mean((1, 2))


def colour(image: Tensor) -> Tensor:
    """sqrt(D_rg² + D_rb² + D_gb²), where D_pq is the squared difference of the means of two channels ``[B]``."""
    red, green, blue = image.mean((2, 3)).unbind(1)
    # a norm has a gradient (of 0) where all means are equal, which a square root has not
    apart: Tensor = torch.stack([red - green, red - blue, green - blue]).square().norm(dim=0)
    return apart


def smoothness(maps: Tensor) -> Tensor:
    """Total variation of the maps: 2 Σ_maps (mean of squared steps down + mean of squared steps to the right) ``[B]``."""
    down, right = maps[..., 1:, :] - maps[..., :-1, :], maps[..., 1:] - maps[..., :-1]
    return 2 * (down.square().mean((2, 3)) + right.square().mean((2, 3))).sum(1)


# --- metrics: the same four aims between 0 and 1, so that a task trained alone scores nearly 1, and not nearly 0 -----------------------


def consistency(image: Tensor, dark: Tensor) -> Tensor:
    """How alike the differences a and b of neighbouring cells are, mean of (2ab + c) / (a² + b² + c) ``[B]``: 1 where nothing changed."""
    one, two = _grey(image, CELL), _grey(dark, CELL)
    alike = []
    for a, b in ((one[:, 1:] - one[:, :-1], two[:, 1:] - two[:, :-1]), (one[..., 1:] - one[..., :-1], two[..., 1:] - two[..., :-1])):
        alike.append((2 * a * b + FAINT) / (a * a + b * b + FAINT))
    return torch.cat([each.flatten(1) for each in alike], dim=1).clamp_max(1).mean(1)  # 1 but for rounding


def exposedness(image: Tensor) -> Tensor:
    """Mean over regions of exp(-(Y - 0.6)² / (2 x 0.2²)), the weight of exposure fusion (Mertens et al., 2007) ``[B]``."""
    return torch.exp(-((_grey(image, REGION) - WELL_EXPOSED) ** 2) / (2 * 0.2**2)).mean((1, 2))


def balance(image: Tensor) -> Tensor:
    """The least of the three channels' means over the greatest ``[B]``; 1 where the image is black."""
    channels = image.mean((2, 3))
    return (channels.amin(1) + FAINT) / (channels.amax(1) + FAINT)


def evenness(maps: Tensor) -> Tensor:
    """How much of a map is its mean: mean(A)² / mean(A²), mean over the maps ``[B]``; 1 where all are constant."""
    return ((maps.mean((2, 3)).square() + FAINT) / (maps.square().mean((2, 3)) + FAINT)).clamp_max(1).mean(1)


def _grey(image: Tensor, side: int) -> Tensor:
    """Means of Y over squares ``[B, H / side, W / side]``."""
    return avg_pool2d(image.mean(1, keepdim=True), side)[:, 0]
