"""Takes the records of another folder of results into this one. Where both have a trial and disagree, somebody has to say who is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from benchmark import provenance
from benchmark.folders import StoreError
from benchmark.packed import Writer, fits
from benchmark.packing import Step, quiet
from benchmark.records import BadRecord, RunRecord, same
from benchmark.shelf import Damaged
from benchmark.store import Store

Side = Literal["ours", "theirs"]


@dataclass(frozen=True)
class Conflict:
    """A trial with two records that are not the same."""

    id: str
    name: str
    """Suite, problem, entrant and seed."""
    ours: str
    """Status and what was measured, in words."""
    theirs: str


@dataclass
class Merged:
    """What came of it."""

    added: int = 0
    same: int = 0
    replaced: int = 0
    kept: int = 0
    """Conflicts that were settled for ours."""
    verdicts: int = 0
    """On their records, which came along: whoever gave them is believed as much as the records."""
    conflicts: list[Conflict] = field(default_factory=list)
    """Those that nobody settled: nothing was merged then."""
    damaged: list[Damaged] = field(default_factory=list)
    """Theirs, left where they are."""


def merge(ours: Store, theirs: Store, prefer: Side | None = None, step: Step = quiet) -> Merged:
    """Adds what is new: loose records as loose ones, packed ones in one new packed file. Nothing of theirs is changed.

    Args:
        prefer: whose record stays where both have one and they differ in more than the clock and the place; without, such a conflict is
            listed and nothing at all is merged.

    Raises:
        StoreError: the disk refuses.
        MissingDependency: there are packed records, but pyarrow is not installed.
    """
    done = Merged()
    for number, (record, _) in enumerate(_records(theirs, done.damaged), start=1):
        mine = _mine(ours, record)
        if mine is not None and not same(mine, record):
            done.conflicts.append(_conflict(mine, record))
        if number % 100 == 0:
            step("comparing", number, 0)
    if done.conflicts and prefer is None:
        return done
    ours.check_writable()
    settled = {conflict.id for conflict in done.conflicts}
    done.conflicts = []
    _take(ours, theirs, prefer, settled, done, step)
    return done


def _take(ours: Store, theirs: Store, prefer: Side | None, settled: set[str], done: Merged, step: Step) -> None:
    writer: Writer | None = None
    verdicts, _ = provenance.read(theirs.root)
    try:
        for number, (record, packed) in enumerate(_records(theirs, []), start=1):
            mine = _mine(ours, record)
            if record.id in settled and prefer == "ours":
                done.kept += 1
                continue
            if record.id in verdicts:
                stands = record if mine is None or record.id in settled else mine
                done.verdicts += provenance.carry(theirs.root, ours.root, verdicts, record, stands)
            if record.id in settled:
                ours.save(record)  # loose, so that it counts
                done.replaced += 1
            elif mine is not None:
                done.same += 1
            elif packed and fits(record):
                writer = writer or Writer(ours.shelf.folder)
                writer.add(record)
                done.added += 1
            else:
                ours.save(record)
                done.added += 1
            if number % 100 == 0:
                step("merging", number, 0)
        if writer is not None:
            writer.close()
            writer.finish()
    except OSError as error:
        raise StoreError(f"cannot write {ours.root}: {error.strerror or error}") from error
    finally:
        if writer is not None:
            writer.drop()


def _records(store: Store, damaged: list[Damaged]) -> Iterator[tuple[RunRecord, bool]]:
    """Every record that counts, and whether it is packed."""
    seen = set()
    for path in store.loose(damaged):
        try:
            record = store.read(path)
        except FileNotFoundError:
            continue
        except BadRecord as error:
            damaged.append(Damaged(store.relative(path), " ".join(str(error).split())))
            continue
        seen.add(record.id)
        yield record, False
    index = store.shelf.index(damaged)
    for pack in index.packs:
        for record in store.shelf.records(pack, damaged):
            if record.id not in seen and index.counts(record, pack):
                yield record, True


def _mine(store: Store, record: RunRecord) -> RunRecord | None:
    """One that cannot be read is as good as none: theirs comes in its place, and it is kept beside it."""
    try:
        return store.get(record.spec)
    except BadRecord:
        return None


def _conflict(mine: RunRecord, record: RunRecord) -> Conflict:
    spec = record.spec
    name = f"{spec.suite}/{spec.problem}, {spec.entrant}, {spec.role} trial {spec.trial}, seed {spec.seed}"
    return Conflict(record.id, name, _words(mine), _words(record))


def _words(record: RunRecord) -> str:
    values = ", ".join(f"{key} {value:.6g}" for key, value in (record.test or record.validation).items())
    return f"{record.status}{f' ({values})' if values else ''}"
