"""Draws records at random, runs their trials again in memory, and writes what came of each as a verdict. No record is touched."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import tasks
from benchmark import provenance, study
from benchmark.executors import Executor, Job
from benchmark.provenance import Why, Word
from benchmark.records import FINISHED, BadRecord, RunRecord
from benchmark.verification import CHECKED, Examined
from benchmark.verification_compare import TOLERANCE, Compared, exactly, excess, loosely, scattered
from benchmark.verification_here import PROCESSOR, device_of

SECONDS = 120.0
"""Of recorded training that is run again where nobody says how much."""

Drawn = dict[str, RunRecord]


def draw(found: Examined, count: int | None, seed: int, *, again: bool = False) -> list[str]:
    """Ids of what to run again: first what looks wrong, then in turn one of each row, on a problem of its own as long as there are any.

    Args:
        count: how many; None for at least one a row, and then on for :data:`SECONDS` of training.
        seed: of the drawing.
        again: also what has a verdict.
    """
    candidates = found.open(again=again)
    rows: dict[object, dict[bytes, list[str]]] = defaultdict(lambda: defaultdict(list))
    for id_ in candidates:
        entry = found.entries[id_]
        rows[entry.row][entry.configuration].append(id_)
    generator = random.Random(seed)
    possible = set(candidates)
    order = dict.fromkeys(id_ for id_ in _first(found) if id_ in possible)
    order |= dict.fromkeys(_in_turn([list(_in_turn(_shuffled(of.values(), generator), generator)) for of in rows.values()], generator))
    if count is not None:
        return list(order)[:count]
    chosen: list[str] = []
    seen, seconds, suspected = set(), 0.0, found.suspicions()
    for id_ in order:
        entry = found.entries[id_]
        if entry.row in seen and seconds + entry.seconds > SECONDS and id_ not in suspected:
            continue
        chosen.append(id_)
        seen.add(entry.row)
        seconds += entry.seconds
    return chosen


def _first(found: Examined) -> Iterator[str]:
    """What looks wrong: suspected copies, edited records, and one a problem of methods that changed and of entrants that coincide."""
    yield from found.suspicions()
    yield from found.edited
    for ids in [*found.changed.values(), *found.copies.coinciding.values()]:
        yield from {(found.entries[id_].problem, found.entries[id_].row): id_ for id_ in ids if id_ in found.entries}.values()


def _shuffled(groups: Iterable[list[str]], generator: random.Random) -> list[list[str]]:
    return [generator.sample(group, len(group)) for group in groups]


def _in_turn(groups: list[list[str]], generator: random.Random) -> Iterator[str]:
    """One of each group in a random order of the groups, then the next of each."""
    for row in range(max(map(len, groups), default=0)):
        here = [group[row] for group in groups if row < len(group)]
        yield from generator.sample(here, len(here))


def records(found: Examined, ids: Sequence[str]) -> Drawn:
    """The records with these ids; without those that went away or were damaged meanwhile."""
    paths, drawn = found.store.index(), Drawn()
    for id_ in ids:
        try:
            loose = paths[id_].suffix == ".json"
            record = found.store.read(paths[id_]) if loose else found.store.shelf.get(id_)
        except (KeyError, FileNotFoundError, BadRecord):
            record = None
        if record is not None:
            drawn[id_] = record
    return drawn


def jobs(drawn: Drawn, sources: tuple[str, ...], where: tasks.Locations) -> list[Job]:
    """A job each on the device of the record; seeds that were trained together are so again."""
    devices: dict[str, list[RunRecord]] = defaultdict(list)
    for record in drawn.values():
        devices[device_of(record)].append(record)
    return [job for device, some in devices.items() for job in study.jobs_of([record.spec for record in some], sources, where, device)]


def run(
    found: Examined,
    drawn: Drawn,
    work: Sequence[Job],
    executor: Executor,
    done: Callable[[RunRecord, Compared], None],
    tolerance: float | None = None,
) -> None:
    """Runs the jobs and judges every record as soon as its trial is done; a verdict is on the disk before the next one.

    Raises:
        StoreError: the disk refuses.
        ExecutorError: no worker starts.
    """
    leaning: list[tuple[RunRecord, Compared, str]] = []
    for outcome in executor.run(work):
        for index, spec in enumerate(outcome.job.specs):
            record = drawn[spec.id]
            if outcome.fault is not None:
                compared = Compared("unclear", f"its trial was lost when it was run again: {outcome.fault.message}")
            else:
                compared = _compared(found, record, outcome.records[index], outcome.job.device, tolerance)
            if outcome.fault is None:
                _trust(found, record, outcome.records[index])
            _judge(found, record, compared, outcome.job.device)
            if compared.result == "within":
                leaning.append((record, compared, outcome.job.device))
            done(record, compared)
    for record, compared, device in leaning:  # by now the spreads are of what came out here
        if again := _reconsidered(found, record, compared):
            _judge(found, record, again, device)
            done(record, again)


def condemn(found: Examined) -> None:
    """Writes a verdict for every record that fails without being run.

    Raises:
        StoreError: the disk refuses.
    """
    for id_, record in records(found, list(found.condemned)).items():
        why = Why(by=_by(found, "cpu"), how=CHECKED, note=found.condemned[id_])
        provenance.write(found.store.root, record, "failed", why, found.verdicts.get(id_, ()))
        found.entries[id_].word = "failed"


def _compared(found: Examined, record: RunRecord, again: RunRecord, device: str, tolerance: float | None) -> Compared:
    spreads = found.spreads.get(found.entries[record.id].configuration, {})
    if tolerance is not None:
        return loosely(record, again, spreads, tolerance)
    compiled = "step" in record.environment and record.environment["step"] != again.environment.get("step")
    if found.here.differences(record, device) or compiled:
        return loosely(record, again, spreads, TOLERANCE)
    compared = exactly(record, again)
    if compared.result == "off" and PROCESSOR not in record.environment and scattered(record, again):
        elsewhere = loosely(record, again, spreads, TOLERANCE)  # made on another processor, it seems, which it does not tell
        return compared if elsewhere.result == "off" else elsewhere
    return compared


def _trust(found: Examined, record: RunRecord, again: RunRecord) -> None:
    """What came out here takes the record's place in the spread over seeds."""
    spreads = found.spreads.get(found.entries[record.id].configuration, {})
    if record.status in FINISHED:
        for key in record.test.keys() & again.test.keys() & spreads.keys():
            spreads[key] = spreads[key].replaced(record.test[key], again.test[key])


def _reconsidered(found: Examined, record: RunRecord, compared: Compared) -> Compared | None:
    """Another word on a record that the spread of records excused which were then not believed themselves."""
    spreads = found.spreads.get(found.entries[record.id].configuration, {})
    for key, gap, reach in compared.gaps:
        result, said = excess(spreads.get(key), gap, reach)
        if result == "off":
            return Compared("off", f"{key} is {gap!r} off when run again{said}")
    return None


def _judge(found: Examined, record: RunRecord, compared: Compared, device: str) -> None:
    """Writes the verdict, and settles what looked wrong."""
    entry = found.entries[record.id]
    entry.again = True
    if compared.result == "unclear":
        entry.obstacle = compared.words
        return
    word: Word = "failed" if compared.result == "off" else "verified"
    if word == "failed":
        suspicion = f"; {found.suspects[record.id].message}" if record.id in found.suspects else ""
        found.failed[record.id] = compared.words + suspicion
    else:
        found.failed.pop(record.id, None)
    entry.word = word
    if compared.result == "within":
        found.within.append(record.id)
    elif record.id in found.within:
        found.within.remove(record.id)
    differ = found.here.differences(record, device)
    how = {"identical": "run again: identical", "within": "run again: within the tolerance of another platform"}.get(
        compared.result, "run again: not the same"
    )
    why = Why(by=_by(found, device), how=how + (f" ({'; '.join(differ)})" if differ else ""), note=found.failed.get(record.id, ""))
    before = [*found.verdicts.get(record.id, ()), provenance.on(record, "verified")]  # which an earlier word of this call may have been
    provenance.write(found.store.root, record, word, why, before)


def _by(found: Examined, device: str) -> str:
    place = found.here.place(device)
    return ", ".join(f"{name} {place[name]}" for name in ("lossbench", "torch", "numpy", "python", "system", "device") if name in place)
