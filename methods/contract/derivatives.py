"""Derivatives that a loss method writes out are those of its objective, and lead to the same state."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import methods
from methods.contract import linear
from methods.contract.inputs import gaussian, show
from methods.contract.outcome import Broken
from methods.families import LossMethod, LossWeighting

FACTS = {"initial_losses": [1.0, 0.5, 2.0], "kinds": ["classification", "regression", "regression"], "preference": [1, 3, 2]}
LOSSES = {
    "usual": torch.tensor([4.0, 0.3, 60.0]),
    "small": torch.tensor([4e-6, 3e-7, 6e-6]),
    "large": torch.tensor([4e6, 3e5, 6e6]),
    "equal": torch.full((3,), 0.7),
    "all zero": torch.zeros(3),
    "one zero": torch.tensor([1.0, 0.0, 2.0]),
    "negative": torch.tensor([1.0, -0.5, 2.0]),
}


def written_out(name: str) -> bool:
    """Whether the method has derivatives of its own, beside its objective."""
    if ":" in name or not issubclass(methods.get(name), LossMethod):
        return False
    return methods.get(name).derivatives not in (LossMethod.derivatives, LossWeighting.derivatives)  # type: ignore[attr-defined]


def of_both(balancer: Any, losses: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """(written out, by autograd); the method itself is left alone. Raises Broken where state or events differ afterwards."""
    one, two = copy.deepcopy(balancer), copy.deepcopy(balancer)
    own, gradients = one.derivatives(losses)
    auto, expected = LossMethod.derivatives(two, losses)
    for key, value in one.state_dict().items():
        other = two.state_dict()[key]
        if not (key.startswith("_") or torch.equal(value, other) or bool(value.isnan().any())):
            raise Broken(f"derivatives() leaves {key} at {show(value)}, but objective() at {show(other)}")
    if one.events != two.events:
        raise Broken(f"derivatives() counts {one.events}, but objective() {two.events}")
    return [own, *_given(gradients)], [auto, *_given(expected)]


def _given(gradients: Sequence[Tensor | None]) -> list[Tensor]:
    """Zeros of one element stand for a parameter that the objective does not reach."""
    return [torch.zeros(()) if gradient is None else gradient for gradient in gradients]


def same_as_objective(name: str, kind: str, **options: Any) -> None:
    """On five steps of the losses that are called so."""
    balancer = linear.create(name, 3, **FACTS, **options)
    losses = LOSSES[kind].double()
    if linear.card(name).positive_losses and linear.theory(name):
        losses = losses.abs().clamp_min(1e-3)  # an initial loss that is not positive is an error
    for step in range(5):
        now = losses * 0.8**step
        written, expected = of_both(balancer, now)
        if written[0].dtype != now.dtype:
            raise Broken(f"derivatives() of losses in {now.dtype} are in {written[0].dtype}; expected the same dtype")
        for place, (one, other) in enumerate(zip(written, expected, strict=True)):
            # The slope of a learned number is a sum over the losses, which may cancel to rounding.
            cancelled = torch.finfo(other.dtype).eps * float(now.abs().max()) if place else 0.0
            if not torch.allclose(one.double(), other.double(), rtol=1e-5, atol=1e-6 * float(other.abs().max()) + cancelled):
                raise Broken(f"with losses {show(now)} derivatives() gives {show(one)}; expected {show(other)}, as autograd of objective()")
        linear.step(balancer, gaussian(3, 5, step), now)


def absent(name: str) -> str:
    return "" if written_out(name) else "it writes no derivatives() out"


def derivatives(name: str) -> str:
    for kind in LOSSES:
        same_as_objective(name, kind)
    return ""
