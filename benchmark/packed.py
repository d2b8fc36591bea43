"""Many records in one Parquet file: the columns that tables are made of beside each record's text, from which it comes back to the bit.

A file is ``NUMBER-DIGEST.parquet``. A record in a file of a higher number stands for that of the same trial in one of a lower. DIGEST is
that of the file's footer and every page has a checksum, so that nothing is parsed that is not what was written. The text of a record is in
two columns: ``spec``, which records that differ in their seed alone share, and ``rest``; put together they are read like a loose record.
The other columns repeat what a table needs of it, and are checked against it when a file is written and by ``results check``.

pyarrow is imported here and nowhere else in this package, where something is packed or read.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from benchmark.records import BadRecord, MetricInfo, RunRecord, decode

LAYOUT = 1
"""Grows whenever the columns change."""
GROUP = 8192
"""Records that are written, and read for the sake of one of them, together."""
NAME = re.compile(r"(\d{6,})-([0-9a-f]{20})\.parquet")

_KEY = b"lossbench.layout"
_SEED = b',"seed":'
_MAGIC = b"PAR1"
_SHARED = ("suite", "problem", "method", "entrant", "role", "spec", "shape", "status")
"""Columns of text that many records have in common."""
_NUMBERS = ("steps", "backward_passes", "peak_memory")
_SECONDS = ("train", "method_seconds", "evaluation")

LIGHT = ("id", "seed", "spec", "shape", "status", "validation", "test", "loss", *_NUMBERS, *_SECONDS)
"""Columns that a leaderboard reads."""
REST = "rest"


class BadPack(ValueError):
    """A file, or a part of one, that cannot be believed; the message says why in one line."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of a configuration have in common beside their spec: what was trained and measured, and where."""

    tasks: list[str]
    trained: list[int]
    metrics: dict[str, MetricInfo]
    environment: dict[str, str]


def needed(by: str) -> None:
    """Raises MissingDependency where pyarrow cannot be imported."""
    from tasks import require

    require(["pyarrow"], by, "pack")


def _schema() -> Any:
    import pyarrow as pa

    shared = [(name, pa.string()) for name in _SHARED]
    numbers = [*((name, pa.int64()) for name in ("trial", "seed", *_NUMBERS)), *((name, pa.float64()) for name in ("loss", *_SECONDS))]
    values = [(name, pa.list_(pa.float64())) for name in ("validation", "test")]
    return pa.schema([("id", pa.binary(10)), *shared, *numbers, *values, (REST, pa.binary())], {_KEY: str(LAYOUT)})


def order(record: RunRecord) -> tuple[str, ...]:
    """Sorts records so that those of one configuration are neighbours."""
    spec = record.spec
    return (
        spec.suite,
        spec.problem,
        spec.method,
        spec.entrant,
        spec.role,
        f"{spec.trial:06d}",
        _texts(record)[0].decode(),
        f"{spec.seed:020d}",
    )


def _texts(record: RunRecord) -> tuple[bytes, bytes]:
    """The JSON of the spec with null for its seed, and that of the record without its id and spec."""
    whole, spec = msgspec.json.encode(record), msgspec.json.encode(record.spec)
    head = b'{"schema":%d' % record.schema
    middle = b',"id":%s,"spec":%s' % (msgspec.json.encode(record.id), spec)
    assert whole.startswith(head + middle), "fields of a record are encoded in another order"
    before, _, after = spec.rpartition(_SEED)  # the last one: a hyperparameter may have that name too
    return before + _SEED + b"null" + after.lstrip(b"-0123456789"), head + whole[len(head + middle) :]


def text(id_: str, spec: str, seed: int, rest: bytes) -> bytes:
    """The JSON of a record from its columns."""
    before, _, after = spec.encode().rpartition(_SEED + b"null")
    return b'%s,"id":%s,"spec":%s%s%d%s}' % (rest[:-1], msgspec.json.encode(id_), before, _SEED, seed, after)


def spec_text(spec: str, seed: int) -> bytes:
    """The JSON of a spec with this seed."""
    before, _, after = spec.encode().rpartition(_SEED + b"null")
    return b"%s%s%d%s" % (before, _SEED, seed, after)


def columns(records: Sequence[RunRecord]) -> Any:
    """The table of these records.

    Raises:
        OverflowError: a whole number of more than 64 bits.
    """
    import pyarrow as pa

    rows: dict[str, list[Any]] = {name: [] for name in _schema().names}
    for record in records:
        spec, cost = record.spec, record.cost
        shared, rest = _texts(record)
        shape = Shape(tasks=record.tasks, trained=record.trained, metrics=record.metrics, environment=record.environment)
        row = {
            "id": bytes.fromhex(record.id),
            "suite": spec.suite,
            "problem": spec.problem,
            "method": spec.method,
            "entrant": spec.entrant,
            "role": spec.role,
            "trial": spec.trial,
            "seed": spec.seed,
            "spec": shared.decode(),
            "shape": msgspec.json.encode(shape).decode(),
            "status": record.status,
            "validation": [record.validation.get(key) for key in record.metrics],
            "test": [record.test.get(key) for key in record.metrics],
            "loss": record.loss,
            "steps": cost and cost.steps,
            "backward_passes": cost and cost.backward_passes,
            "peak_memory": cost and cost.peak_memory,
            "train": cost and cost.train,
            "method_seconds": cost and cost.method,
            "evaluation": cost and cost.evaluation,
            REST: rest,
        }
        for name, value in row.items():
            rows[name].append(value)
    schema = _schema()
    try:
        return pa.table([pa.array(rows[field.name], field.type) for field in schema], schema=schema)
    except pa.ArrowInvalid as error:
        raise OverflowError(str(error)) from error


def fits(record: RunRecord) -> bool:
    """Whether the record's whole numbers have a place in the columns."""
    numbers = [record.spec.trial, record.spec.seed]
    if record.cost is not None:
        numbers += [record.cost.steps, record.cost.backward_passes, record.cost.peak_memory or 0]
    return all(-(2**63) <= number < 2**63 for number in numbers)


class Writer:
    """Writes one file, a group at a time, under a temporary name; :meth:`finish` gives it its own.

    Raises:
        OSError: the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.temporary = folder / f".{os.getpid()}.{secrets.token_hex(4)}.tmp"
        self._file = open(self.temporary, "xb")  # noqa: SIM115 (closed by `finish` or `drop`)
        self._writer = pq.ParquetWriter(
            self._file,
            _schema(),
            compression="zstd",
            use_dictionary=list(_SHARED),
            dictionary_pagesize_limit=1 << 30,  # a spec is never written out again and again
            write_statistics=False,
            write_page_checksum=True,
        )
        self._waiting: list[RunRecord] = []
        self.written = 0

    def add(self, record: RunRecord) -> None:
        self._waiting.append(record)
        self.written += 1
        if len(self._waiting) == GROUP:
            self._flush()

    def close(self) -> None:
        """All that was added is on the disk, under the temporary name."""
        self._flush()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def finish(self) -> Path:
        """After :meth:`close`: the file under its own name, after all that are there."""
        numbers = [int(found[1]) for found in map(NAME.fullmatch, os.listdir(self._folder)) if found]
        path = self._folder / f"{1 + max(numbers, default=0):06d}-{_digest(_footer(self.temporary))}.parquet"
        os.replace(self.temporary, path)
        _sync(self._folder)
        return path

    def drop(self) -> None:
        """Leaves nothing behind of what is not finished."""
        with suppress(OSError):  # the disk refused before
            self._writer.close()
        self._file.close()
        self.temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(columns(self._waiting), row_group_size=GROUP)
            self._waiting = []


class Packed:
    """One file, opened: its footer is there and as it was written.

    Raises:
        BadPack: not so.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, *, named: bool = True) -> None:
        """``named=False`` is for a file that has no name of its own yet."""
        needed(f"reading {path}")
        import pyarrow as pa

        footer = _footer(path)
        name = NAME.fullmatch(path.name)
        if named and (name is None or name[2] != _digest(footer)):
            raise BadPack("its name is not that of its content: it was changed or renamed")
        self.path = path
        with _trouble():
            import pyarrow.parquet as pq

            metadata = pq.read_metadata(path)
            layout = (metadata.metadata or {}).get(_KEY, b"")
            if layout != str(LAYOUT).encode():
                known = f"this LossBench reads {LAYOUT}: update LossBench or pack the records again"
                raise BadPack(f"layout {layout.decode(errors='replace')!r}, but {known}")
            if metadata.schema.to_arrow_schema().names != _schema().names:
                raise BadPack("its columns are not those of this layout")
            self._file = pq.ParquetFile(path, metadata=metadata, read_dictionary=list(_SHARED), page_checksum_verification=True)
        plain = pa.schema([f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in self._file.schema_arrow])
        if not plain.equals(_schema()):
            raise BadPack("its columns are not those of this layout")
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self.starts = [sum(sizes[:group]) for group in range(len(sizes) + 1)]
        """Row that each group begins with; after them, the number of rows."""

    def __len__(self) -> int:
        rows: int = self.starts[-1]
        return rows

    @property
    def groups(self) -> range:
        return range(len(self.starts) - 1)

    def read(self, names: Sequence[str], groups: Sequence[int] | None = None) -> Any:
        """These columns of these groups (all) as a table.

        Raises:
            BadPack: something in them is not what was written.
        """
        with _trouble():
            return self._file.read_row_groups(list(self.groups if groups is None else groups), columns=list(names))

    @cached_property
    def ids(self) -> list[bytes]:
        """Of all rows; BadPack as for :meth:`read`."""
        found: list[bytes] = self.read(["id"])["id"].to_pylist()
        return found

    def texts(self, group: int) -> list[bytes]:
        """The JSON of every record of a group; BadPack as for :meth:`read`."""
        found = self.read(["id", "seed", "spec", REST], [group]).to_pydict()
        return [text(id_.hex(), spec, seed, rest) for id_, seed, spec, rest in zip(*found.values(), strict=True)]

    def differs(self, group: int, records: Sequence[RunRecord]) -> list[str]:
        """Columns of a group that do not say what its records do; BadPack as for :meth:`read`."""
        stored, told = self.read(_schema().names, [group]), columns(records)
        return [name for name in told.column_names if not stored[name].cast(told[name].type).equals(told[name])]

    def records(self, group: int) -> Iterator[RunRecord | BadRecord]:
        """The records of a group, each checked like a loose one; in place of one that cannot be believed, why."""
        for each in self.texts(group):
            try:
                yield decode(each)
            except BadRecord as error:
                yield error


@contextmanager
def _trouble() -> Iterator[None]:
    """What pyarrow raises for a file that is not as it should be, as BadPack."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BadPack(" ".join(str(error).split()) or type(error).__name__) from error


def _footer(path: Path) -> bytes:
    """What pyarrow parses first. Raises BadPack where the file has none, OSError where it cannot be read."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - 8))
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length + 12 > size:
            raise BadPack("not a whole Parquet file: its end is missing")
        file.seek(size - 8 - length)
        return file.read(length) + tail


def _digest(footer: bytes) -> str:
    return hashlib.blake2b(footer, digest_size=10).hexdigest()


def _sync(folder: Path) -> None:
    """Makes names in a folder last through a loss of power, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # no folder can be opened here
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
