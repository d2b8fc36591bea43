"""The session of :mod:`tasks.known_front`: one parameter, two losses, analytic gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.base import Evaluation, Session, Split
from tasks.known_front import KnownFront, attained, distance, hypervolume

if TYPE_CHECKING:
    from tasks.gallery import Panel

Losses = Callable[[Sequence[float]], tuple[tuple[float, float], Sequence[float], Sequence[float]]]


class _Losses(torch.autograd.Function):
    """(L1, L2) of x ``[n]``, computed in double precision on the host.

    A step takes a third of the time that autograd needs for the forty scalar operations of the two-objective landscape.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, losses: Losses) -> tuple[Tensor, Tensor]:
        (first, second), *gradients = losses(x.tolist())
        ctx.gradients = [x.new_tensor(gradient) for gradient in gradients]
        return x.new_tensor(first), x.new_tensor(second)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        first, second = ctx.gradients
        return torch.addcmul(upstream[0] * first, upstream[1], second), None


class Point(nn.Module):
    """x in R^n, all of it shared."""

    def __init__(self, start: Sequence[float]) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(start))

    def forward(self, losses: Losses) -> tuple[Tensor, Tensor]:
        pair: tuple[Tensor, Tensor] = _Losses.apply(self.x, losses)  # type: ignore[no-untyped-call]
        return pair


class LandscapeSession(Session):
    """No data, no heads, no noise: ``batch`` is None at every step of every stream and both splits are the functions themselves.

    Where the point was at each evaluation on the validation split is kept, for :meth:`gallery`.
    """

    initial_losses = (math.nan, math.nan)
    prior_losses = (math.nan, math.nan)

    def __init__(self, problem: KnownFront, seed: int, device: str = "cpu") -> None:
        self.problem = problem
        self.point = Point(problem.start(seed)).to(device)
        self.model: nn.Module = self.point
        self.events: dict[str, int] = {}
        self._path: list[list[float]] = [self.point.x.tolist()]

    def shared(self) -> Sequence[nn.Parameter]:
        return [self.point.x]

    def last_layer(self) -> Sequence[nn.Parameter]:
        return [self.point.x]

    def batch(self, step: int, stream: int = 0) -> None:
        return None

    def losses(self, batch: None) -> tuple[list[Tensor], Tensor | None]:
        return list(self.point(self.problem.losses)), None

    def evaluate(self, split: Split) -> Evaluation:
        x = self.point.x.tolist()
        if split == "validation":
            self._path.append(x)
        pair, *_ = self.problem.losses(x)
        front = self.problem.front()
        whole = {"front_distance": distance(pair, front), "hypervolume": hypervolume([pair], front)}
        shares = attained(pair, front)
        owned = {
            f"{name}/{key}": values[i]
            for i, name in enumerate(("first", "second"))
            for key, values in (("attained", shares), ("loss", pair))
        }
        return Evaluation(pair, {**owned, **whole})

    def gallery(self, split: Split, examples: int) -> list[list[Panel]]:
        """The way from the start through every evaluation to where the point is now; there are no examples to show."""
        path = np.array([*self._path, self.point.x.tolist()])
        return [[panel] for panel in self.problem.planes(path, self.problem.card.name)]
