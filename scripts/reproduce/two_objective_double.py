"""The two-objective landscapes with x in double precision, as the simulations behind the numbers have it."""

from __future__ import annotations

from dataclasses import replace

from tasks.base import Session
from tasks.locations import Locations
from tasks.two_objective import PROBLEMS, TwoObjective


class DoubleTwoObjective(TwoObjective):
    """Everything is the registry's but the precision of x, and with it of gradients and of Adam."""

    def __init__(self, single: TwoObjective) -> None:
        super().__init__(f"{single.card.name}_double", single.scale, single.starts, "")
        self.card = replace(self.card, version=1, summary=f"{single.card.summary}, in double precision")

    def parameters(self) -> tuple[object, ...]:
        return *super().parameters(), "float64"

    def open(self, seed: int, batch_size: int, device: str = "cpu", where: Locations | None = None) -> Session:
        session = super().open(seed, batch_size, device, where)
        session.model.double()
        return session


tenth, whole = (DoubleTwoObjective(problem) for problem in PROBLEMS)
