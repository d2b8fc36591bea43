"""Records that no training made, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.records import Cost, MetricInfo, RunRecord, TrialSpec

SPEC: dict[str, Any] = {
    "suite": "toy",
    "problem": "digits",
    "problem_version": 1,
    "data": "abc",
    "method": "equal",
    "method_version": 1,
    "entrant": "equal",
    "hyperparameters": {},
    "learning_rate": 1e-3,
    "trial": 0,
    "role": "eval",
    "seed": 0,
    "steps": 100,
    "batch_size": 8,
    "eval_every": 10,
    "selection": "best",
}
METRICS = {
    "error": MetricInfo(higher_is_better=False, low=0.0, task="a"),
    "accuracy": MetricInfo(higher_is_better=True, low=0.0, high=1.0, task="b"),
}


def make(
    test: Mapping[str, float] | None = None,
    *,
    status: str = "ok",
    trained: Sequence[int] = (0, 1),
    metrics: Mapping[str, MetricInfo] = METRICS,
    tasks: Sequence[str] = ("a", "b"),
    cost: Cost | None = None,
    environment: Mapping[str, str] | None = None,
    **fields: Any,
) -> RunRecord:
    """A record of task a's ``error`` and task b's ``accuracy``; other fields are the spec's, ``entrant`` naming the method too."""
    method = fields.get("entrant", "equal").partition("(")[0]
    spec = TrialSpec(**{**SPEC, "method": method, **fields})
    return RunRecord(
        id=spec.id,
        spec=spec,
        status=status,  # type: ignore[arg-type]
        tasks=list(tasks),
        trained=list(trained),
        metrics=dict(metrics),
        test=dict(test or {}),
        cost=cost,
        environment=dict(environment or {}),
    )
