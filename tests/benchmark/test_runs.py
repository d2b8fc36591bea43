from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from benchmark.evidence import Series
from benchmark.records import Cost, RunRecord
from benchmark.runs import _one_by_one, runs_of
from benchmark.sheet import Run, Sheet, columns
from tests.made import METRICS, make


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


def series(seeds: list[int], names: list[str], draw: np.random.Generator) -> Series:
    """Of which some runs failed, some lack a metric, and some their cost or memory."""
    n = len(seeds)
    spec = make({"error": 1.0, "accuracy": 0.8}, entrant="x").spec
    test = np.where(draw.random((n, len(names))) < 0.2, np.nan, draw.random((n, len(names))))
    lost = draw.random(n) < 0.2
    numbers = {
        name: np.where(lost, np.nan, draw.integers(0, 9, n)) for name in ("steps", "backward_passes", "train", "method", "evaluation")
    }
    return Series(
        spec=spec,
        tasks=["one", "two"],
        trained=[0, 1],
        metrics={name: METRICS[name] for name in names},
        environment={},
        seeds=seeds,
        statuses=[("completed", "diverged", "error")[kind] for kind in draw.integers(0, 3, n)],
        test=test,
        **numbers,
        peak_memory=np.where(lost | (draw.random(n) < 0.3), np.nan, 1000 * draw.integers(1, 9, n)),
        raw_ids=draw.bytes(10 * n),
        spec_of=lambda seed: msgspec.structs.replace(spec, seed=seed),
        read=lambda id_: (),
    )


@pytest.mark.parametrize("number", range(20))
def test_a_sheet_and_its_columns_say_what_its_records_say_one_by_one(number: int) -> None:
    draw = np.random.default_rng(number)
    names = list(METRICS)
    parts = [series([7, 8, 11], names[: number % 3], draw), series([0, 3, 5, 9], names[::-1], draw)]
    metrics = {name: METRICS[name] for name in (names if number < 15 else [])}
    one_by_one, _, _ = _one_by_one(parts, metrics, partial=False)
    sheet = Sheet(parts, list(metrics))
    assert list(sheet) == list(one_by_one) == [0, 3, 5, 7, 8, 9, 11]
    for seed, run in one_by_one.items():
        assert repr(replace(sheet[seed], curve=())) == repr(replace(run, curve=()))  # as text, where nan is nan
        assert len(sheet[seed].curve) == len(run.curve) == 0
    expected = columns(one_by_one, list(metrics))
    found = columns(sheet)
    assert found.seeds == expected.seeds
    assert sorted(found.failures) == sorted(expected.failures)
    for name in ("values", "done", "step_seconds", "passes", "peak_memory"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
