"""Weights by the root of each loss."""

from __future__ import annotations

from torch import Tensor

from methods import Card, register
from methods.families import LossWeighting


@register(
    Card(
        name="example_root",
        version=1,
        title="Root of the losses",
        paper="an example",
        year=2026,
        family="loss",
        equation="Σ √L_t / Σ √L L_t",
        native_scale="mean",
    )
)
class Root(LossWeighting):
    """A loss counts by its root: large ones more, but less than in proportion."""

    def weights(self, losses: Tensor) -> Tensor:
        roots = losses.detach().sqrt()
        return roots / roots.sum()
