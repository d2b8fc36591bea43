"""All packed files of a results folder: what is in which, and which of several records of one trial counts."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.folders import StoreError, unsafe
from benchmark.packed import BadPack, Packed
from benchmark.records import BadRecord, Point, RunRecord, decode

FOLDER = "packed"
_KEPT = 24
"""Groups whose text is kept while single records are asked for: some 25 MB each."""


@dataclass(frozen=True)
class Damaged:
    """A file, or a part of one, that should be records and is not."""

    path: str
    """Relative to the store's root."""
    reason: str


@dataclass(frozen=True)
class Index:
    """Where every packed trial is; of several records of one, that in the last file."""

    packs: tuple[Packed, ...]
    starts: list[int]
    """What is added to the rows of each file."""
    rows: dict[bytes, int]
    """By the bytes of the id."""

    def find(self, id_: bytes) -> tuple[Packed, int] | None:
        """File and row."""
        row = self.rows.get(id_)
        if row is None:
            return None
        number = self.number(row)
        return self.packs[number], row - self.starts[number]

    def number(self, row: int) -> int:
        """Of the file that has this row of all."""
        return bisect_right(self.starts, row) - 1

    def counts(self, record: RunRecord, pack: Packed) -> bool:
        """Whether no later file than this one has the trial."""
        found = self.find(bytes.fromhex(record.id))
        return found is None or found[0] is pack


class Shelf:
    """Reads ``root/packed/*.parquet``. The folder is listed anew at every question: another process may have packed since."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self._opened: dict[str, Packed | Damaged] = {}
        self._index: Index | None = None
        self._unread: list[Damaged] = []
        self._texts: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()

    def names(self) -> list[str]:
        """Of all files that ought to be packed ones. Raises OSError where the folder cannot be listed."""
        try:
            return sorted(path.name for path in self.folder.iterdir() if path.suffix == ".parquet" and not path.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def packs(self, damaged: list[Damaged]) -> list[Packed]:
        """What can be opened, in the order of the names; the rest goes to ``damaged``.

        Raises:
            MissingDependency: there are packed files, but pyarrow is not installed.
        """
        try:
            names = self.names()
        except OSError as error:
            damaged.append(Damaged(FOLDER, f"cannot be listed: {error.strerror}"))
            return []
        found = []
        for name in names:
            pack = self._opened.get(name) or self._open(name)
            self._opened[name] = pack
            if isinstance(pack, Packed):
                found.append(pack)
            else:
                damaged.append(pack)
        self._opened = {name: self._opened[name] for name in names}
        return found

    def index(self, damaged: list[Damaged]) -> Index:
        """Of all files as they are now; what of them cannot be read goes to ``damaged``."""
        packs = tuple(self.packs(damaged))
        if self._index is None or self._index.packs != packs:
            rows: dict[bytes, int] = {}
            starts, self._unread = [0], []
            for pack in packs:
                try:
                    rows.update(zip(pack.ids, itertools.count(starts[-1]), strict=False))
                except BadPack as error:
                    self._unread.append(Damaged(self.name(pack), str(error)))
                starts.append(starts[-1] + len(pack))
            self._index = Index(packs, starts[:-1], rows)
        damaged += self._unread
        return self._index

    def get(self, id_: str) -> RunRecord | None:
        """The packed record of a trial, checked like a loose one; None where there is none, or no hexadecimal id.

        Raises:
            BadRecord: there is one, but it cannot be believed.
        """
        try:
            found = self.index([]).find(bytes.fromhex(id_))
        except ValueError:
            return None
        if found is None:
            return None
        pack, row = found
        group = bisect_right(pack.starts, row) - 1
        try:
            record = decode(self._group(pack, group)[row - pack.starts[group]])
        except (BadPack, BadRecord) as error:
            raise BadRecord(f"{self.name(pack)}, row {row}: {error}") from error
        if unsafe(record.spec):
            raise BadRecord(f"{self.name(pack)}, row {row}: {unsafe(record.spec)}")
        if record.id != id_:
            raise BadRecord(f"{self.name(pack)}, row {row}: it has another id, {record.id}")
        return record

    def curve(self, id_: str) -> list[Point]:
        """The curve of a packed record.

        Raises:
            StoreError: it cannot be read, or not any more.
        """
        try:
            record = self.get(id_)
        except BadRecord as error:
            raise StoreError(f"cannot read the curve of record {id_}: {error}") from error
        if record is None:
            raise StoreError(f"cannot read the curve of record {id_}: it was there, but is packed no more; run the command again")
        return record.curve

    def records(self, pack: Packed, damaged: list[Damaged]) -> Iterator[RunRecord]:
        """The records of one file that can be believed, one after the other; the others go to ``damaged``."""
        for group in pack.groups:
            first, name = pack.starts[group], self.name(pack)
            try:
                for row, record in enumerate(pack.records(group), start=first):
                    problem = str(record) if isinstance(record, BadRecord) else unsafe(record.spec)
                    if problem or isinstance(record, BadRecord):
                        damaged.append(Damaged(name, f"row {row}: {' '.join(problem.split())}"))
                    else:
                        yield record
            except BadPack as error:
                damaged.append(Damaged(name, f"rows {first} to {pack.starts[group + 1] - 1}: {error}"))

    def name(self, pack: Packed) -> str:
        return f"{FOLDER}/{pack.path.name}"

    def _open(self, name: str) -> Packed | Damaged:
        try:
            return Packed(self.folder / name)
        except BadPack as error:
            return Damaged(f"{FOLDER}/{name}", str(error))
        except OSError as error:
            return Damaged(f"{FOLDER}/{name}", f"cannot be read: {error.strerror or error}")

    def _group(self, pack: Packed, group: int) -> list[bytes]:
        key = (pack.path.name, group)
        if key not in self._texts:
            self._texts[key] = pack.texts(group)
            while len(self._texts) > _KEPT:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return self._texts[key]
