"""What workers do for `bench_sweep`: a fixed amount of arithmetic on one thread, and a note of when. Workers import this module by name."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmark.executors import Job, Outcome
from benchmark.records import RunRecord, TrialSpec

WORK = "sweep_work:run"


@dataclass(frozen=True)
class Span:
    """A trial's time on the clock of the machine, in seconds, and the process that it ran in."""

    pid: str
    start: float
    end: float


def job(seed: int, loops: int = 0) -> Job:
    """A trial of so many ``turn``s; of none it is trivial."""
    spec = TrialSpec(
        suite="bench", problem="none", problem_version=1, data="none", method="none", method_version=1, entrant="none",
        hyperparameters={"loops": loops}, learning_rate=0.001, role="tune", seed=seed, steps=1, batch_size=1, eval_every=1,
        selection="last",
    )  # fmt: skip
    return Job((spec,), "cpu")


def turn(matrix: torch.Tensor) -> torch.Tensor:
    """A tenth of a millisecond or so."""
    return torch.tanh(matrix @ matrix)


def run(job: Job) -> list[RunRecord]:
    start, matrix = time.time(), torch.full((64, 64), 0.01)
    for _ in range(int(job.spec.hyperparameters["loops"])):
        matrix = turn(matrix)
    note = {"pid": str(os.getpid()), "start": repr(start), "end": repr(time.time())}
    return [RunRecord(id=job.spec.id, spec=job.spec, status="ok", environment=note)]


def span(outcome: Outcome) -> Span:
    assert outcome.records, outcome.fault
    note = outcome.records[0].environment
    return Span(note["pid"], float(note["start"]), float(note["end"]))


def rate(spans: Sequence[Span]) -> float:
    """Trials a second while all workers were at it: from the last one's first start to the first one's last end, gaps included."""
    workers = {each.pid for each in spans}
    begin = max(min(each.start for each in spans if each.pid == pid) for pid in workers)
    end = min(max(each.end for each in spans if each.pid == pid) for pid in workers)
    inside = sum(max(0.0, min(each.end, end) - max(each.start, begin)) / (each.end - each.start) for each in spans)
    return inside / (end - begin)
