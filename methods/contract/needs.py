"""The facts about its tasks that a method asks for are those that it uses."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

import methods
from methods.card import Fact
from methods.contract import linear
from methods.contract.inputs import show
from methods.contract.outcome import Broken, one_line
from methods.contract.state import sequence

ONE: dict[str, list[float]] = {"initial_losses": [3.0, 1.0, 0.2], "prior_losses": [2.0, 0.5, 1.0]}
OTHER: dict[str, list[float]] = {"initial_losses": [0.4, 5.0, 1.0], "prior_losses": [0.3, 1.5, 4.0]}


def run(name: str, facts: dict[str, list[float]]) -> Tensor:
    """Updates ``[5, P]`` of a method that was told these facts and no others."""
    balancer = methods.create(name, 3, **facts)  # type: ignore[arg-type]
    if balancer.calibration_batches:
        balancer.calibrate(torch.ones(1, 3))
    return torch.stack([linear.step(balancer, *given)[0] for given in sequence(0, 5)])


def needs(name: str) -> str:
    card = linear.card(name)
    declared: dict[str, list[float]] = {fact: ONE[fact] for fact in card.needs}
    try:
        alone = run(name, declared)
    except Exception as error:
        what = f"only {', '.join(declared)}" if declared else "no facts about its tasks"
        raise Broken(f"given {what}, it {one_line(error)}; expected needs=(...) on its card to name what it needs") from error
    for fact in get_args(Fact):
        if fact in card.needs:
            if torch.equal(run(name, {**declared, fact: OTHER[fact]}), alone):
                raise Broken(f"its card needs {fact}, but its updates are the same for {ONE[fact]} and {OTHER[fact]}")
        else:
            told = run(name, {**declared, fact: ONE[fact]})
            if not torch.equal(told, alone):
                raise Broken(
                    f"its card does not need {fact}, but given {ONE[fact]} its update is {show(told[0])} and without {show(alone[0])}; "
                    f"expected needs=({fact!r},)"
                )
    return ""
