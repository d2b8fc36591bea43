"""Records of studies that nobody ran, to measure what reading many takes: a realistic mix, with numbers that a table can rank.

Of every suite, problem and method: tuning trials of three searches of budget 8, and the published defaults and the first search's choice on
many evaluation seeds; single-task training once a task. Some methods diverge now and then.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

import methods
from benchmark.plan import TUNING_SEED
from benchmark.records import Cost, MetricInfo, Point, RunRecord, TrialSpec

TASKS = ["classes", "depth", "angle"]
METRICS = {
    "classes/accuracy": MetricInfo(higher_is_better=True, low=0.0, high=1.0, task="classes"),
    "depth/rmse": MetricInfo(higher_is_better=False, low=0.0, task="depth"),
    "depth/relative": MetricInfo(higher_is_better=False, low=0.0, task="depth"),
    "angle/error": MetricInfo(higher_is_better=False, low=0.0, task="angle"),
}
SINGLE = "single_task"
ENVIRONMENT = {"lossbench": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6", "system": "Linux", "cpu": "AVX512"}
ENVIRONMENT |= {"device": "cpu", "threads": "1"}
SEARCHES, BUDGET, POINTS = 3, 8, 8


@dataclass(frozen=True)
class Size:
    """How much to make up."""

    suites: int
    problems: int
    methods: int
    seeds: int

    @property
    def names(self) -> list[str]:
        """Single-task training, then as many others of the registry."""
        return [SINGLE, *(name for name in methods.names() if name != SINGLE)][: self.methods]

    @property
    def records(self) -> int:
        a_cell = 1 + SEARCHES * (BUDGET - 1) + 2 * self.seeds
        return self.suites * self.problems * (len(self.names) + len(TASKS) - 1) * a_cell


def records(size: Size) -> Iterator[RunRecord]:
    """All of them, those of one configuration after each other; the same ones at every call."""
    for suite in range(size.suites):
        for problem in range(size.problems):
            for name in size.names:
                draw = random.Random(f"{suite} {problem} {name}")
                for task in range(len(TASKS)) if name == SINGLE else (None,):
                    yield from _cell(f"suite{suite}", f"problem{problem:02d}", name, task, size.seeds, draw)


def _cell(suite: str, problem: str, name: str, task: int | None, seeds: int, draw: random.Random) -> Iterator[RunRecord]:
    card = methods.card(name)
    level = 0.0 if task is not None else draw.gauss(0.0, 0.05)
    own: dict[str, Any] = {} if task is not None else {each.name: each.default for each in card.hyperparameters}
    base = TrialSpec(
        suite=suite,
        problem=problem,
        problem_version=1,
        data="0123456789abcdef0123",
        method=name,
        method_version=card.version,
        entrant=name,
        hyperparameters=own if task is None else {"task": task},
        learning_rate=1e-3,
        role="tune",
        seed=TUNING_SEED,
        steps=2000,
        batch_size=64,
        eval_every=100,
        selection="best",
    )
    chosen, best = base, level
    yield _record(base, task, level, draw)
    for search in range(SEARCHES):
        for trial in range(1, BUDGET):
            spec = msgspec.structs.replace(base, trial=trial, learning_rate=10 ** draw.uniform(-4, -2), study_seed=search or msgspec.UNSET)
            quality = level + draw.gauss(0.02, 0.03)
            if search == 0 and quality < best:
                chosen, best = spec, quality
            yield _record(spec, task, quality, draw)
    for spec, quality in {base.trial: (base, level), -1: (chosen, best)}.values() if chosen is not base else [(base, level)]:
        for seed in range(seeds):
            yield _record(msgspec.structs.replace(spec, role="eval", seed=seed), task, quality + draw.gauss(0.0, 0.01), draw)


def _record(spec: TrialSpec, task: int | None, quality: float, draw: random.Random) -> RunRecord:
    """``quality``: relative change of every metric, lower is better."""
    own = [key for key, info in METRICS.items() if task is None or info.task == TASKS[task]]
    noise = 0.002 if spec.role == "eval" else 0.0  # so that the best trial is the one of the best quality
    values = {key: (0.8 * (1 - quality) if METRICS[key].higher_is_better else 0.4 * (1 + quality)) + draw.gauss(0, noise) for key in own}
    lost = spec.method.startswith("g") and draw.random() < 0.002
    curve = [
        Point(
            step=100 * (index + 1),
            train_losses=[draw.random() for _ in TASKS],
            validation_losses=[draw.random() for _ in TASKS],
            weights=[draw.random() for _ in TASKS],
            score=0.5 + quality - 0.01 * index,
            seconds=draw.random(),
        )
        for index in range(POINTS)
    ]
    return RunRecord(
        id=spec.id,
        spec=spec,
        status="diverged" if lost else "ok",
        message="the loss is not finite" if lost else "",
        tasks=TASKS,
        trained=list(range(len(TASKS))) if task is None else [task],
        metrics=METRICS,
        curve=curve,
        selected_step=None if lost else 100 * POINTS,
        validation={} if lost else values,
        test=values if spec.role == "eval" and not lost else {},
        cost=Cost(train=draw.random(), method=draw.random(), evaluation=0.1, steps=2000, backward_passes=2000, peak_memory=400 << 20),
        environment=ENVIRONMENT,
    )
