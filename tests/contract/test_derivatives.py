"""Derivatives that a method writes out are those of its objective, and lead to the same state."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import methods
from methods.families import LossMethod, LossWeighting
from tests import linear
from tests.inputs import gaussian

WRITTEN_OUT = [
    name
    for name in methods.names()
    if methods.card(name).family == "loss" and methods.get(name).derivatives not in (LossMethod.derivatives, LossWeighting.derivatives)
]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in WRITTEN_OUT),
    ("stch", {"form": "raw", "mu": 0.1}),
    ("stch", {"warmup": 0, "window": 2, "mu": 0.1}),
    ("uncertainty", {"coefficient": "half"}),
    ("ldc_mtl", {"initial": "theory", "penalty": 0.4}),
    ("pnorm", {"p": 1.0}),
    ("pnorm", {"p": 100.0}),
    *((name, {"ideal": -2.0}) for name in ("tchebycheff", "pnorm", "pbi", "cosmos")),
]
LOSSES = {
    "usual": torch.tensor([4.0, 0.3, 60.0]),
    "small": torch.tensor([4e-6, 3e-7, 6e-6]),
    "large": torch.tensor([4e6, 3e5, 6e6]),
    "equal": torch.full((3,), 0.7),
    "all zero": torch.zeros(3),
    "one zero": torch.tensor([1.0, 0.0, 2.0]),
    "negative": torch.tensor([1.0, -0.5, 2.0]),
}


def of_both(balancer: Any, losses: Tensor) -> tuple[list[Tensor], list[Tensor], dict[str, int], dict[str, int]]:
    """(written out, by autograd) and the events that each counted; the method itself is left alone."""
    one, two = copy.deepcopy(balancer), copy.deepcopy(balancer)
    own, gradients = one.derivatives(losses)
    auto, expected = LossMethod.derivatives(two, losses)
    for key, value in one.state_dict().items():
        assert key.startswith("_") or torch.equal(value, two.state_dict()[key]) or bool(value.isnan().any()), key
    return [own, *gradients], [auto, *expected], one.events, two.events


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_derivatives_are_those_of_the_objective(name: str, options: dict[str, Any], kind: str) -> None:
    facts = {"initial_losses": [1.0, 0.5, 2.0], "kinds": ["classification", "regression", "regression"], "preference": [1, 3, 2]}
    balancer = linear.create(name, 3, **facts, **options)
    losses = LOSSES[kind].double()
    if methods.card(name).positive_losses and "initial" in {h.name for h in methods.card(name).hyperparameters}:
        losses = losses.abs().clamp_min(1e-3)  # an initial loss that is not positive is an error
    for step in range(5):
        written, expected, *events = of_both(balancer, losses * 0.8**step)
        assert events[0] == events[1]
        assert written[0].dtype == losses.dtype
        for one, other in zip(written, expected, strict=True):
            assert torch.allclose(one.double(), other.double(), rtol=1e-5, atol=1e-6 * float(other.abs().max())), (one, other)
        linear.step(balancer, gaussian(3, 5, step), losses * 0.8**step)
