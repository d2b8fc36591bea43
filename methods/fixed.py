from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from methods.card import Card, Hyperparameter
from methods.errors import MethodError
from methods.families import LossMethod
from methods.registry import register


@register(
    Card(
        name="fixed",
        version=1,
        title="Weights set by hand",
        paper="Guo et al., Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement, CVPR 2020 (its weights are 1/10/5/200)",
        year=2020,
        arxiv="2001.06826",
        family="loss",
        equation="Σ w_t L_t",
        hyperparameters=(Hyperparameter("weights", "equal", "w in the order of the tasks, as 1/10/5/200; equal: 1 each"),),
        claims=("degree_1",),
        coincides=("equal",),
        deviations="with weights of 1 each, its default, the direction is that of equal weights",
    )
)
class Fixed(LossMethod):
    """What is done without a method: constants, found by trial and error."""

    weights: str
    w: Tensor

    def setup(self) -> None:
        self.register_buffer("w", torch.tensor(_parse(self.weights, self.num_tasks), dtype=torch.float64))

    def objective(self, losses: Tensor) -> Tensor:
        return (self.w.to(losses) * losses).sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        return self.w.to(losses), ()


def _parse(text: str, count: int) -> list[float]:
    """Raises MethodError where these are not ``count`` finite numbers of at least 0, one of them above 0."""
    if text == "equal":
        return [1.0] * count
    try:
        weights = [float(part) for part in text.split("/")]
    except ValueError as error:
        raise MethodError(f"fixed.weights is {text!r}; expected numbers between slashes, as 1/10/5/200, or equal") from error
    if len(weights) != count:
        raise MethodError(f"fixed.weights is {text!r}: {len(weights)} weights; expected {count}, one a task")
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise MethodError(f"fixed.weights is {text!r}; expected finite numbers of at least 0, one of them above 0")
    return weights
