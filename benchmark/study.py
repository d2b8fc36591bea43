"""Runs what is missing of a study and nothing else; everything finished is in the store before the next thing happens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

import methods
import tasks
from benchmark import plan
from benchmark.executors import Executor, Fault, Job, Outcome
from benchmark.plan import Study
from benchmark.records import BadRecord, RunRecord, TrialSpec, failed
from benchmark.store import Store
from methods import syntax


class Watcher:
    """Sees a study run, and does nothing about it; the progress display and a tracker are subclasses.

    What a method raises ends the study, so it deals with its own trouble.
    """

    def stage(self, name: str, todo: Sequence[TrialSpec], done: int) -> None:
        """A stage begins: what will run, and how many of it are recorded already."""

    def started(self, job: Job) -> None:
        """Trials are under way; not every executor tells."""

    def again(self, job: Job, fault: Fault) -> None:
        """Trials were lost to the machine and will be run again in this stage."""

    def seen(self, record: RunRecord) -> None:
        """A trial has ended and is in the store."""


@dataclass
class Tally:
    """What a call of :func:`run` did."""

    ran: int = 0
    reused: int = 0
    failed: list[RunRecord] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.ran + other.ran, self.reused + other.reused, self.failed + other.failed)


def missing(specs: Iterable[TrialSpec], store: Store, *, retry_failed: bool = False) -> list[TrialSpec]:
    """The specs without a record that can be read (or, to retry, without one that finished), each once.

    A damaged record is a trial to run again; saving the new one keeps the old file beside it.
    """
    todo: dict[str, TrialSpec] = {}
    for spec in specs:
        record = readable(spec, store)
        if record is None or (retry_failed and failed(record.status)):
            todo[spec.id] = spec
    return list(todo.values())


def room(specs: Iterable[TrialSpec]) -> int:
    """Bytes that the records of these trials will take, about: what surrounds a curve, its points, and what a file's last block leaves."""
    total = 0
    for spec in specs:
        tasks_ = len(tasks.problem(spec.problem).card.tasks)
        total += 3000 + 500 * tasks_ + math.ceil(spec.steps / spec.eval_every) * (120 + 75 * tasks_) + 2048
    return total


def readable(spec: TrialSpec, store: Store) -> RunRecord | None:
    """The record of a trial; None where there is none, or none that can be believed."""
    try:
        return store.get(spec)
    except BadRecord:
        return None


def changed_sources(specs: Iterable[TrialSpec], sources: tuple[str, ...], store: Store) -> dict[str, tuple[int, str]]:
    """What is not this package's own and not what it was: how many records an earlier text of its version made, and the remedy."""
    counts: Counter[tuple[str, str]] = Counter()
    texts: dict[str, dict[str, tuple[str, str, str]]] = {}
    for spec in specs:
        if (known := f"{spec.method} on {spec.problem}") not in texts:
            texts[known] = _outside(spec, sources)
        record = readable(spec, store) if texts[known] else None
        for key, (name, digest, remedy) in texts[known].items():
            if record is not None and record.environment.get(key, digest) != digest:
                counts[name, remedy] += 1
    return {name: (count, remedy) for (name, remedy), count in counts.items()}


def _outside(spec: TrialSpec, sources: tuple[str, ...]) -> dict[str, tuple[str, str, str]]:
    """By field of a record's environment, what of the trial's method and problem is not this package's: name, digest, and what to raise."""
    found = {}
    source, origin = methods.find(spec.method), tasks.origin(spec.problem)
    if source is not None and (source.origin in sources or source.package or source.card.family == "foreign"):
        found["method_source"] = (spec.method, source.digest(), source.remedy)
    if origin is not None:
        digest = syntax.digest(origin.path) if origin.path else ""
        found["problem_source"] = (f"problem {spec.problem}", digest, "raise version= on its card")
    return found


def run(
    study: Study,
    store: Store,
    executor: Executor,
    watchers: Sequence[Watcher] = (),
    *,
    device: str = "cpu",
    retry_failed: bool = False,
    retries: int = 0,
) -> Tally:
    """Tuning trials first (if the budget is above 1), then the chosen configurations on the evaluation seeds.

    A trial that is lost to a fault of the machine (:attr:`Fault.machine`) is run again up to ``retries`` times before that is recorded.

    Raises:
        KeyboardInterrupt: passed on; every record that was finished is kept.
    """
    tally = stage("tuning", plan.tuning(study), study, store, executor, watchers, device, retry_failed, retries)
    specs = plan.evaluation(study, tuned(study, store))
    return tally + stage("evaluation", specs, study, store, executor, watchers, device, retry_failed, retries)


def records_of(specs: Iterable[TrialSpec], store: Store) -> list[RunRecord]:
    """The records that a list of specs already has."""
    return [record for record in (readable(spec, store) for spec in specs) if record is not None]


def tuned(study: Study, store: Store) -> list[RunRecord]:
    """What is recorded of the tuning trials, and of those that they are measured against."""
    specs = {spec.id: spec for spec in [*plan.tuning(study), *plan.references(study)]}
    return records_of(specs.values(), store)


def stage(
    name: str,
    specs: Sequence[TrialSpec],
    study: Study,
    store: Store,
    executor: Executor,
    watchers: Sequence[Watcher],
    device: str,
    retry_failed: bool,
    retries: int,
) -> Tally:
    """Runs what is missing of these trials of a study, as :func:`run` does."""
    todo = missing(specs, store, retry_failed=retry_failed)
    done = len(specs) - len(todo)
    tally = Tally(reused=done)
    if not todo:
        return tally
    for watcher in watchers:
        watcher.stage(name, todo, done)

    def started(job: Job) -> None:
        for watcher in watchers:
            watcher.started(job)

    jobs = jobs_of(todo, study.sources, study.where, device)
    for attempt in range(1, retries + 2):
        lost: list[Job] = []
        for outcome in executor.run(jobs, started):
            if outcome.fault is not None and outcome.fault.machine and attempt <= retries:
                lost.append(outcome.job)
                for watcher in watchers:
                    watcher.again(outcome.job, outcome.fault)
                continue
            for record in _recorded(outcome, attempt):
                store.save(record)
                tally.ran += 1
                if failed(record.status):
                    tally.failed.append(record)
                for watcher in watchers:
                    watcher.seen(record)
        jobs = lost  # after the others: what took the worker's memory may have ended by then
        if not jobs:
            break
    return tally


def _recorded(outcome: Outcome, attempt: int) -> tuple[RunRecord, ...]:
    """The records of an outcome; a fault makes its own, which say how often the machine was at fault."""
    fault = outcome.fault
    if fault is None:
        return outcome.records
    from benchmark.trial import failure  # imports torch, which a study without faults has no need of here

    tried = f"; tried {attempt} times" if fault.machine and attempt > 1 else ""
    specs = outcome.job.specs
    return tuple(failure(spec, fault.status, fault.message + tried, fault.seconds / len(specs)) for spec in specs)


def name_of(specs: Sequence[TrialSpec]) -> str:
    """What a reader calls these trials, one or some that differ in their seed alone."""
    first = specs[0]
    seeds = f"seeds {first.seed} to {specs[-1].seed}" if len(specs) > 1 else f"seed {first.seed}"
    return f"{first.entrant} on {first.problem}, " + (f"trial {first.trial}" if first.role == "tune" else seeds)


def jobs_of(todo: Sequence[TrialSpec], sources: tuple[str, ...], where: tasks.Locations, device: str) -> list[Job]:
    """One job a trial; one for the trials of a block of seeds that are trained together, where the first of them stands."""
    blocks: dict[str, list[TrialSpec]] = {}
    for spec in todo:
        together = spec.together if isinstance(spec.together, int) else 1
        blocks.setdefault(msgspec.structs.replace(spec, seed=spec.seed // together * together).id, []).append(spec)
    return [job_of(specs, sources, where, device) for specs in blocks.values()]


def job_of(specs: Sequence[TrialSpec], sources: tuple[str, ...], where: tasks.Locations, device: str) -> Job:
    """Trials of one method and problem, with what of the user's they need."""
    origin = tasks.origin(specs[0].problem)
    problems = (origin.source,) if origin is not None and origin.source else ()
    return Job(tuple(specs), device, sources_of(specs[0], sources), where, problems)


def sources_of(spec: TrialSpec, sources: tuple[str, ...]) -> tuple[str, ...]:
    """What of the user's a trial's method comes from; a worker that loads nothing stays clean and is used again."""
    source = methods.find(spec.method)
    return (source.origin,) if source is not None and source.origin in sources else ()
