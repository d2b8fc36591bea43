"""The store: one JSON file a record, the only source of truth.

A file appears whole or not at all, so a killed run leaves at most a temporary file that nobody reads. Reading never writes: looking at a
store that is not there creates nothing, and a record that cannot be believed is reported, never deleted.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmark.records import BadRecord, RunRecord, TrialSpec, decode, encode

_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]+")
_STALE = 3600.0
"""Seconds after which a temporary file cannot belong to a writer that is still at work: a write takes milliseconds."""


_PROBE = 1 << 16
"""Bytes written to see whether a disk takes any: more than what a file system may keep beside a name."""


class StoreError(Exception):
    """The store cannot do what was asked; the message is one line that says why and what to do."""


@dataclass(frozen=True)
class Damaged:
    """A file that should be a record and is not."""

    path: str
    """Relative to the store's root."""
    reason: str


@dataclass(frozen=True)
class Scan:
    """Everything that is in a store, in the order of the paths."""

    records: list[RunRecord]
    damaged: list[Damaged]


class Store:
    """Records under ``root/records/<suite>/<problem>/<method>/<id>.json``."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._records = self.root / "records"

    def path(self, spec: TrialSpec) -> Path:
        """Where the record of this trial lives.

        Raises:
            StoreError: a name that is no safe folder name; names come from users' files, and a folder must not lead out of the store.
        """
        return self._records.joinpath(*_place(spec))

    def get(self, spec: TrialSpec) -> RunRecord | None:
        """The record of this trial, or None where there is none.

        Raises:
            BadRecord: there is a file, but it cannot be believed.
        """
        path = self.path(spec)
        try:
            return self._read(path)
        except FileNotFoundError:
            return None
        except BadRecord as error:
            raise BadRecord(f"{path}: {error}") from error

    def has(self, trial: TrialSpec | str) -> bool:
        """Whether this trial, or the trial with this id, has a record that can be read; a damaged one is a run to be done again.

        By spec this opens one file; by id it lists the store, so ask ``ids()`` once rather than this in a loop.
        """
        path = self.path(trial) if isinstance(trial, TrialSpec) else self.index().get(trial)
        if path is None:
            return False
        try:
            self._read(path)
        except (FileNotFoundError, BadRecord):
            return False
        return True

    def index(self) -> dict[str, Path]:
        """Path of every record by id, from the names of the files alone: fast, but a damaged record is in it too."""
        return {path.stem: path for path in self._files(unreadable=[])}

    def ids(self) -> frozenset[str]:
        """Ids of all records that can be read: what a resumed study need not run."""
        return frozenset(record.id for record in self.scan().records)

    def scan(self) -> Scan:
        """Reads everything. Never raises for what it finds: whatever is not a record is named with the reason and left where it is."""
        records: list[RunRecord] = []
        damaged: list[Damaged] = []
        for path in self._files(unreadable=damaged):
            try:
                records.append(self._read(path))
            except (BadRecord, FileNotFoundError) as error:
                damaged.append(Damaged(self._relative(path), " ".join(str(error).split())))
        return Scan(records, sorted(damaged, key=lambda each: each.path))

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
            path.parent.mkdir(parents=True, exist_ok=True)
            self._put_aside(path)
            try:
                with open(temporary, "xb") as file:
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
        probe = self._records / f".probe.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            try:
                with open(probe, "xb") as file:
                    file.write(bytes(_PROBE))
                    file.flush()
                    os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)
            free = shutil.disk_usage(self._records).free
            oldest = time.time() - _STALE
            for left in self._records.rglob(".*.tmp"):
                with suppress(FileNotFoundError):  # another process cleared it first
                    if left.stat().st_mtime < oldest:
                        left.unlink()
        except OSError as error:
            remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend its permissions"
            raise StoreError(f"cannot write to {self.root}: {error.strerror}; choose another folder or {remedy}") from error
        if free < need:
            room = f"the records to come take about {need / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free"
            raise StoreError(f"not enough room in {self.root}: {room}; choose another folder or make room")

    def _read(self, path: Path) -> RunRecord:
        """Raises BadRecord for what cannot be read or believed, FileNotFoundError for what is not there."""
        try:
            with open(path, "rb") as file:
                record = decode(file.read())
            home = _place(record.spec)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BadRecord(f"cannot be read: {error.strerror}") from error
        except (RecursionError, UnicodeDecodeError) as error:  # which msgspec does not count as errors of decoding
            raise BadRecord(f"not a record: {error}") from error
        except StoreError as error:
            raise BadRecord(str(error)) from error
        if path.parts[len(self._records.parts) :] != home:  # a copy would count twice
            raise BadRecord(f"misplaced: it belongs at {self._records.name}/{'/'.join(home)}")
        return record

    def _put_aside(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            self._read(path)
        except BadRecord:
            path.replace(path.with_name(f"{path.name}.damaged"))

    def _files(self, unreadable: list[Damaged]) -> Iterator[Path]:
        """Every file that ought to be a record, in a fixed order; folders that cannot be listed go to ``unreadable``."""

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):  # no store yet, or a folder that went away meanwhile
                unreadable.append(Damaged(self._relative(Path(error.filename)), f"cannot be listed: {error.strerror}"))

        for folder, folders, files in os.walk(self._records, onerror=refuse):
            folders.sort()
            for name in sorted(files):
                if name.endswith(".json") and not name.startswith("."):
                    yield Path(folder, name)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _place(spec: TrialSpec) -> tuple[str, ...]:
    """Folders and file of a record below ``records``; raises StoreError as ``Store.path`` says."""
    method = _escaped(spec.method) if ":" in spec.method else spec.method
    for field, name in (("suite", spec.suite), ("problem", spec.problem), ("method", method)):
        if not _NAME.fullmatch(name):
            raise StoreError(f"{field} {name!r} cannot name a folder: use letters, digits, '_', '-' and '.', not starting with '.'")
    return spec.suite, spec.problem, method, f"{spec.id}.json"


def _escaped(name: str) -> str:
    """The folder of an adapted object: ``--`` for its colon, ``-2e`` for a dot, and so on for every byte but letters, digits and ``_``.

    Different names have different folders, of characters that are safe on every system; none is a device of Windows, as ``aux.py`` is.
    """

    def escape(found: re.Match[str]) -> str:
        return "--" if found[0] == ":" else "".join(f"-{byte:02x}" for byte in found[0].encode(errors="surrogatepass"))

    return re.sub(r"[^A-Za-z0-9_]", escape, name)
