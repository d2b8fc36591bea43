"""The study behind an advice: a measurement, then rung after rung, every run a record like any other."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

import methods
import tasks
from benchmark import plan, study
from benchmark.advice import rungs
from benchmark.advice.rungs import Cost, Rung
from benchmark.advice.verdict import Verdict, changes, judge
from benchmark.errors import UsageError
from benchmark.executors import Executor
from benchmark.races import REFERENCE
from benchmark.records import FINISHED, RunRecord, TrialSpec
from benchmark.store import Store

SUITE = "advice"
PROBE_STEPS = 20
PROBE_SEED = 999
EVALUATIONS = 9
"""Of a run: a third of them lie in its last third."""
FOLDER = "advice"


class Made(msgspec.Struct, frozen=True):
    """A plan, kept beside the records so that the same question goes on where it was."""

    rungs: tuple[Rung, ...]
    step_seconds: dict[str, float]


@dataclass(frozen=True)
class Asked:
    """What there is to advise about."""

    problem: str
    methods: tuple[str, ...]
    sources: tuple[str, ...]
    seconds: float
    jobs: int
    device: str
    where: tasks.Locations


@dataclass(frozen=True)
class Found:
    """What came of it."""

    verdict: Verdict
    climbed: tuple[tuple[int, Rung], ...]
    """How many methods each rung began with, and the rung as it was run: of the last one, with the seeds that time allowed."""
    left_out: dict[str, str]
    """Methods that were not compared, and why."""
    dropped: tuple[str, ...]
    """Methods that did not reach the last rung."""
    seconds: float


def climb(asked: Asked, store: Store, pool: Executor, watchers: Sequence[study.Watcher], say: Callable[[str], None]) -> Found:
    """Measures, plans, and runs what is missing, for as long as was given.

    Raises:
        UsageError: too little time, equal weights cannot be trained, or no other method can.
        KeyboardInterrupt: passed on; what finished is in the store.
    """
    began = time.monotonic()
    problem = tasks.problem(asked.problem)
    card = problem.card
    fingerprint = problem.fingerprint(asked.where)
    if len(card.tasks) < 2:
        raise UsageError(f"{asked.problem} has one loss: there is nothing to balance")
    entrants = {name: plan.Entrant(methods.card(name)) for name in dict.fromkeys((REFERENCE, *asked.methods))}

    def run(stage: str, names: Sequence[str], steps: int, seeds: Sequence[int]) -> dict[str, dict[int, list[RunRecord]]]:
        every = max(1, steps // EVALUATIONS)
        entry = tasks.Entry(asked.problem, steps, card.batch_size, card.learning_rate, every, "last", 1, halve_every=card.halve_every)
        suite = tasks.Suite(SUITE, 1, "successive halving on one problem", (entry,))
        here = plan.Study(suite, tuple(entrants[name] for name in names), 1, asked.sources, {asked.problem: fingerprint}, asked.where)
        specs = [spec for seed in seeds for spec in plan.defaults(here, "tune", seed)]
        for what, (count, remedy) in study.changed_sources(specs, asked.sources, store).items():
            raise UsageError(f"{what} is not what it was when {count} of its records were made: {remedy}, or use another --results folder")
        study.stage(stage, specs, here, store, pool, watchers, asked.device, False, 1)
        return _by_method(specs, store)

    file = store.root / FOLDER / f"{_key(asked, card, fingerprint)}.json"
    measured = run("measuring", list(entrants), min(PROBE_STEPS, card.steps), [PROBE_SEED])
    left_out = {name: _why(records[PROBE_SEED]) for name, records in measured.items() if _why(records[PROBE_SEED])}
    if REFERENCE in left_out:
        raise UsageError(f"{asked.problem} cannot be trained under {REFERENCE} weights: {left_out[REFERENCE]}")
    names = [name for name in entrants if name not in left_out]
    if len(names) == 1:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UsageError(f"no method but {REFERENCE} could be trained on {asked.problem}: {why}")
    made = _kept(file)
    if made is None:
        costs = {name: _cost(measured[name][PROBE_SEED]) for name in names}
        left = asked.seconds - (time.monotonic() - began)
        made = Made(rungs.plan(costs, [REFERENCE], left, asked.jobs, card.steps), {name: cost.step for name, cost in costs.items()})
        _keep(file, made)
    say("; ".join(f"{len(rung.seeds)} seeds of {rung.steps} steps" for rung in made.rungs) + f" are planned for {len(names)} methods")

    climbed: list[tuple[int, Rung]] = []
    everyone = list(names)
    for number, rung in enumerate(made.rungs, 1):
        is_last = rung is made.rungs[-1]
        until = began + asked.seconds * (1.0 if is_last else number / len(made.rungs))  # a slow rung must not take the time of the next
        runs, done = {name: dict[int, list[RunRecord]]() for name in names}, list[int]()
        for seed in rung.seeds:
            before = time.monotonic()
            for name, records in run(f"rung {number}, seed {len(done) + 1}", names, rung.steps, [seed]).items():
                runs[name].update(records)
            done.append(seed)
            if len(done) >= (rungs.FEWEST if is_last else 1) and 2 * time.monotonic() - before > until:
                break
        climbed.append((len(names), msgspec.structs.replace(rung, seeds=tuple(done))))
        if not is_last:
            order = sorted((name for name in names if name != REFERENCE), key=changes(runs, REFERENCE, done).__getitem__)
            names = [REFERENCE, *order[: rung.keep]]
    verdict = judge(runs, REFERENCE, done)
    dropped = tuple(name for name in everyone if name not in names)
    return Found(verdict, tuple(climbed), left_out, dropped, time.monotonic() - began)


def _by_method(specs: Sequence[TrialSpec], store: Store) -> dict[str, dict[int, list[RunRecord]]]:
    found: dict[str, dict[int, list[RunRecord]]] = {}
    for record in study.records_of(specs, store):
        found.setdefault(record.spec.method, {}).setdefault(record.spec.seed, []).append(record)
    return found


def _why(records: Sequence[RunRecord]) -> str:
    """Why a method cannot take part; empty where it can."""
    return next((f"{record.status}: {record.message}" for record in records if record.status not in FINISHED), "")


def _cost(records: Sequence[RunRecord]) -> Cost:
    """Of a trial: its first evaluations and what precedes them are what does not grow with the steps."""
    costs = [record.cost for record in records if record.cost]
    evaluations = sum(cost.evaluation for cost in costs)
    points = max(1, sum(len(record.curve) for record in records))
    return Cost(
        fixed=START + EVALUATIONS * evaluations / points,
        step=sum((cost.train + cost.method) / max(cost.steps, 1) for cost in costs),
    )


START = 0.05
"""Seconds to hand out a trial and open its data, beyond what its record counts."""


def _key(asked: Asked, card: tasks.ProblemCard, fingerprint: str) -> str:
    parts = [asked.problem, card.version, fingerprint, *sorted(asked.methods), asked.seconds, asked.jobs, asked.device]
    return hashlib.blake2b(repr(parts).encode(), digest_size=10).hexdigest()


def _kept(file: Path) -> Made | None:
    """The plan of an earlier call; None where there is none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Made)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _keep(file: Path, made: Made) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(made))
    temporary.replace(file)
