"""What a step costs beside one of equal weights, and whether its backward passes are counted; and what goes wrong where nothing should."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import methods
from methods.contract import linear
from methods.contract.inputs import gaussian
from methods.contract.outcome import Broken

WIDTH = 128
BATCH = 64
ROUNDS = 11
STEPS = 3
ABSURD = 100.0
FACTS = {"initial_losses": [3.0, 1.0, 2.0], "prior_losses": [2.0, 0.5, 1.0]}
BASELINE = "equal"
"""What every study contains and leaderboards give costs against."""


class Tap(torch.autograd.Function):
    """The identity; counts the backward passes through it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, passes: list[int]) -> Tensor:
        ctx.passes = passes
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.passes[0] += 1
        return gradients[0], None


class Loop:
    """A training loop of three regressions over one trunk, in float32."""

    def __init__(self, name: str, passes: list[int] | None = None) -> None:
        self.balancer = linear.create(name, 3, **FACTS)
        self.passes = passes
        weights = torch.Generator().manual_seed(0)

        def layer(inputs: int, outputs: int) -> nn.Linear:
            found = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
            for parameter in found.parameters():
                nn.init.normal_(parameter, std=inputs**-0.5, generator=weights)
            return found

        self.first, self.rest = layer(32, WIDTH), nn.Sequential(nn.ReLU(), layer(WIDTH, WIDTH), nn.ReLU())
        self.heads = [layer(WIDTH, 1) for _ in range(3)]
        self.shared = [*self.first.parameters(), *self.rest.parameters()]
        self.optimizer = torch.optim.Adam([*self.shared, *(p for head in self.heads for p in head.parameters())], lr=1e-3)
        self.data = [torch.randn(BATCH, 32, generator=weights) for _ in range(1 + self.balancer.extra_batches)]
        self.targets = torch.randn(3, BATCH, 1, generator=weights)

    def losses(self, k: int = 0) -> list[Tensor]:
        hidden = self.first(self.data[k])
        self.z = self.rest(hidden if self.passes is None else Tap.apply(hidden, self.passes))  # type: ignore[no-untyped-call]
        return [(head(self.z) - target).square().mean() for head, target in zip(self.heads, self.targets, strict=True)]

    def step(self) -> None:
        self.optimizer.zero_grad()
        losses = self.losses()
        evaluate = self.losses if self.balancer.extra_batches else None
        self.balancer.backward(losses, shared=self.shared, representation=self.z, evaluate=evaluate)
        self.optimizer.step()
        if self.balancer.reforward:
            with torch.no_grad():
                self.balancer.after_step(self.losses())


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(STEPS):
        act()
    return time.perf_counter() - begun


def counted(name: str) -> float:
    """Backward passes through the trunk a step. Raises Broken where the method counts others than there were."""
    passes = [0]
    loop = Loop(name, passes)
    for step in range(1, 3):
        before, there = loop.balancer.backward_passes, passes[0]
        loop.step()
        said, done = loop.balancer.backward_passes - before, passes[0] - there
        if said != done:
            raise Broken(f"step {step} took {done} backward passes through the trunk, but it counts {said}")
    return passes[0] / 2


def cost(name: str) -> str:
    passes = counted(name)
    mine, equal = Loop(name), Loop(BASELINE)
    for loop in (mine, equal):
        loop.step()
    ratios = sorted(timed(mine.step) / timed(equal.step) for _ in range(ROUNDS))
    low, middle, high = ratios[ROUNDS // 4], ratios[ROUNDS // 2], ratios[-1 - ROUNDS // 4]
    if middle > ABSURD:
        raise Broken(f"a step takes {middle:.0f} times as long as with equal weights; expected less than {ABSURD:.0f} times")
    times = f"{passes:g} backward pass{'' if passes == 1 else 'es'}"
    return f"a step takes {middle:.2g} times as long as with equal weights ({low:.2g} to {high:.2g}), with {times}"


def events(name: str) -> str:
    balancer: methods.Method = linear.create(name, 3, **FACTS)
    for k in range(10):
        jacobian = gaussian(3, 8, seed=k) + 0.5 * gaussian(3, 8, seed=99)
        linear.step(balancer, jacobian, torch.tensor([2.0, 0.7, 1.3], dtype=torch.float64) * 0.98**k)
    if balancer.events:
        told = ", ".join(f"{event} {times} times" for event, times in balancer.events.items())
        raise Broken(f"on ten well-posed steps it counts {told}; expected no events")
    return ""
