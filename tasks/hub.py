"""Problems whose data does not ship: from the hub, from local tables or from the set's own files, always with the same result.

A problem declares a :class:`Source`, how its own files are read (:meth:`HubProblem.originals` and :meth:`HubProblem.parse`), what is kept
of a row (:meth:`HubProblem.decode`) and what a session trains on (:meth:`HubProblem.assemble`). Whichever way the rows come, they are
checked against the source's columns, decoded once into ``cache/NAME-KEY/`` and memory-mapped from there.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import decoded, network, tables
from tasks.base import Report, silent
from tasks.decoded import Manifest
from tasks.errors import TaskError
from tasks.inmemory import Arrays, Indices, InMemoryProblem, cut_parts, split
from tasks.locations import Locations
from tasks.rows import Column, Rows, check

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a data set is and what it looks like.

    Attributes:
        hub: id of its repository on the hub; None where no faithful one is known.
        revision: commit that it was checked at; None takes the newest, whose commit is then in the manifest.
        config: name of the configuration within the repository.
        splits: its own splits, in the order in which they are cached.
        columns: what is read of it.
        files: files of the repository to download and read as the set's own, where they are no tables.
        layout: the set's own files in words, as an error tells the user what ``--data-dir`` takes.
        rows: of the whole set.
        size: bytes to download, about.
        partial: whether a copy with only some of the splits will do.
        batch: rows decoded at once.
        name: under which it is looked for and kept, where several problems train on one set; else the problem's.
    """

    hub: str | None
    revision: str | None = None
    config: str | None = None
    splits: tuple[str, ...] = ("train",)
    columns: tuple[Column, ...]
    files: tuple[str, ...] = ()
    layout: str
    rows: int
    size: int
    partial: bool = False
    batch: int = 256
    name: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cached:
    """The decoded set: arrays by name, memory-mapped, the splits one after the other in each; and what is known of it."""

    arrays: Mapping[str, NDArray[Any]]
    manifest: Manifest

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.arrays[name]

    @property
    def parts(self) -> tuple[int, ...]:
        """Rows of each split."""
        return tuple(self.manifest.splits.values())


class HubProblem(InMemoryProblem):
    """A problem over a :class:`Source`. Subclasses are hashable by identity, as every problem is.

    Attributes:
        decoder: version of :meth:`decode` and :meth:`parse`; grows whenever they would store something else.
        validation_rows, test_rows: of the whole set; of a smaller copy as many in proportion.
    """

    embedded = False
    source: Source
    decoder: int = 1

    @property
    def kept_as(self) -> str:
        """Name of its folders among the user's copies and in the cache."""
        return self.source.name or self.card.name

    def originals(self, folder: Path) -> Mapping[str, Sequence[Path]]:
        """The set's own files in a folder by split, in a fixed order; none where they are not there."""
        return {}

    def parse(self, split: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
        """The rows of one split from its own files; what is left out is counted by its reason.

        Raises:
            TaskError: a file that is not what it should be; one line that names it.
        """
        raise NotImplementedError(f"{self.card.name} has files of its own and no way to read them")

    @abstractmethod
    def decode(self, rows: Rows, excluded: Counter[str]) -> dict[str, NDArray[Any]]:
        """What is cached of some rows, by name; every array has one row for each that is not left out.

        Raises:
            TaskError: an image or value that is not what it should be; it names ``rows.place(i)``.
        """

    @abstractmethod
    def assemble(self, cached: Cached) -> Arrays:
        """What the session trains on; called once a process."""

    def arrays(self, where: Locations) -> Arrays:
        return _assembled(self, _decoded(self, where, silent)[0])

    def fingerprint(self, where: Locations | None = None) -> str:
        """From the manifest: no array is read."""
        return _decoded(self, where or Locations(), silent)[1].fingerprint

    def prepare(self, where: Locations | None = None, report: Report = silent) -> str:
        folder, manifest = _decoded(self, where or Locations(), report)
        left_out = "".join(f", {count} left out: {reason}" for reason, count in manifest.excluded.items())
        return f"{sum(manifest.splits.values()):,} rows{left_out}; {_bytes(manifest.size)} in {folder}"

    def indices(self, rows: int, seed: int) -> Indices:
        return split(self.card, rows, self._scaled(self.validation_rows, rows), self._scaled(self.test_rows, rows), seed)

    def cut(self, arrays: Arrays, seed: int) -> Indices:
        if len(arrays.parts) < 2:
            return self.indices(len(arrays.inputs), seed)
        return cut_parts(self.card, arrays.parts, self._scaled(self.validation_rows, sum(arrays.parts)), seed)

    def _scaled(self, count: int, rows: int) -> int:
        return max(1, round(count * rows / self.source.rows))


# --- which way in -------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Local:
    """Files of the user by split, as tables or as the set's own."""

    files: Mapping[str, Sequence[Path]]
    own: bool
    folder: Path

    def identity(self) -> list[list[Any]]:
        """Changes when a file does, without reading gigabytes.

        The time of its last change of any kind is among it: copies and archives bring the time of modification with them, and many sets
        have files of one size.

        Raises:
            TaskError: a file that cannot be looked at.
        """
        found = []
        for path in (path for paths in self.files.values() for path in paths):
            with _opening(path):
                state = path.stat()
            found.append([str(path.relative_to(self.folder)), state.st_size, state.st_mtime_ns, state.st_ctime_ns])
        return found


def _local(problem: HubProblem, where: Locations) -> _Local | None:
    """What lies in ``data/NAME``, else in ``data`` itself; None where neither holds anything of the problem.

    Raises:
        TaskError: some of the splits are there and others not, or ``data/NAME`` is there and holds something else.
    """
    if where.data is None:
        return None
    source = problem.source
    strange: Path | None = None
    for folder in (Path(where.data) / problem.kept_as, Path(where.data)):
        if not folder.is_dir():
            continue
        own = problem.originals(folder)
        found = _Local(own or tables.find(folder, source.splits, source.config), bool(own), folder)
        if not found.files:
            strange = folder if folder != Path(where.data) else strange
            continue
        missing = [name for name in source.splits if name not in found.files]
        if missing and not source.partial:
            raise TaskError(
                f"problem {problem.card.name!r}: {folder} has split {', '.join(found.files)} but not {', '.join(missing)}; "
                f"expected {_layouts(problem)}"
            )
        return found
    if strange is not None:
        raise TaskError(f"problem {problem.card.name!r}: nothing of it in {strange}; expected {_layouts(problem)}")
    return None


def _layouts(problem: HubProblem) -> str:
    source = problem.source
    named = " and ".join(f"{split}-*.parquet" for split in source.splits)
    return " or ".join(filter(None, (source.layout, f"{named}, or what save_to_disk wrote")))


def _remedy(problem: HubProblem, offline: bool) -> str:
    source, name = problem.source, problem.card.name
    local = f"--data-dir DIR with {_layouts(problem)}, in DIR/{problem.kept_as} or DIR itself"
    if source.hub is None:
        return f"give {local}"
    fetch = "once without --offline" if offline else "where there is a network"
    return f"run {fetch}: python -m benchmark prepare --problem {name} (about {_bytes(source.size)} of {source.hub}); or give {local}"


def _decoded(problem: HubProblem, where: Locations, report: Report) -> tuple[Path, Manifest]:
    """The folder of the decoded set and its manifest; decodes what is not there yet.

    Raises:
        TaskError, MissingDependency: the data cannot be had, is not what it should be, or cannot be cached.
    """
    name, source = problem.card.name, problem.source
    local = _local(problem, where)
    identity: dict[str, Any] = (
        {"files": local.identity()} if local else {"hub": source.hub, "revision": source.revision, "config": source.config}
    )
    columns = [asdict(column) for column in source.columns]
    stated = json.dumps([decoded.FORMAT, problem.kept_as, problem.decoder, source.splits, columns, identity], sort_keys=True)
    folder = Path(where.cache) / f"{problem.kept_as}-{hashlib.blake2b(stated.encode(), digest_size=6).hexdigest()}"
    known = decoded.lookup(folder)
    if known is not None:
        return folder, known
    excluded: Counter[str] = Counter()
    if local:
        read = _local_rows(problem, local, excluded)
    else:
        if where.data is not None and (source.hub is None or where.offline):
            raise TaskError(f"problem {name!r}: nothing of it in {where.data}; {_remedy(problem, where.offline)}")
        if source.hub is None or where.offline:
            raise TaskError(f"problem {name!r}: its data is not here; {_remedy(problem, where.offline)}")
        tables.needs_datasets(f"problem {name!r} from the hub")
        network.reachable(f"problem {name!r}", _remedy(problem, offline=False))
        commit = tables.commit(source.hub, source.revision)
        identity["commit"] = commit
        read = _hub_rows(problem, source.hub, commit, excluded)

    def chunks() -> Iterator[decoded.Chunk]:
        import numpy as np

        for split_name, total, pieces in read:
            kept = done = 0
            report(f"{name} {split_name}", 0, total)
            for rows in pieces:
                if not len(rows):
                    continue
                with np.errstate(over="ignore"):  # said below, by row
                    chunk = problem.decode(check(replace(rows, split=split_name), source.columns), excluded)
                _finite(chunk, rows)
                kept += len(next(iter(chunk.values())))
                done += len(rows)
                report(f"{name} {split_name}", done, total)
                yield split_name, chunk
            if not kept:
                raise TaskError(f"problem {name!r}: split {split_name} has no row")

    return folder, decoded.write(folder, name, problem.decoder, identity, excluded, chunks)


def _finite(chunk: Mapping[str, NDArray[Any]], rows: Rows) -> None:
    """Raises TaskError where a number that was finite no longer is, in the type that it is kept in."""
    import numpy as np

    for name, array in chunk.items():
        if np.issubdtype(array.dtype, np.floating) and not (good := np.isfinite(array).reshape(len(array), -1).all(1)).all():
            row = int(good.argmin())
            where = rows.place(row) if len(array) == len(rows) else f"among the rows from {rows.place(0)}"
            raise TaskError(f"{where}: {name} is beyond what {array.dtype} can hold; check the numbers of that row")


_Split = tuple[str, int | None, Iterator[Rows]]
"""Name, number of rows where it is known, and the rows."""


def _local_rows(problem: HubProblem, local: _Local, excluded: Counter[str]) -> Iterator[_Split]:
    source = problem.source
    if local.own:
        for name, files in local.files.items():
            yield name, None, _parsed(problem, name, files, excluded)
        return
    tables.needs_pyarrow(f"problem {problem.card.name!r} from {local.folder}")
    for files in local.files.values():
        tables.check_schemas(files, source.columns)
    for name, files in local.files.items():
        yield name, tables.count(files), tables.read(files, source.columns, source.batch)


def _parsed(problem: HubProblem, name: str, files: Sequence[Path], excluded: Counter[str]) -> Iterator[Rows]:
    with _opening(files[0]):
        yield from problem.parse(name, files, excluded)


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """An OSError inside is one about the file that it names, else ``path``, said in one line."""
    try:
        yield
    except OSError as error:
        raise TaskError(f"{error.filename or path}: cannot read the file: {error.strerror or error}") from error


def _hub_rows(problem: HubProblem, hub: str, commit: str, excluded: Counter[str]) -> Iterator[_Split]:
    source = problem.source
    if source.files:
        folder = tables.fetch(hub, commit, source.files)
        yield from _local_rows(problem, _Local(problem.originals(folder), True, folder), excluded)
        return
    for name in source.splits:
        yield (name, *tables.stream(hub, source.config, commit, name, source.columns, source.batch))


@lru_cache(maxsize=8)
def _assembled(problem: HubProblem, folder: Path) -> Arrays:
    """Of one folder once a process: other files are another folder."""
    manifest = decoded.lookup(folder)
    if manifest is None:
        raise TaskError(f"problem {problem.card.name!r}: {folder} was taken away while it was read; run again")
    return problem.assemble(Cached(decoded.arrays(folder, manifest), manifest))


def _bytes(size: float) -> str:
    """``2.8 GB``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
