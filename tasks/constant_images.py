"""What the losses of an image are where a network has learned nothing: for a black image, and for the best image of one colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.image_losses import BINS, C1, C2, DARK, LIFT, chromaticity, histogram, window

CHUNK = 2**18
"""Pixels that are looked at at once, about."""
STEP = 5
"""Levels between the colours that are tried: 51 a channel."""


def losses(
    references: NDArray[np.uint8], terms: Sequence[Callable[[Tensor, Tensor], Tensor]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean losses ``[T]`` over references ``[N, 3, H, W]`` of black, and of the colour that is best for each loss by itself.

    ``terms`` are illumination, colour, structure and smoothness, in this order. To the last, all colours are alike.
    """
    best = (illumination(references), colour(references), structure(references), np.zeros(3))
    black, prior = np.zeros(len(terms)), np.zeros(len(terms))
    for reference in _pieces(references):
        for t, (term, level) in enumerate(zip(terms, best, strict=True)):
            constant = reference.new_tensor(level)[:, None, None].expand_as(reference)
            black[t] += float(term(torch.zeros_like(reference), reference).sum(dtype=torch.float64))
            prior[t] += float(term(constant, reference).sum(dtype=torch.float64))
    return tuple((black / len(references)).tolist()), tuple((prior / len(references)).tolist())


def illumination(references: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The median of each channel."""
    counts = [np.bincount(references[:, channel].ravel(), minlength=256).cumsum() for channel in range(3)]
    return np.array([np.searchsorted(count, count[-1] / 2) for count in counts]) / 255


def colour(references: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The least of angle and distributions together, over a grid of colours: the distance of a channel depends on its share alone."""
    shares = np.arange(1001) / 1000
    own = np.maximum(0, 1 - np.abs(shares[:, None] * (BINS - 1) - np.arange(BINS)))  # [shares, BINS]
    direction, found = np.zeros(3), []
    for reference in _pieces(references):
        direction += (
            (reference / reference.square().sum(1, keepdim=True).sqrt().clamp_min(DARK)).sum((0, 2, 3), dtype=torch.float64).numpy()
        )
        found.append(histogram(chromaticity(reference)).numpy())
    there = np.concatenate(found)  # [N, 3, BINS]
    apart = [np.mean([np.abs(own - each).sum(1) for each in there[:, channel]], axis=0) for channel in range(3)]
    levels = np.arange(STEP, 256, STEP) / 255
    colours = np.stack([each.ravel() for each in np.meshgrid(levels, levels, levels)])
    cosine = (direction / (references.size / 3)) @ (colours / np.sqrt((colours**2).sum(0)))
    lifted = colours + LIFT
    place = np.rint(lifted / lifted.sum(0) * 1000).astype(np.int64)
    total = -cosine + sum(distance[at] for distance, at in zip(apart, place, strict=True))
    best: NDArray[np.float64] = colours[:, np.argmin(total)]
    return best


def structure(references: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The most similar level of each channel.

    To a constant c, SSIM is (2 c m + C1) / (c² + m² + C1) in windows of mean m, times C2 / (v + C2) with their variance v: windows of the
    same mean, to the next thousandth, are added up.
    """
    weights, fine = np.zeros((3, 1001)), np.linspace(0, 1, 1001)
    for reference in _pieces(references):
        down, right = window(reference.shape[-2]).to(reference), window(reference.shape[-1]).to(reference).T
        mean, square = down @ reference @ right, down @ reference.square() @ right
        weight = C2 / (square - mean.square() + C2)
        for channel in range(3):
            place = (mean[:, channel].clamp(0, 1) * 1000).round().long().ravel()
            weights[channel] += np.bincount(place.numpy(), weights=weight[:, channel].ravel().numpy(), minlength=1001)
    levels = np.arange(256) / 255
    similar = (2 * levels[:, None] * fine + C1) / (levels[:, None] ** 2 + fine**2 + C1)
    best: NDArray[np.float64] = levels[np.argmax(similar @ weights.T, axis=0)]
    return best


def _pieces(references: NDArray[np.uint8]) -> Iterator[Tensor]:
    count = max(1, CHUNK // (references.shape[-2] * references.shape[-1]))
    for start in range(0, len(references), count):
        yield torch.from_numpy(references[start : start + count]) / 255
