"""A small study made in the test: three methods and single-task training on two problems, with curves; and one of hostile names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, structs

from benchmark.records import Cost, MetricInfo, Point, RunRecord
from benchmark.selection import Search
from benchmark.site.data import Board, board
from benchmark.table import build
from tests.made import METRICS
from tests.made import make as any_record

SCRIPT = "<script>alert(1)</script>"
HOSTILE = (SCRIPT, '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}", "../../etc/passwd", "</script><b>", "@0", "%{x}", "a\u202eb\nc", "Nul")


def make(test: Mapping[str, float] | None = None, *, entrant: str, **fields: Any) -> RunRecord:
    """As all tests make one, of the fifty steps that :func:`curve` has."""
    return any_record(test, **{"entrant": entrant, "steps": 50, **fields})


def curve(seed: int, trained: Sequence[int], weights: Sequence[float] = (), cosine: float | None = None, slope: float = 1.0) -> list[Point]:
    """Five evaluations of two tasks, each loss falling as ``slope / step``; of a task that is not trained, nothing."""
    return [
        Point(
            step=step,
            train_losses=[slope * (t + 1 + seed / 10) / step if t in trained else None for t in (0, 1)],
            validation_losses=[slope * (t + 2 + seed / 10) / step if t in trained else None for t in (0, 1)],
            weights=[weight + seed / 10 for weight in weights],
            score=1.0 / step,
            seconds=0.1 * step,
            cosine=UNSET if cosine is None else cosine,
            conflicts=UNSET if cosine is None else 0.25,
            metrics={key: slope * (1 + seed / 10) / step for t, key in enumerate(METRICS) if t in trained},
        )
        for step in (10, 20, 30, 40, 50)
    ]


def record(
    entrant: str,
    error: float,
    accuracy: float,
    *,
    trained: Sequence[int] = (0, 1),
    weights: Sequence[float] = (),
    slope: float = 1.0,
    **fields: Any,
) -> RunRecord:
    values = {"error": error, "accuracy": accuracy}
    test = {key: value for index, (key, value) in enumerate(values.items()) if index in trained}
    cost = Cost(train=1.0, method=0.5, evaluation=0.1, steps=50, backward_passes=50 * len(trained), peak_memory=3_000_000)
    made = make(test, entrant=entrant, trained=trained, **fields)
    cosine = -0.5 if weights else None
    return structs.replace(made, cost=cost, curve=curve(made.spec.seed, trained, weights, cosine, slope), selected_step=50)


def study(problems: Sequence[str] = ("digits", "wine"), seeds: int = 3, **fields: Any) -> list[RunRecord]:
    """``equal`` and ``gradnorm`` finish, ``broken`` fails once a problem; single-task training is the baseline."""
    records: list[RunRecord] = []
    for problem in problems:
        for seed in range(seeds):
            where: dict[str, Any] = {"problem": problem, "seed": seed, **fields}
            records += [record("single_task", 1.0 + seed / 20, 0.8, trained=[t], hyperparameters={"task": t}, **where) for t in (0, 1)]
            records.append(record("equal", 1.5 + seed / 20, 0.7, slope=2.0, **where))
            records.append(
                record("gradnorm(alpha=0.12)", 0.9 + seed / 30, 0.8, weights=(1.0, 3.0), hyperparameters={"alpha": 0.12}, **where)
            )
            failed = structs.replace(make(entrant="broken", **where), status="oom", message="out of <memory>")
            records.append(record("broken", 0.5, 0.9, **where) if seed else failed)
    return records


def hostile() -> list[RunRecord]:
    """Every text that a record may carry is hostile: entrant, problem, suite, metric, task, status message, event."""
    records: list[RunRecord] = []
    for text in HOSTILE[:3]:
        metrics = {text: MetricInfo(higher_is_better=False, task=text), "accuracy": MetricInfo(higher_is_better=True, task="b")}
        for seed in range(2):
            where: dict[str, Any] = {"metrics": metrics, "tasks": (text, "b"), "problem": text, "suite": SCRIPT, "seed": seed}
            values = {text: 1.0 + seed / 9, "accuracy": 0.8}
            for t in (0, 1):
                test = {list(values)[t]: list(values.values())[t]}
                records.append(make(test, entrant="single", trained=[t], hyperparameters={"task": t}, **where))
            for name in HOSTILE:
                made = make(values, entrant=name, hyperparameters={SCRIPT: SCRIPT}, **where)
                records.append(
                    structs.replace(made, message=SCRIPT, events={SCRIPT: 1}, curve=curve(seed, (0, 1), (1.0, 2.0), 0.1), selected_step=50)
                )
    return records


def on_board(records: Sequence[RunRecord], search: Search | None = None) -> Board:
    return board(records, build(records, draws=50), search or Search(), lambda each: f"records/{each.spec.problem}/{each.id}.json")
