"""Losses made positive, for methods that take their logarithm or reciprocal."""

from __future__ import annotations

from torch import Tensor

from methods.base import Method

EPS = 1e-8


def positive(method: Method, losses: Tensor) -> Tensor:
    """max(|L|, 1e-8) ``[T]``, with a derivative of 1; every L < 1e-8 is counted as a ``clamped_loss``, on its device.

    A zero loss then has a large but finite weight, and a negative one is descended, as fast as a positive one of its size: its own
    logarithm does not exist, and its reciprocal would climb it.
    """
    values = losses.detach()
    if values.is_cpu and not values.min().item() < EPS:
        return losses  # the usual case; on other devices looking would wait for them
    method.count("clamped_loss", (values < EPS).sum())
    size = values.abs().clamp_min(EPS)
    return losses + (size - values) if losses.requires_grad else size
