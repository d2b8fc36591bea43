"""A method at a learning rate: what competes until the last rung, where each method is left with the rate that was best for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import methods
from benchmark import plan
from benchmark.advice.verdict import changes
from benchmark.errors import UsageError
from benchmark.records import FINISHED, RunRecord

STEP = 3.0
"""From one learning rate to the next."""


@dataclass(frozen=True)
class Arm:
    """A method, and its learning rate: the problem's own, ``base``, times a power of ``STEP``."""

    method: str
    power: int
    base: float

    @property
    def rate(self) -> float:
        """To three digits, which is how it is printed."""
        return float(f"{self.base * STEP**self.power:.3g}") if self.power else self.base

    @property
    def entrant(self) -> plan.Entrant:
        """At the problem's own rate nothing is pinned."""
        pinned = (("learning_rate", self.rate),) if self.power else ()
        return plan.Entrant(methods.card(self.method), pinned)

    @property
    def label(self) -> str:
        return self.entrant.label


Results = dict[Arm, dict[int, list[RunRecord]]]
"""Records by arm and seed."""


def entrants_of(arms: Sequence[Arm]) -> tuple[plan.Entrant, ...]:
    return tuple(arm.entrant for arm in arms)


def around(centres: Mapping[str, int], powers: Sequence[int], base: float) -> list[Arm]:
    """Every method at so many rates around its own power of ``STEP``."""
    return [Arm(name, centre + power, base) for power in powers for name, centre in centres.items()]


def best_arms(runs: Mapping[Arm, Mapping[int, Sequence[RunRecord]]], reference: str, seeds: Sequence[int]) -> dict[str, tuple[float, Arm]]:
    """By method its best arm and how that one changes the validation metrics, in percent of equal weights; inf where all of them failed.

    Equal weights at the problem's own learning rate are what all are measured against, or at the first of the others where those failed.

    Raises:
        UsageError: equal weights failed at every rate.
    """
    against = next((arm for arm, records in runs.items() if arm.method == reference and _finished(records, seeds)), None)
    if against is None:
        trouble = next(r for arm in runs if arm.method == reference for s in seeds for r in runs[arm][s] if r.status not in FINISHED)
        raise UsageError(f"{trouble.spec.problem} cannot be trained under {reference} weights: {trouble.status}: {trouble.message}")
    by_label = {arm.label: arm for arm in runs}
    scores = changes({label: runs[arm] for label, arm in by_label.items()}, against.label, seeds)
    best: dict[str, tuple[float, Arm]] = {}
    for label, arm in by_label.items():
        if arm.method not in best or scores[label] < best[arm.method][0]:
            best[arm.method] = scores[label], arm
    return best


def _finished(records: Mapping[int, Sequence[RunRecord]], seeds: Sequence[int]) -> bool:
    return all(record.status in FINISHED for seed in seeds for record in records[seed])
