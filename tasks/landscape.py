"""The session of :mod:`tasks.two_objective`: one parameter, two losses, analytic gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tasks.base import Evaluation, Session, Split
from tasks.two_objective import TwoObjective, front_distance, losses


class _Losses(torch.autograd.Function):
    """(L1, L2) of x ``[2]``, computed in double precision on the host.

    A step takes a third of the time that autograd needs for the forty scalar operations of the formula.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        x1, x2 = x.tolist()
        (first, second), *gradients = losses(x1, x2, scale)
        ctx.gradients = [x.new_tensor(gradient) for gradient in gradients]
        return x.new_tensor(first), x.new_tensor(second)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        first, second = ctx.gradients
        return torch.addcmul(upstream[0] * first, upstream[1], second), None


class Point(nn.Module):
    """x in R², all of it shared."""

    def __init__(self, start: tuple[float, float]) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(start))

    def forward(self, scale: float) -> tuple[Tensor, Tensor]:
        pair: tuple[Tensor, Tensor] = _Losses.apply(self.x, scale)  # type: ignore[no-untyped-call]
        return pair


class LandscapeSession(Session):
    """No data, no heads, no noise: ``batch`` is None at every step of every stream and both splits are the function itself."""

    initial_losses = (math.nan, math.nan)
    prior_losses = (math.nan, math.nan)

    def __init__(self, problem: TwoObjective, seed: int, device: str = "cpu") -> None:
        self._scale = problem.scale
        self.point = Point(problem.start(seed)).to(device)
        self.model: nn.Module = self.point
        self.events: dict[str, int] = {}

    def shared(self) -> Sequence[nn.Parameter]:
        return [self.point.x]

    def last_layer(self) -> Sequence[nn.Parameter]:
        return [self.point.x]

    def batch(self, step: int, stream: int = 0) -> None:
        return None

    def losses(self, batch: None) -> tuple[list[Tensor], Tensor | None]:
        return list(self.point(self._scale)), None

    def evaluate(self, split: Split) -> Evaluation:
        x1, x2 = self.point.x.tolist()
        pair, *_ = losses(x1, x2, self._scale)
        return Evaluation(pair, {"first/loss": pair[0], "second/loss": pair[1], "front_distance": front_distance(pair, self._scale)})
