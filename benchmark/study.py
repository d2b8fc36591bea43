"""Runs what is missing of a study and nothing else; everything finished is in the store before the next thing happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

import methods
from benchmark import plan
from benchmark.executors import Executor, Job
from benchmark.plan import Study
from benchmark.records import FINISHED, BadRecord, RunRecord, TrialSpec
from benchmark.store import Store


class Watcher(Protocol):
    """Sees a study run: the progress display, a tracker. What it raises ends the study, so it deals with its own trouble."""

    def stage(self, name: str, todo: Sequence[TrialSpec], done: int) -> None:
        """A stage begins: what will run, and how many of it are recorded already."""

    def seen(self, record: RunRecord) -> None:
        """A trial has ended and is in the store."""


@dataclass
class Tally:
    """What a call of :func:`run` did."""

    ran: int = 0
    reused: int = 0
    failed: list[RunRecord] = field(default_factory=list)


def missing(specs: Iterable[TrialSpec], store: Store, *, retry_failed: bool = False) -> list[TrialSpec]:
    """The specs without a record that can be read (or, to retry, without one that finished), each once.

    A damaged record is a trial to run again; saving the new one keeps the old file beside it.
    """
    todo: dict[str, TrialSpec] = {}
    for spec in specs:
        record = readable(spec, store)
        if record is None or (retry_failed and record.status not in FINISHED):
            todo[spec.id] = spec
    return list(todo.values())


def readable(spec: TrialSpec, store: Store) -> RunRecord | None:
    """The record of a trial; None where there is none, or none that can be believed."""
    try:
        return store.get(spec)
    except BadRecord:
        return None


def changed_sources(specs: Iterable[TrialSpec], sources: tuple[str, ...], store: Store) -> dict[str, int]:
    """What is the user's or foreign and not what it was, by the number of records that an earlier text of the same version made."""
    counts: Counter[str] = Counter()
    for spec in specs:
        source = methods.find(spec.method)
        if source is not None and (source.origin in sources or source.card.family == "foreign"):
            record = readable(spec, store)
            if record is not None and record.environment.get("method_source", source.digest()) != source.digest():
                counts[spec.method] += 1
    return dict(counts)


def run(
    study: Study,
    store: Store,
    executor: Executor,
    watchers: Sequence[Watcher] = (),
    *,
    device: str = "cpu",
    retry_failed: bool = False,
) -> Tally:
    """Tuning trials first (if the budget is above 1), then the chosen configurations on the evaluation seeds.

    Raises:
        KeyboardInterrupt: passed on; every record that was finished is kept.
    """
    tally = Tally()
    stages: list[tuple[str, Callable[[], list[TrialSpec]]]] = [
        ("tuning", lambda: plan.tuning(study)),
        ("evaluation", lambda: plan.evaluation(study, records_of(plan.tuning(study), store))),
    ]
    for name, specs_of in stages:
        specs = specs_of()
        todo = missing(specs, store, retry_failed=retry_failed)
        tally.reused += len(specs) - len(todo)
        _run_stage(name, todo, len(specs) - len(todo), study, store, executor, watchers, device, tally)
    return tally


def records_of(specs: Iterable[TrialSpec], store: Store) -> list[RunRecord]:
    """The records that a list of specs already has."""
    return [record for record in (readable(spec, store) for spec in specs) if record is not None]


def _run_stage(
    name: str,
    todo: Sequence[TrialSpec],
    done: int,
    study: Study,
    store: Store,
    executor: Executor,
    watchers: Sequence[Watcher],
    device: str,
    tally: Tally,
) -> None:
    if not todo:
        return
    from benchmark.trial import failure  # imports torch, which a finished study has no need of

    for watcher in watchers:
        watcher.stage(name, todo, done)
    for outcome in executor.run(jobs_of(todo, study, device)):
        records, fault = outcome.records, outcome.fault
        if fault is not None:
            records = tuple(failure(spec, fault.status, fault.message, fault.seconds) for spec in outcome.job.specs)
        for record in records:
            store.save(record)
            tally.ran += 1
            if record.status not in FINISHED:
                tally.failed.append(record)
            for watcher in watchers:
                watcher.seen(record)


def jobs_of(todo: Sequence[TrialSpec], study: Study, device: str) -> list[Job]:
    """One job a trial; one for the trials of a block of seeds that are trained together, where the first of them stands."""
    blocks: dict[str, list[TrialSpec]] = {}
    for spec in todo:
        together = spec.together if isinstance(spec.together, int) else 1
        blocks.setdefault(msgspec.structs.replace(spec, seed=spec.seed // together * together).id, []).append(spec)
    return [Job(tuple(specs), device, sources_of(specs[0], study.sources), study.where) for specs in blocks.values()]


def sources_of(spec: TrialSpec, sources: tuple[str, ...]) -> tuple[str, ...]:
    """What of the user's a trial's method comes from; a worker that loads nothing stays clean and is used again."""
    source = methods.find(spec.method)
    return (source.origin,) if source is not None and source.origin in sources else ()
