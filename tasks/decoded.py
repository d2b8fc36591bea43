"""What was decoded once: a folder of ``.npy`` arrays and a manifest, complete or not there at all, read back through memory maps.

Everything is written to a folder beside its final place, which is renamed to it at the very end: what an interrupted or full disk leaves is
never read. Processes that decode the same set at once do not meet; the first to finish wins, and the others find its folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import TaskError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
MANIFEST = "manifest.json"
ABANDONED = 24 * 3600.0
"""Seconds after which a folder that nobody has written to is what a killed process left."""

Chunk = tuple[str, Mapping[str, "NDArray[Any]"]]
"""Split, and equally many further rows of every array."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One ``.npy`` file: numpy's name of the dtype, the shape and the bytes of the whole file."""

    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What lies in a folder.

    Attributes:
        source: where the rows came from: hub id, revision and commit, or the local files.
        splits: rows of each split, in the order in which they follow one another in every array.
        excluded: rows that were left out, by reason.
        fingerprint: 20 hexadecimal digits of all arrays and splits; the same whichever way the rows came.
    """

    format: int
    problem: str
    decoder: int
    source: dict[str, Any]
    splits: dict[str, int]
    excluded: dict[str, int]
    arrays: dict[str, Stored]
    fingerprint: str

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(stored.size for stored in self.arrays.values())


def lookup(folder: Path) -> Manifest | None:
    """The manifest of a folder, whose array files are all there in full; else None. Reads headers only."""
    import numpy as np

    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        arrays = {name: Stored(one["dtype"], tuple(one["shape"]), one["size"]) for name, one in document.pop("arrays").items()}
        manifest = Manifest(arrays=arrays, **document)
        for name, stored in manifest.arrays.items():
            path = folder / f"{name}.npy"
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if (array.dtype.str, array.shape, path.stat().st_size) != (stored.dtype, stored.shape, stored.size):
                return None
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return manifest if manifest.format == FORMAT else None


def arrays(folder: Path, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """The arrays by name, memory-mapped; what is written to them stays in memory."""
    import numpy as np

    return {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in manifest.arrays}


def write(
    folder: Path, problem: str, decoder: int, source: dict[str, Any], excluded: Mapping[str, int], chunks: Callable[[], Iterator[Chunk]]
) -> Manifest:
    """Writes all chunks, whose splits follow one another, and moves the folder into place; replaces one that :func:`lookup` refuses.

    ``source`` and ``excluded`` are read when the last chunk has come.

    Raises:
        TaskError: no space, or no permission; what was written is removed. Whatever ``chunks`` raises passes through, likewise.
    """
    temporary: Path | None = None
    try:
        with _writing(problem, folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        files: dict[str, _Growing] = {}
        splits: dict[str, int] = {}
        try:
            for split, chunk in chunks():
                rows = {len(array) for array in chunk.values()}
                if len(rows) != 1 or (files and set(files) != set(chunk)):
                    raise AssertionError(f"{problem}: a chunk of arrays {sorted(chunk)} with {sorted(rows)} rows")
                if split in splits and split != next(reversed(splits)):
                    raise AssertionError(f"{problem}: split {split} comes twice")
                splits[split] = splits.get(split, 0) + rows.pop()
                with _writing(problem, folder.parent):
                    for name, array in chunk.items():
                        if name not in files:
                            files[name] = _Growing(temporary / f"{name}.npy", array)
                        files[name].append(array)
            with _writing(problem, folder.parent):
                kept = {name: file.finish() for name, file in sorted(files.items())}
        finally:
            for file in files.values():
                file.abandon()
        with _writing(problem, folder.parent):
            digest = hashlib.blake2b(json.dumps(splits).encode(), digest_size=10)
            for name, file in sorted(files.items()):
                digest.update(f"{name}{kept[name].dtype}{kept[name].shape}".encode() + file.digest.digest())
            manifest = Manifest(FORMAT, problem, decoder, source, splits, dict(excluded), kept, digest.hexdigest())
            with (temporary / MANIFEST).open("w", encoding="utf-8") as out:
                json.dump(asdict(manifest), out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            return _move(temporary, folder, manifest)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, folder: Path, manifest: Manifest) -> Manifest:
    """Into place, unless another process was faster; a folder that is there and broken makes room first."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        theirs = lookup(folder)
        if theirs is not None:
            return theirs
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        with suppress(FileNotFoundError):  # another process has just done the same
            folder.rename(aside / "broken")
        shutil.rmtree(aside, ignore_errors=True)
        return _move(temporary, folder, manifest)
    return manifest


def _sweep(folder: Path) -> None:
    """Removes what a killed process left of the same folder."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        with suppress(OSError):  # it is gone, or not ours
            newest = max(entry.stat().st_mtime for entry in (left, *left.iterdir()))
            if time.time() - newest > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _writing(problem: str, cache: Path) -> Iterator[None]:
    """An OSError inside is one about the cache, said in one line."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "no space is left" if full else f"cannot write ({error.strerror or error})"
        fix = "free some" if full else "make it writable"
        raise TaskError(
            f"problem {problem!r}: {what} in {cache} while caching; {fix}, or name another folder in $LOSSBENCH_CACHE"
        ) from error


class _Growing:
    """A ``.npy`` file whose number of rows is known at its end only: the header leaves room for it."""

    def __init__(self, path: Path, first: NDArray[Any]) -> None:
        self.dtype, self.row, self.rows = first.dtype, first.shape[1:], 0
        self.digest = hashlib.blake2b(digest_size=16)
        self._path, self._file = path, path.open("wb")
        self._header()
        self._start = self._file.tell()

    def append(self, rows: NDArray[np.generic]) -> None:
        if (rows.dtype, rows.shape[1:]) != (self.dtype, self.row):
            raise AssertionError(f"{self._path.name}: {rows.dtype} {rows.shape} after {self.dtype} {self.row}")
        import numpy as np

        view = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
        self.digest.update(view)
        self._file.write(view)
        self.rows += len(rows)

    def finish(self) -> Stored:
        """Corrects the header, and closes the file when all of it is on the disk."""
        self._file.seek(0)
        self._header()
        assert self._file.tell() == self._start, "numpy pads its headers for a growing first dimension"
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return Stored(self.dtype.str, (self.rows, *self.row), self._path.stat().st_size)

    def abandon(self) -> None:
        """Closes a file that was not finished; what its buffer could not write is lost with it."""
        with suppress(OSError):
            self._file.close()

    def _header(self) -> None:
        import numpy as np

        described = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.rows, *self.row)}
        np.lib.format.write_array_header_1_0(self._file, described)
