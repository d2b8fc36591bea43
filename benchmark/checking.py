"""Reads all records of a folder of results, loose and packed, and says what is wrong: nothing is believed that is not recomputed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmark.folders import unsafe
from benchmark.packed import BadPack, Packed
from benchmark.packing import Step, quiet
from benchmark.records import BadRecord, RunRecord, failed, same
from benchmark.shelf import Damaged
from benchmark.store import Store


@dataclass
class Report:
    """What is there, and what is wrong with it."""

    loose: int = 0
    packed: int = 0
    """Rows of packed files."""
    files: int = 0
    """Packed files."""
    trials: int = 0
    """Different ones."""
    suites: Counter[str] = field(default_factory=Counter)
    """Trials of each."""
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[Damaged] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is worth knowing, and not wrong."""


def ignore(record: RunRecord, where: str) -> None:
    """Looks at nothing."""


def check(store: Store, step: Step = quiet, look: Callable[[RunRecord, str], None] = ignore) -> Report:
    """Every record is decoded: its id from its spec, its metrics against their ranges, its place, and of packed ones every column.

    Wrong is also a trial with two records of which neither is a failure that was run again, and a problem whose records are of several
    versions of the protocol.

    Args:
        look: is given every record that counts and can be believed, once, and its file relative to the store.

    Raises:
        MissingDependency: there are packed records, but pyarrow is not installed.
    """
    report = Report()
    protocols: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    seen: set[str] = set()

    def count(record: RunRecord, where: str) -> None:
        if record.id not in seen:
            seen.add(record.id)
            report.suites[record.spec.suite] += 1
            report.statuses[record.status] += 1
            protocols[record.spec.suite, record.spec.problem][record.spec.protocol] += 1
            look(record, where)

    for path in store.loose(report.wrong):
        report.loose += 1
        try:
            count(store.read(path), store.relative(path))
        except FileNotFoundError:
            report.loose -= 1
        except BadRecord as error:
            report.wrong.append(Damaged(store.relative(path), " ".join(str(error).split())))
        if report.loose % 100 == 0:
            step("loose records", report.loose, 0)
    loose, again = frozenset(seen), Counter[str]()
    index = store.shelf.index(report.wrong)
    for pack in reversed(index.packs):  # the one that counts is seen first
        report.files += 1
        here: set[str] = set()
        for group in pack.groups:
            for record in _group(store, pack, group, report.wrong):
                report.packed += 1
                if record.id in here:
                    report.wrong.append(Damaged(store.shelf.name(pack), f"record {record.id} is in it twice"))
                elif record.id in seen:
                    again[_twice(store, record, record.id in loose, store.shelf.name(pack), report.wrong)] += 1
                here.add(record.id)
                count(record, store.shelf.name(pack))
            step("packed records", report.packed, sum(map(len, index.packs)))
    report.trials = len(seen)
    report.notes += [f"{number} {what}" for what, number in sorted(again.items()) if what]
    aside = sum(1 for _ in store.records.rglob("*.json.damaged"))
    if aside:
        report.notes.append(f"{aside} files *.json.damaged: what could not be read when a trial was run again")
    for (suite, problem), counts in sorted(protocols.items()):
        if len(counts) > 1:
            words = ", ".join(f"{counts[each]} of protocol {each}" for each in sorted(counts))
            report.wrong.append(Damaged(f"{suite}/{problem}", f"records that cannot be compared: {words}"))
    report.wrong.sort(key=lambda each: (each.path, each.reason))
    return report


def _group(store: Store, pack: Packed, group: int, wrong: list[Damaged]) -> list[RunRecord]:
    """The records of a group that can be believed; its columns are compared with all of them."""
    name, first = store.shelf.name(pack), pack.starts[group]
    rows = f"rows {first} to {pack.starts[group + 1] - 1}"
    try:
        found = list(pack.records(group))
        good = [record for record in found if isinstance(record, RunRecord)]
        if len(good) == len(found):
            differ = pack.differs(group, good)
            if differ:
                wrong.append(Damaged(name, f"{rows}: {', '.join(differ)} not as in the records themselves"))
    except BadPack as error:
        wrong.append(Damaged(name, f"{rows}: {error}"))
        return []
    believed = []
    for row, record in enumerate(found, start=first):
        problem = str(record) if isinstance(record, BadRecord) else unsafe(record.spec)
        if problem or isinstance(record, BadRecord):
            wrong.append(Damaged(name, f"row {row}: {' '.join(problem.split())}"))
        else:
            believed.append(record)
    return believed


def _twice(store: Store, record: RunRecord, loose: bool, name: str, wrong: list[Damaged]) -> str:
    """What to say of a packed record that another one stands for; nothing where that is wrong."""
    try:
        counts = store.get(record.spec)
    except BadRecord as error:
        wrong.append(Damaged(name, f"record {record.id}: {error}"))
        return ""
    if counts is None or same(counts, record):
        form = "both loose and packed" if loose else "in several packed files"
        return f"records are {form}, alike: read once (results pack removes such loose ones)"
    if failed(record.status):
        return "packed failures have been run again: the later record counts"
    where = "loose" if loose else "in a later file"
    wrong.append(Damaged(name, f"record {record.id} differs from that of the same trial {where}, and is no failure"))
    return ""
