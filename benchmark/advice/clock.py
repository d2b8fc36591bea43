"""What a trial takes beside its training: seen from outside, as its record counts only what happens inside."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from benchmark.records import RunRecord
from benchmark.study import Watcher

LEAST = 0.05
"""Seconds at least to hand out a trial and open its data."""


def work(record: RunRecord) -> float:
    """Seconds that a record counts."""
    cost = record.cost
    return cost.train + cost.method + cost.evaluation if cost else 0.0


@dataclass
class Clock(Watcher):
    """Watches a stage: when each trial ended, and how long it worked."""

    jobs: int
    ends: list[tuple[float, float]] = field(default_factory=list)

    def seen(self, record: RunRecord) -> None:
        self.ends.append((time.monotonic(), work(record)))

    def around(self) -> float:
        """Seconds of a worker beside the work of a trial. The first of each worker, which has to start, are left out."""
        later = self.ends[self.jobs :]
        if len(later) < self.jobs:
            return LEAST
        seconds = (later[-1][0] - self.ends[self.jobs - 1][0]) * self.jobs
        return max(LEAST, (seconds - sum(worked for _, worked in later)) / len(later))
