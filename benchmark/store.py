"""The store: one JSON file a record, or many records packed in one file (:mod:`benchmark.packed`); the only source of truth.

A record that is there in both forms counts once, and the loose one is it: it is the newer, or the same.

A file appears whole or not at all, so a killed run leaves at most a temporary file that nobody reads. Reading never writes: looking at a
store that is not there creates nothing, and a record that cannot be believed is reported, never deleted.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from benchmark.evidence import Evidence
from benchmark.folders import StoreError as StoreError
from benchmark.folders import place
from benchmark.records import BadRecord, RunRecord, TrialSpec, decode, encode
from benchmark.shelf import Damaged as Damaged
from benchmark.shelf import Shelf

_STALE = 3600.0
"""Seconds after which a temporary file cannot belong to a writer that is still at work: a write takes milliseconds."""

LARGEST = 1 << 28
"""Bytes of a record: half a million points of a curve."""

_PROBE = 1 << 16
"""Bytes written to see whether a disk takes any: more than what a file system may keep beside a name."""


@dataclass(frozen=True)
class Scan:
    """Everything that is in a store, loose records in the order of the paths and then packed ones."""

    records: list[RunRecord]
    damaged: list[Damaged]


@dataclass(frozen=True)
class Survey:
    """The same, as far as a table needs it."""

    records: list[Evidence]
    damaged: list[Damaged]


class Store:
    """Records under ``root/records/<suite>/<problem>/<method>/<id>.json`` and ``root/packed/*.parquet``."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.shelf = Shelf(self.root)
        self.records = self.root / "records"

    def path(self, spec: TrialSpec) -> Path:
        """Where the record of this trial lives while it is loose.

        Raises:
            StoreError: a name that is no safe folder name; names come from users' files, and a folder must not lead out of the store.
        """
        return self.records.joinpath(*place(spec))

    def get(self, spec: TrialSpec) -> RunRecord | None:
        """The record of this trial, or None where there is none.

        Raises:
            BadRecord: there is one, but it cannot be believed.
        """
        path = self.path(spec)
        try:
            return self.read(path)
        except FileNotFoundError:
            return self.shelf.get(spec.id)
        except BadRecord as error:
            record = self.shelf.get(spec.id)
            if record is None:
                raise BadRecord(f"{path}: {error}") from error
            return record

    def find(self, id_: str) -> RunRecord | None:
        """The record with this id, or None; lists the store.

        Raises:
            BadRecord: there is one, but it cannot be believed.
        """
        path = next((path for path in self.loose([]) if path.stem == id_), None)
        try:
            return self.shelf.get(id_) if path is None else self.read(path)
        except FileNotFoundError:
            return self.shelf.get(id_)
        except BadRecord:
            record = self.shelf.get(id_)
            if record is None:
                raise
            return record

    def text(self, id_: str) -> str | None:
        """The record with this id as JSON, of a loose one whatever is in its file; None where there is none.

        Raises:
            StoreError: there is a packed one, but it cannot be believed.
        """
        path = next((path for path in self.loose([]) if path.stem == id_), None)
        if path is not None:
            with suppress(FileNotFoundError):  # packed meanwhile
                return path.read_text(encoding="utf-8", errors="replace")
        try:
            record = self.shelf.get(id_)
        except BadRecord as error:
            raise StoreError(f"record {id_} cannot be read: {error}") from error
        return None if record is None else encode(record).decode()

    def has(self, trial: TrialSpec | str) -> bool:
        """Whether this trial, or the trial with this id, has a record that can be read; a damaged one is a run to be done again.

        By id it lists the store, so ask ``ids()`` once rather than this in a loop.
        """
        try:
            return (self.get(trial) if isinstance(trial, TrialSpec) else self.find(trial)) is not None
        except BadRecord:
            return False

    def index(self) -> dict[str, Path]:
        """Path of the file that every record is in, by id, from names and ids alone: fast, but a damaged record is in it too."""
        packed = self.shelf.index([])
        paths = [pack.path for pack in packed.packs]
        found = {id_.hex(): paths[packed.number(row)] for id_, row in packed.rows.items()}
        return found | {path.stem: path for path in self.loose(unreadable=[])}

    def ids(self) -> frozenset[str]:
        """Ids of all records that can be read: what a resumed study need not run."""
        return frozenset(record.id for record in self.scan().records)

    def scan(self) -> Scan:
        """Reads everything. Never raises for what it finds: whatever is not a record is named with the reason and left where it is.

        Raises:
            MissingDependency: there are packed records, but pyarrow is not installed.
        """
        damaged: list[Damaged] = []
        records, gone = self.loose_records(damaged)
        index = self.shelf.index(damaged)
        known = {record.id for record in records}
        for pack in index.packs:
            for record in self.shelf.records(pack, damaged):
                gone.pop(record.id, None)
                if record.id not in known and index.counts(record, pack):
                    records.append(record)
        return Scan(records, sorted([*damaged, *gone.values()], key=lambda each: each.path))

    def survey(self) -> Survey:
        """Everything, as far as a table needs it: of packed records the light columns alone.

        Raises:
            MissingDependency: there are packed records, but pyarrow is not installed.
        """
        from benchmark.survey import survey

        damaged: list[Damaged] = []
        records, gone = self.loose_records(damaged)
        found = [*records, *survey(self.shelf, {record.id for record in records}, damaged)]
        if gone:
            packed = {id_ for each in found for id_ in each.ids}
            damaged += [why for id_, why in gone.items() if id_ not in packed]
        return Survey(found, sorted(damaged, key=lambda each: each.path))

    def loose_records(self, damaged: list[Damaged]) -> tuple[list[RunRecord], dict[str, Damaged]]:
        """The loose records, and by id those whose file went away meanwhile: another process has packed it, or somebody deleted it."""
        records: list[RunRecord] = []
        gone: dict[str, Damaged] = {}
        for path in self.loose(unreadable=damaged):
            try:
                records.append(self.read(path))
            except FileNotFoundError as error:
                gone[path.stem] = Damaged(self.relative(path), str(error))
            except BadRecord as error:
                damaged.append(Damaged(self.relative(path), " ".join(str(error).split())))
        return records, gone

    def save(self, record: RunRecord) -> Path:
        """Writes one record. One of the same trial is replaced; what was there but could not be read is kept as ``*.json.damaged``.

        Two processes may save the same trial at once: each writes a temporary file of its own and the last to rename wins.

        Raises:
            StoreError: the record could not be read back, or the disk refused.
        """
        path = self.path(record.spec)
        temporary = path.with_name(f".{record.id}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        data = encode(record)
        try:
            decode(data)
        except BadRecord as error:
            raise StoreError(f"refusing to save record {record.id}, as it could not be read back: {error}") from error
        try:
            self._put_aside(path)
            try:
                with _created(temporary) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def check_writable(self, need: int = 0) -> None:
        """Creates the store, proves that it can be written, and clears temporary files that killed runs left behind.

        Args:
            need: bytes that what is coming will take.

        Raises:
            StoreError: not writable, full, or with less room than that; ask before anything runs.
        """
        probe = self.records / f".probe.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        try:
            self.records.mkdir(parents=True, exist_ok=True)
            try:
                with open(probe, "xb") as file:
                    file.write(bytes(_PROBE))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
            free = shutil.disk_usage(self.records).free
            oldest = time.time() - _STALE
            for left in [*self.records.rglob(".*.tmp"), *self.shelf.folder.glob(".*.tmp")]:
                with suppress(FileNotFoundError):  # another process cleared it first
                    if left.stat().st_mtime < oldest:
                        left.unlink()
        except OSError as error:
            remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend its permissions"
            raise StoreError(f"cannot write to {self.root}: {error.strerror}; choose another folder or {remedy}") from error
        if free < need:
            room = f"the records to come take about {need / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free"
            raise StoreError(f"not enough room in {self.root}: {room}; choose another folder or make room")

    def read(self, path: Path) -> RunRecord:
        """Raises BadRecord for what cannot be read or believed, FileNotFoundError for what is not there."""
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:  # a pipe would be waited for, and a hole fill the memory
                raise BadRecord(f"not a record: expected a file of at most {LARGEST >> 20} MiB")
            with open(path, "rb") as file:
                record = decode(file.read())
            home = place(record.spec)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BadRecord(f"cannot be read: {error.strerror}") from error
        except (RecursionError, UnicodeDecodeError) as error:  # which msgspec does not count as errors of decoding
            raise BadRecord(f"not a record: {error}") from error
        except StoreError as error:
            raise BadRecord(str(error)) from error
        if path.parts[len(self.records.parts) :] != home:  # a copy would count twice
            raise BadRecord(f"misplaced: it belongs at {self.records.name}/{'/'.join(home)}")
        return record

    def _put_aside(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            self.read(path)
        except BadRecord:
            path.replace(path.with_name(f"{path.name}.damaged"))

    def loose(self, unreadable: list[Damaged]) -> Iterator[Path]:
        """Every file that ought to be a record, in a fixed order; folders that cannot be listed go to ``unreadable``."""

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):  # no store yet, or a folder that went away meanwhile
                unreadable.append(Damaged(self.relative(Path(error.filename)), f"cannot be listed: {error.strerror}"))

        for folder, folders, files in os.walk(self.records, onerror=refuse):
            folders.sort()
            for name in sorted(files):
                if name.endswith(".json") and not name.startswith("."):
                    yield Path(folder, name)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _created(path: Path) -> BinaryIO:
    """A new file, its folders made; ``results pack`` takes away those that it has emptied, at any moment."""
    for _ in range(10):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return open(path, "xb")
    return open(path, "xb")
