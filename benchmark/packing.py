"""Packs loose records into one file and unpacks them again. Nothing is taken away before what replaces it is on the disk and was read back.

Killed at any moment, a record is there in one form or in both, and a later call takes up what is left.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import msgspec

from benchmark import provenance
from benchmark.folders import StoreError
from benchmark.packed import BadPack, Packed, Writer, fits, needed, order
from benchmark.records import BadRecord, RunRecord
from benchmark.shelf import Damaged
from benchmark.store import Store

Step = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""


def quiet(what: str, done: int, total: int) -> None:
    """Tells nobody."""


@dataclass
class Done:
    """What was packed or unpacked."""

    records: int = 0
    known: int = 0
    """Records that were there already in the other form."""
    path: Path | None = None
    """The new file."""
    left: list[Damaged] = field(default_factory=list)
    """What was left where it is, as it cannot be believed."""


@dataclass(frozen=True)
class _Loose:
    """A loose record as it was when it was read."""

    path: Path
    stamp: tuple[int, int, int]
    digest: bytes


def pack(store: Store, step: Step = quiet) -> Done:
    """Packs every loose record into one new file.

    Raises:
        StoreError: the disk refuses, or what was written is not what was read.
        MissingDependency: pyarrow is not installed.
    """
    needed("packing records")
    done = Done()
    paths = list(store.loose(done.left))
    if not paths:
        return done
    store.check_writable(sum(path.stat().st_size for path in paths))
    try:
        writer = Writer(store.shelf.folder)
    except OSError as error:
        raise StoreError(f"cannot write {store.shelf.folder}: {error.strerror or error}") from error
    try:
        written, known = _write(store, paths, writer, done, step)
        writer.close()
        _verify(writer.temporary, written, step)
        void = _void(store, paths)
        if written:
            done.path = writer.finish()
        for path in void:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {store.shelf.folder}: {error.strerror or error}") from error
    finally:
        writer.drop()
    for number, loose in enumerate([*known, *written], start=1):
        _remove(loose)
        step("removing what is packed", number, len(known) + len(written))
    _tidy({loose.path.parent for loose in [*known, *written]}, store.records)
    done.records, done.known = len(written), len(known)
    return done


def _write(store: Store, paths: list[Path], writer: Writer, done: Done, step: Step) -> tuple[list[_Loose], list[_Loose]]:
    """What was written, in the order of the rows, and what is packed already, to the bit."""
    written: list[_Loose] = []
    known: list[_Loose] = []
    packed = store.shelf.index(done.left)
    for _, folder in groupby(paths, key=lambda path: path.parent):
        read: list[tuple[RunRecord, _Loose]] = []
        for path in folder:
            try:
                stamp = _stamp(path)
                record = store.read(path)
            except FileNotFoundError:  # another process has packed it, or somebody has deleted it
                continue
            except BadRecord as error:
                done.left.append(Damaged(store.relative(path), " ".join(str(error).split())))
                continue
            if not fits(record):
                done.left.append(Damaged(store.relative(path), "a whole number in it has more than 64 bits: it stays loose"))
                continue
            loose = _Loose(path, stamp, _digest(record))
            if bytes.fromhex(record.id) in packed.rows and _is_packed(store, record, loose.digest):
                known.append(loose)
            else:
                read.append((record, loose))
        for record, loose in sorted(read, key=lambda each: order(each[0])):
            writer.add(record)
            written.append(loose)
        step("packing", len(written) + len(known), len(paths))
    return written, known


def _void(store: Store, paths: list[Path]) -> list[Path]:
    """Verdicts on what loose records were before they were changed: of a packed record a table looks at a part of it alone."""
    verdicts, _ = provenance.read(store.root)
    found = []
    for path in (path for path in paths if path.stem in verdicts):
        try:
            now = provenance.content(store.read(path))
        except (FileNotFoundError, BadRecord):
            continue
        found += [provenance.path_of(store.root, path.stem, each) for each in verdicts[path.stem] if each.content != now]
    return found


def _is_packed(store: Store, record: RunRecord, digest: bytes) -> bool:
    try:
        packed = store.shelf.get(record.id)
    except BadRecord:
        return False
    return packed is not None and _digest(packed) == digest


def _verify(path: Path, written: list[_Loose], step: Step) -> None:
    """Raises StoreError where what is on the disk is not, record by record and to the bit, what was read."""
    try:
        row = 0
        for record in read_back(Packed(path, named=False)):
            if row >= len(written) or _digest(record) != written[row].digest:
                raise StoreError(f"{path.parent}: row {row} was not read back as it was written; nothing was removed")
            row += 1
            if row % 1000 == 0 or row == len(written):
                step("reading back", row, len(written))
    except (BadPack, BadRecord) as error:
        raise StoreError(f"{path.parent}: what was packed cannot be read back, and nothing was removed: {error}") from error
    if row != len(written):
        raise StoreError(f"{path.parent}: {row} records were read back of {len(written)}; nothing was removed")


def read_back(pack: Packed) -> Iterator[RunRecord]:
    """All records of a file. Raises BadPack or BadRecord for the first that cannot be believed."""
    for group in pack.groups:
        for record in pack.records(group):
            if isinstance(record, BadRecord):
                raise record
            yield record


def unpack(store: Store, step: Step = quiet) -> Done:
    """Makes every packed record that counts a loose one, and removes the files that were read as a whole.

    Raises:
        StoreError: the disk refuses, or a name in a record leads out of the store.
        MissingDependency: pyarrow is not installed.
    """
    done = Done()
    index = store.shelf.index(done.left)
    if not index.packs:
        return done
    store.check_writable(sum(4 * pack.path.stat().st_size for pack in index.packs))  # zstd makes about a quarter of it
    whole = []
    total = sum(map(len, index.packs))
    for pack in index.packs:
        before = len(done.left)
        for record in store.shelf.records(pack, done.left):
            if _is_loose(store, record):  # asked of each in its turn, as a study may be running it again
                done.known += 1  # a loose one stands for it
            elif index.counts(record, pack):
                store.save(record)
                done.records += 1
            step("unpacking", done.records + done.known, total)
        if len(done.left) == before:
            whole.append(pack)
    for pack in whole:
        try:
            pack.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {pack.path}: {error.strerror}") from error
    return done


def _is_loose(store: Store, record: RunRecord) -> bool:
    try:
        store.read(store.path(record.spec))
    except (FileNotFoundError, BadRecord):
        return False
    return True


def _digest(record: RunRecord) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(record), digest_size=16).digest()


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes when the file is replaced."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _remove(loose: _Loose) -> None:
    """Takes a packed record's file away, unless it was replaced since: a trial that was run again meanwhile."""
    with suppress(FileNotFoundError):
        if _stamp(loose.path) == loose.stamp:
            os.unlink(loose.path)


def _tidy(folders: set[Path], top: Path) -> None:
    """Removes folders that are empty now, and those above them."""
    for folder in sorted(folders, reverse=True):
        while folder != top:
            try:
                folder.rmdir()
            except OSError:  # something is in it
                break
            folder = folder.parent
