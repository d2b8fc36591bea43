"""Everything that can be said of a folder of records without training anything: a pass over all of them, and what came of it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmark import checking, provenance
from benchmark.packing import Step, quiet
from benchmark.provenance import Verdict, Verdicts, Why, Word
from benchmark.records import FINISHED, RunRecord
from benchmark.shelf import Damaged
from benchmark.store import Store
from benchmark.verification_compare import Spread
from benchmark.verification_copies import Alike, Copies
from benchmark.verification_here import PLACE, Here
from benchmark.verification_record import contradictions, nonsense

CHECKED = "checked: it contradicts itself, or the code and the data that it names"
"""How a record fails that was not run again."""

Row = tuple[str, str]
"""Suite and entrant."""


@dataclass(slots=True)
class Entry:
    """What is kept of one record, of which there may be a million."""

    row: Row
    configuration: bytes
    """Of the spec without its seed."""
    problem: str
    seconds: float
    """That it took."""
    word: Word | None = None
    """Of a verdict on it as it is."""
    obstacle: str = ""
    """Why it cannot be run again here."""
    checked: bool = True
    """Whether code and data are here to check it against."""
    again: bool = False
    """Whether it was run again in this call."""


@dataclass(frozen=True)
class Changed:
    """A method whose text changed, and its version did not."""

    method: str
    version: int
    recorded: str
    """Digest of the text that made the records."""


@dataclass
class Examined:
    """What a pass over the records has found."""

    store: Store
    here: Here
    verdicts: Verdicts
    copies: Copies
    entries: dict[str, Entry] = field(default_factory=dict)
    """By id, in the order of reading."""
    condemned: dict[str, str] = field(default_factory=dict)
    """What is wrong with a record whatever comes of running it again, by id."""
    suspects: dict[str, Alike] = field(default_factory=dict)
    """What looks wrong with a record until it was run again, by id."""
    changed: dict[Changed, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Records of methods that are not what they were."""
    failed: dict[str, str] = field(default_factory=dict)
    """What was wrong with a record when it was run again, now or by an earlier call; by id."""
    within: list[str] = field(default_factory=list)
    """Records that were run again in this call and are the same within a tolerance alone."""
    edited: list[str] = field(default_factory=list)
    """Records with a verdict on what they were before."""
    spreads: dict[bytes, dict[str, Spread]] = field(default_factory=dict)
    """Of the test metrics over seeds, by configuration."""
    places: dict[Row, Counter[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(Counter))
    """Where the records of a row were made, and how many of them."""
    damaged: list[Damaged] = field(default_factory=list)
    """What is no record."""
    notes: list[str] = field(default_factory=list)

    def look(self, record: RunRecord, where: str) -> None:
        """Takes one record into account."""
        spec, cost = record.spec, record.cost
        row = spec.suite, spec.entrant
        configuration = hashlib.blake2b(msgspec.json.encode(msgspec.structs.replace(spec, seed=0)), digest_size=12).digest()
        seconds = cost.train + cost.method + cost.evaluation if cost is not None else 0.0
        entry = self.entries[record.id] = Entry(row, configuration, spec.problem, seconds, obstacle=self.here.obstacle(record))
        entry.checked = self.here.knows(spec)
        if record.environment:
            self.places[row][tuple(record.environment.get(name, "") for name in ("lossbench", *PLACE))] += 1
        sound = not any(nonsense(record))
        wrong = [*contradictions(record), *(self.here.contradictions(record) if sound else [])]
        if wrong:
            self.condemned[record.id] = "; ".join(wrong)
        for alike in self.copies.look(record) if sound else []:
            self.suspects[alike.id] = alike
            self.suspects.setdefault(alike.other, Alike(alike.other, alike.id, f"record {alike.id} looks like this one: {alike.message}"))
        if self.here.changed(record):
            source = Changed(spec.method, spec.method_version, record.environment["method_source"])
            self.changed[source].append(record.id)
        if record.status in FINISHED:
            spreads = self.spreads.setdefault(configuration, {})
            for key, value in record.test.items():
                spreads.setdefault(key, Spread()).add(value)
        if record.id in self.verdicts:
            self._judged(record, entry)

    def _judged(self, record: RunRecord, entry: Entry) -> None:
        """Takes an earlier verdict into account. One that needed no run is made anew: the rules may have changed since."""
        entry.word = provenance.word(record, self.verdicts)
        if entry.word is None:
            self.edited.append(record.id)
        elif entry.word == "failed":
            why = reason(self.store.root, record.id, provenance.on(record, "failed"))
            if why.how == CHECKED:
                entry.word = None
            else:
                self.failed[record.id] = f"{why.note} (found by an earlier call)"

    def suspicions(self) -> dict[str, str]:
        """What still looks wrong: neither run again, nor explained by what is wrong with the other record."""
        wrong = self.condemned.keys() | self.failed.keys()
        return {
            id_: alike.message
            for id_, alike in self.suspects.items()
            if self.entries[id_].word is None and alike.other not in wrong and id_ not in wrong
        }

    def open(self, *, again: bool = False) -> list[str]:
        """Ids of all that may be run again: what has no verdict yet, unless ``again``."""
        return [
            id_ for id_, entry in self.entries.items() if not entry.obstacle and id_ not in self.condemned and (again or entry.word is None)
        ]


def examine(store: Store, here: Here, wanted: Callable[[RunRecord], bool], step: Step = quiet) -> Examined:
    """Reads every record and checks those that are wanted.

    Raises:
        MissingDependency: there are packed records, but pyarrow is not installed.
    """
    verdicts, wrong = provenance.read(store.root)
    found = Examined(store, here, verdicts, Copies(here))

    def look(record: RunRecord, where: str) -> None:
        if wanted(record):
            found.look(record, where)

    report = checking.check(store, step, look)
    found.damaged = report.wrong
    found.notes += [f"skipped {line}" for line in wrong] + report.notes
    found.notes += _places(found) + _alike(found)
    if found.edited:
        found.notes.append(
            f"{len(found.edited):,} records were changed since they were looked at, so that nobody has verified them: {_some(found.edited)}"
        )
    return found


def reason(results: Path, id_: str, verdict: Verdict) -> Why:
    """What is in the file of a verdict."""
    try:
        return msgspec.json.decode(provenance.path_of(results, id_, verdict).read_bytes(), type=Why)
    except (OSError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Why(by="", how="", note=f"the verdict does not say why: {error}")


def _places(found: Examined) -> list[str]:
    """Rows whose records were made in different places: numbers are compared, but times and last digits are not what they seem."""
    notes: dict[str, list[str]] = {}
    for (suite, entrant), places in found.places.items():
        if len(places) > 1:
            names = ("lossbench", *PLACE)
            differ = [name for index, name in enumerate(names) if len({place[index] for place in places}) > 1]
            words = "; ".join(f"{name} {', '.join(sorted({place[names.index(name)] or 'unknown' for place in places}))}" for name in differ)
            notes.setdefault(f"made in {len(places)} places, which differ in {words}", []).append(f"{suite}/{entrant}")
    return [f"{_some(rows)}: {words}" for words, rows in notes.items()]


def _alike(found: Examined) -> list[str]:
    copies = found.copies
    notes = [
        f"{suite}/{problem}: seeds {', '.join(f'{a} and {b}' for a, b in sorted(pairs))} are one training, begun with the same weights and "
        "batch"
        for (suite, problem), pairs in sorted(copies.seeds.items())
    ]
    for (suite, one, other), ids in sorted(copies.coinciding.items()):
        notes.append(
            f"{suite}: {one} and {other} have equal losses to the last digit in {len(ids) // 2} records, as no card says ({_some(ids)}); "
            "these are run again first"
        )
    return notes


def _some(words: list[str], count: int = 4) -> str:
    return ", ".join(words[:count]) + (f" and {len(words) - count:,} more" if len(words) > count else "")
