"""How far an image is from its reference, as losses: one number an image, so that a mean over images does not depend on how they come.

Images are float ``[B, 3, H, W]``, black at 0 and white at 1; what a network gives may lie beyond.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

SIGMA, RADIUS = 1.5, 5
"""SSIM's Gaussian window of 11 x 11."""
C1, C2 = 0.01**2, 0.03**2
BINS = 16
"""Of the histogram of a channel's shares; their centres are k / (BINS - 1)."""
LIFT = 0.02
"""Added to every channel before its share is taken: noise in the dark has no colour."""
DARK = 1e-3
"""Joins |x| |y| under the cosine, as sqrt(|x|² |y|² + DARK²): a black pixel has no colour, and no steep gradient either."""


def illumination(image: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute error ``[B]``."""
    return (image - reference).abs().mean((1, 2, 3))


def colour(image: Tensor, reference: Tensor) -> Tensor:
    """1 - cos of the angle between the colours of a pixel, mean over pixels; plus the L1 distance of the histograms of shares ``[B]``."""
    lengths = ((image * image).sum(1) * (reference * reference).sum(1) + DARK**2).sqrt()
    apart = (histogram(chromaticity(image)) - histogram(chromaticity(reference))).abs().sum((1, 2))
    return 1 - ((image * reference).sum(1) / lengths).mean((1, 2)) + apart


def chromaticity(image: Tensor) -> Tensor:
    """Each channel's share of the sum of the three, in means over 2 x 2 pixels; that of black is grey."""
    lifted = avg_pool2d(image.clamp(0, 1), 2) + LIFT
    return lifted / lifted.sum(1, keepdim=True)


def histogram(shares: Tensor) -> Tensor:
    """Soft histograms ``[B, 3, BINS]`` of values in [0, 1], each of sum 1: a value between the centres of two bins counts for both."""
    place = shares.flatten(2) * (BINS - 1)
    centres = torch.arange(BINS, dtype=shares.dtype, device=shares.device)[:, None]
    return (1 - (place[:, :, None] - centres).abs()).relu().mean(3)


def structure(image: Tensor, reference: Tensor) -> Tensor:
    """1 - SSIM ``[B]``."""
    return 1 - ssim(image, reference)


def smoothness(image: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute error of the differences between neighbours, down and to the right ``[B]``: noise, and edges that were lost."""
    error = image - reference
    return ((error[..., 1:, :] - error[..., :-1, :]).abs().mean((1, 2, 3)) + (error[..., 1:] - error[..., :-1]).abs().mean((1, 2, 3))) / 2


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity ``[B]`` (Wang et al., 2004) over all windows that lie inside the image, mean over the channels.

    Raises:
        ValueError: an image smaller than a window.
    """
    pixels = torch.stack([image, reference, image * image, reference * reference, image * reference])
    down, right = window(image.shape[-2]), window(image.shape[-1])
    mean_x, mean_y, xx, yy, xy = (down.to(pixels) @ pixels @ right.to(pixels).T).unbind()
    both, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    similar = (2 * both + C1) * (2 * (xy - both) + C2) / ((squares + C1) * (xx + yy - squares + C2))
    return similar.mean((1, 2, 3))


@lru_cache
def window(size: int) -> Tensor:
    """Gaussian means ``[size - 10, size]`` along a side: products of matrices are ten times as fast as convolutions by channel."""
    if size <= 2 * RADIUS:
        raise ValueError(f"an image of side {size}: SSIM needs at least {2 * RADIUS + 1} pixels")
    weights = torch.exp(-((torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64) / SIGMA) ** 2) / 2)
    matrix = torch.zeros(size - 2 * RADIUS, size, dtype=torch.float64)
    for row in range(len(matrix)):
        matrix[row, row : row + len(weights)] = weights / weights.sum()
    return matrix
