"""From records to runs: what one entrant did on one problem with one seed, and which of it may be compared.

Nothing is left out without a note that says what and why.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeGuard

import msgspec

from benchmark.evidence import E, Evidence, One, S, Series, Setting, singles
from benchmark.records import FINISHED, MetricInfo
from benchmark.sheet import NO_METRICS, Run, Sheet

_SETTING = ("data", "steps", "batch_size", "halve_every", "eval_every", "optimizer", "selection", "precision")
"""Fields of the spec that must agree among all runs of one problem before they may be compared."""


@dataclass(frozen=True)
class Problem:
    """One problem of the table and what its rows are compared on."""

    label: str
    """Name; suite/name where the table spans suites."""
    suite: str
    name: str
    tasks: list[str]
    metrics: dict[str, MetricInfo]
    seeds: list[int]
    """Seeds that are compared: those that the baseline finished, where there is a baseline."""
    baseline: bool
    """Whether single-task training gives a baseline; without, Δm and Δp are nan."""


Runs = dict[str, Mapping[int, Run]]
"""By entrant and seed."""


@dataclass(frozen=True)
class Group:
    problem: Problem
    runs: Runs


def place(record: Evidence) -> tuple[str, str]:
    return record.spec.suite, record.spec.problem


def one_setting(label: str, members: list[E]) -> tuple[list[E], list[str]]:
    """The records of one problem that may be compared: newest protocol, problem and methods, and the setting that most of them have."""
    newest = max((record.spec.protocol, record.spec.problem_version) for record in members)
    current = [record for record in members if (record.spec.protocol, record.spec.problem_version) == newest]
    counts: Counter[tuple[str | int, ...]] = Counter()
    for record in current:
        counts[_setting(record)] += record.count
    common = max(counts, key=lambda setting: (counts[setting], setting))
    alike = [record for record in current if _setting(record) == common]
    ages = {record.spec.entrant: record.spec.age for record in sorted(alike, key=lambda record: record.spec.age)}
    kept = [record for record in alike if record.spec.age == ages[record.spec.entrant]]
    differ = [f"{name}={common[index]}" for index, name in enumerate(_SETTING) if len({each[index] for each in counts}) > 1]
    why = (
        f"not of protocol {newest[0]} and problem version {newest[1]}, the newest",
        f"not of the most frequent setting ({', '.join(differ)})",
        "of an older version of the method",
    )
    notes = []
    for before, after, reason in zip((members, current, alike), (current, alike, kept), why, strict=True):
        if len(after) < len(before):
            still = set(map(id, after))
            gone = [record for record in before if id(record) not in still]
            names = sorted({record.spec.entrant for record in gone})
            notes.append(f"{label}: {sum(record.count for record in gone)} records of {', '.join(names)} left out: {reason}")
    return kept, notes


def _setting(record: Evidence) -> tuple[str | int, ...]:
    """What is absent is 0, so that any two settings have an order."""
    values = (getattr(record.spec, name) for name in _SETTING)
    return tuple(0 if value is msgspec.UNSET else value for value in values)


def runs_of(label: str, members: Sequence[Evidence], partial: set[str]) -> tuple[Runs, dict[str, MetricInfo], list[str]]:
    """Runs of one problem by entrant and seed, the metrics that it declares, and what a reader must know about both.

    Args:
        members: those of an entrant after each other.
    """
    metrics: dict[str, MetricInfo] = {}
    for record in members:
        if not record.metrics.keys() <= metrics.keys():
            metrics |= {key: info for key, info in record.metrics.items() if key not in metrics}
    runs: Runs = {}
    notes = []
    stacked: set[str] = set()
    doubled: list[int]
    settings: dict[object, set[str]]
    for entrant, of_entrant in groupby(members, key=lambda record: record.spec.entrant):
        parts = list(of_entrant)
        stacked |= {entrant for part in parts if part.spec.engine is not msgspec.UNSET}
        if entrant not in partial and _each_seed_once(parts):
            runs[entrant], doubled = Sheet(parts, list(metrics)), []
            settings = {None: {_configured(part.spec) for part in parts}}
        else:
            runs[entrant], doubled, settings = _one_by_one(parts, metrics, entrant in partial)
        if doubled:
            shown = "one that finished, and of two engines the seed trained alone"
            notes.append(f"{label}: {entrant} has several records for {seed_range(doubled)}; of each is shown {shown}")
        if any(len(different) > 1 for different in settings.values()):
            notes.append(f"{label}: seeds of {entrant} were run with different hyperparameters or learning rates")
    if stacked:
        notes.append(f"{label}: seeds of {', '.join(sorted(stacked))} were trained together: a step time is a share of the pass")
    return runs, metrics, notes


def _one_by_one(
    parts: Iterable[Evidence], metrics: Mapping[str, MetricInfo], partial: bool
) -> tuple[dict[int, Run], list[int], dict[object, set[str]]]:
    """Runs of one entrant by seed, the seeds with several records, and the configurations by what was trained."""
    runs: dict[int, Run] = {}
    doubled = []
    settings: dict[object, set[str]] = {}
    records = sorted(singles(parts), key=lambda record: (record.spec.seed, record.id))
    for seed, of_seed in groupby(records, key=lambda record: record.spec.seed):
        choices = alternatives(of_seed, partial)
        if any(len(same) > 1 for same in choices.values()):
            doubled.append(seed)
        chosen = {key: same[0] for key, same in choices.items()}
        for key, record in chosen.items():
            settings.setdefault(key, set()).add(_configured(record.spec))
        runs[seed] = _compose(list(chosen.values()), metrics, partial)
    return runs, doubled, settings


def _configured(spec: Setting) -> str:
    return f"learning_rate={spec.learning_rate}, {sorted(spec.hyperparameters.items())}"


def alternatives(of_seed: Iterable[S], partial: bool) -> dict[object, list[S]]:
    """The records of one entrant and seed by what they trained, where each trains a part of it; of several, the first is shown."""
    found: dict[object, list[S]] = {}
    for record in sorted(of_seed, key=_precedence):  # a run that failed before it knew its task stands for itself
        found.setdefault((tuple(record.trained) or record.id) if partial else None, []).append(record)
    return found


def _precedence(record: One) -> tuple[bool, bool, str]:
    """Which of several records of one seed is shown: the first in this order."""
    return record.status not in FINISHED, record.spec.engine is not msgspec.UNSET, record.id


def _compose(records: list[One], metrics: Mapping[str, MetricInfo], partial: bool) -> Run:
    """One run out of one record, or out of one a task: a task's metrics come from the record that trained it."""
    values: dict[str, float] = {}
    failures = []
    for record in records:
        if record.status not in FINISHED:
            failures.append(str(record.status))
            continue
        trained = {name for index, name in enumerate(record.tasks) if index in record.trained}
        wanted = [key for key, info in metrics.items() if not partial or info.task in trained]
        values.update({key: record.test[key] for key in wanted if key in record.test})
        if any(key not in record.test for key in wanted):
            failures.append(NO_METRICS)
    expected = {key for key, info in metrics.items() if not partial or info.task is not None}
    costs = [record.cost for record in records if record.cost is not None and record.cost.steps > 0]
    memory = [cost.peak_memory for cost in costs if cost.peak_memory is not None]
    whole = len(costs) == len(records)
    return Run(
        values,
        failures,
        done=bool(expected) and not failures and expected <= values.keys(),
        step_seconds=sum((cost.train + cost.method) / cost.steps for cost in costs) if whole else math.nan,
        passes=sum(cost.backward_passes / cost.steps for cost in costs) if whole else math.nan,
        peak_memory=float(max(memory)) if whole and memory and len(memory) == len(costs) else math.nan,
        seconds=sum(cost.train + cost.method for cost in costs) if whole else math.nan,
        curve=() if partial else records[0].curve,
        selection=records[0].spec.selection,
    )


def _each_seed_once(parts: Sequence[Evidence]) -> TypeGuard[Sequence[Series]]:
    """Whether all are series and no two have a seed in common: nothing has to be chosen then."""
    if not all(isinstance(part, Series) for part in parts):
        return False
    series = [part for part in parts if isinstance(part, Series)]
    return len({seed for part in series for seed in part.seeds}) == sum(part.count for part in series)


def settle(
    group: Group, baseline: str | None, partial: set[str], method: str, words: str = "single-task training"
) -> tuple[Group, list[str]]:
    """Decides which seeds of a problem are compared, and says what the baseline (``words``) lacks and how to get it."""
    problem, runs = group.problem, group.runs
    reference = runs.get(baseline, {}) if baseline is not None else {}
    entered = {seed for entrant, of in runs.items() if entrant not in partial for seed in of}
    ran = entered or {seed for of in runs.values() for seed in of}
    seeds = sorted(seed for seed in ran if seed in reference and reference[seed].done)
    missing = sorted(ran - set(seeds))
    notes = []
    if missing:
        lacks = []
        for task in problem.tasks:
            keys = [key for key, info in problem.metrics.items() if info.task == task]
            holes = [seed for seed in missing if seed not in reference or any(key not in reference[seed].values for key in keys)]
            if holes:
                lacks.append(f"task {task} with {seed_range(holes)}")
        verdict = "those seeds are not compared" if seeds else "Δm is n/a"
        command = f"python -m benchmark run --suite {problem.suite} --methods {method}"
        if any(reference[seed].failures for seed in missing if seed in reference):  # they are recorded, and so not missing
            command += " --retry failed"
        notes.append(f"{problem.label}: {words} lacks {'; '.join(lacks) or seed_range(missing)}, so {verdict}; run `{command}`")
    return Group(replace(problem, seeds=seeds or sorted(ran), baseline=bool(seeds)), runs), notes


def seed_range(seeds: Iterable[int]) -> str:
    """``seeds 0-3, 7``."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], seed]
        else:
            parts.append([seed])
    text = ", ".join("-".join(str(end) for end in part) for part in parts)
    return f"seed{'s' if len(parts) > 1 or len(parts[0]) > 1 else ''} {text}"
