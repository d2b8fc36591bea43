from __future__ import annotations

import math

import pytest
from test_records import METRICS, make

from benchmark.records import Cost, RunRecord
from benchmark.runs import Run, runs_of


def cost(train: float, method: float, memory: int | None) -> Cost:
    return Cost(train=train, method=method, evaluation=99.0, steps=10, backward_passes=20, peak_memory=memory)


def single(memories: tuple[int | None, int | None]) -> list[RunRecord]:
    """One record a task, as single-task training has them."""
    values = {"error": 1.0}, {"accuracy": 0.8}
    fields = [{"trained": [t], "hyperparameters": {"task": t}, "cost": cost(1.0 + t, 0.5, memories[t])} for t in (0, 1)]
    return [make(values[t], entrant="single", **fields[t]) for t in (0, 1)]


def of(records: list[RunRecord], partial: set[str]) -> Run:
    runs, metrics, _ = runs_of("digits", records, partial)
    assert metrics == METRICS
    return runs[records[0].spec.entrant][0]


def test_a_run_has_its_seconds_and_its_memory() -> None:
    run = of([make({"error": 1.0, "accuracy": 0.8}, entrant="x", cost=cost(1.0, 0.5, 700))], set())
    assert (run.seconds, run.peak_memory) == (1.5, 700.0)
    assert run.step_seconds == pytest.approx(0.15)


def test_tasks_trained_one_after_the_other_take_the_sum_of_the_time_and_the_largest_memory() -> None:
    run = of(single((700, 900)), {"single"})
    assert (run.seconds, run.peak_memory) == (4.0, 900.0)


@pytest.mark.parametrize("memories", [(None, 900), (700, None), (None, None)])
def test_memory_that_one_record_lacks_is_not_known(memories: tuple[int | None, int | None]) -> None:
    run = of(single(memories), {"single"})
    assert math.isnan(run.peak_memory)
    assert run.seconds == 4.0


def test_a_run_without_a_cost_has_none() -> None:
    run = of([make({"error": 1.0, "accuracy": 0.8}, entrant="x")], set())
    assert math.isnan(run.seconds)
    assert math.isnan(run.peak_memory)
