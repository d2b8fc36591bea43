"""Tables in parquet and Arrow files, on the hub or in a folder, read batch by batch into :class:`tasks.rows.Rows`.

pyarrow and ``datasets`` are imported here and nowhere else, where something is read. Local files are read by pyarrow alone: ``datasets``
would first write an Arrow copy of them. From the hub they are streamed, so that neither the parquet files nor that copy stay on the disk
beside what is decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import TaskError, require
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CACHED = re.compile(r"(cache-|tmp).*\.arrow")
"""What ``datasets`` leaves beside a saved set that was mapped, filtered or sorted."""
_PIECE = re.compile(r"(.*-)(\d+)-of-(\d+)(\..*)")
"""``train-00003-of-00008.parquet``."""


# --- local files --------------------------------------------------------------------------------------------------------------------------


def find(folder: Path, splits: Sequence[str], config: str | None = None) -> dict[str, list[Path]]:
    """Parquet and Arrow files of a folder, by the split that their path names: a folder ``train`` or a file ``train-0000.parquet``.

    They may lie in the folder itself, in its ``data`` or that of the configuration (the layout of hub repositories), or in one folder a
    split (what ``save_to_disk`` writes); other folders belong to other sets. Where there is one split only, every file belongs to it.
    What ``datasets`` itself has cached beside a saved set is no part of it.

    Raises:
        TaskError: a file that belongs to none of several splits, a split that is there twice, or a piece of one that is not there.
    """
    found: dict[str, list[Path]] = {}
    inside = [folder, *(folder / name for name in dict.fromkeys(("data", *splits, *([config] if config else ()))))]
    for path in sorted(p for one in inside for pattern in ("*.parquet", "*.arrow") for p in one.glob(pattern) if _is_data(p)):
        words = path.relative_to(folder).parts
        named = [split for split in splits if split in words[:-1] or re.match(rf"{re.escape(split)}[-_.]", words[-1])]
        if not named and len(splits) == 1:
            named = list(splits)
        if not named:
            raise TaskError(f"{path}: belongs to no split; expected {' or '.join(f'{split}-*.parquet' for split in splits)}")
        found.setdefault(named[0], []).append(path)
    ordered = {split: found[split] for split in splits if split in found}
    for split, paths in ordered.items():
        _once_and_whole(split, paths)
    return ordered


def _is_data(path: Path) -> bool:
    return path.is_file() and not _CACHED.fullmatch(path.name)


def _once_and_whole(split: str, paths: Sequence[Path]) -> None:
    """Raises TaskError where rows would come twice, and be trained on and tested with, or only some of the pieces are there."""
    first = paths[0]
    for other in paths[1:]:
        if (other.parent, other.suffix) != (first.parent, first.suffix):
            raise TaskError(f"split {split} is there twice, {first} and {other}: keep one of them in this folder")
    names = {path.name for path in paths}
    for match in filter(None, map(_PIECE.fullmatch, sorted(names))):
        head, digits, of, tail = match.groups()
        for number in range(int(of)):
            piece = f"{head}{number:0{len(digits)}}-of-{of}{tail}"
            if piece not in names:
                raise TaskError(f"{first.parent / piece} is missing beside {match[0]}: fetch it, or rename the others to use them alone")


def count(files: Sequence[Path]) -> int:
    """Rows in parquet and Arrow files; Arrow files count as they are read.

    Raises:
        TaskError: a file that is truncated or something else.
    """
    import pyarrow.parquet as pq

    total = 0
    for path in files:
        with _reading(path):
            if path.suffix == ".parquet":
                total += pq.read_metadata(path).num_rows
            else:
                total += sum(batch.num_rows for batch in _arrow(path))
    return total


def check_schemas(files: Sequence[Path], columns: Sequence[Column]) -> None:
    """Raises TaskError where a file has not the columns, each of its type; no row is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        with _reading(path):
            if path.suffix == ".parquet":
                schema = pq.read_schema(path)
            else:
                with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                    schema = stream.schema
        _match(schema, columns, str(path))


def read(files: Sequence[Path], columns: Sequence[Column], batch: int) -> Iterator[Rows]:
    """The rows of parquet and Arrow files in order.

    Raises:
        TaskError: a file that is truncated or something else, a column that is missing or of another type, or a value that is missing.
    """
    for path in files:
        with _reading(path), closing(_parquet(path, batch) if path.suffix == ".parquet" else _arrow(path)) as batches:
            first = 0
            for table in batches:
                for start in range(0, table.num_rows, batch):
                    piece = table.slice(start, batch)
                    yield _rows(piece, columns, str(path), first + start)
                first += table.num_rows


def _parquet(path: Path, batch: int) -> Generator[Any, None, None]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=batch)


def _arrow(path: Path) -> Generator[Any, None, None]:
    """Record batches of a file as ``datasets`` writes it: Arrow's stream format."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        yield from stream


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        kind = "parquet" if path.suffix == ".parquet" else "Arrow stream"
        raise TaskError(f"{path}: not a whole {kind} file: {_line(error)}") from error


# --- the hub ------------------------------------------------------------------------------------------------------------------------------


def commit(hub_id: str, revision: str | None) -> str:
    """The commit that a revision, or the newest state, of a hub repository stands for.

    Raises:
        TaskError: the repository or revision is not to be had.
    """
    from huggingface_hub import HfApi

    with _downloading(hub_id):
        return str(HfApi().dataset_info(hub_id, revision=revision).sha)


def fetch(hub_id: str, revision: str | None, files: Sequence[str]) -> Path:
    """Downloads single files of a repository into the hub's own cache; the folder that holds them by their paths."""
    from huggingface_hub import hf_hub_download

    with _quiet(), _downloading(hub_id):
        paths = [Path(hf_hub_download(hub_id, name, repo_type="dataset", revision=revision)) for name in files]
    return paths[0].parents[len(Path(files[0]).parts) - 1]


def stream(
    hub_id: str, config: str | None, revision: str | None, split: str, columns: Sequence[Column], batch: int
) -> tuple[int | None, Iterator[Rows]]:
    """The rows of one split of a hub data set, and their number where the hub says it.

    Raises:
        TaskError: the set, configuration or split is not to be had, or as :func:`read`.
    """
    with _quiet(), _downloading(hub_id):
        import datasets

        data = datasets.load_dataset(hub_id, config, split=split, revision=revision, streaming=True)
        known = data.info.splits.get(split) if data.info.splits else None

    def rows() -> Iterator[Rows]:
        first = 0
        batches = iter(data.with_format("arrow").iter(batch_size=batch))
        while True:
            with _quiet(), _downloading(hub_id):
                table = next(batches, None)
            if table is None:
                return
            yield _rows(table, columns, f"{hub_id}, split {split}", first)
            first += table.num_rows

    return (known.num_examples if known else None), rows()


@contextmanager
def _downloading(hub_id: str) -> Iterator[None]:
    """What the hub's libraries raise (httpx, their own, Arrow's, OSError, ValueError; no common base) as one line."""
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"{hub_id}: cannot be read from the hub: {_line(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of the hub's libraries, whose place the caller's own takes; back to what it was afterwards."""
    import datasets
    import huggingface_hub.utils as hub

    shown = [library for library in (datasets, hub) if not library.are_progress_bars_disabled()]
    for library in shown:
        library.disable_progress_bars()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bars()


# --- columns ------------------------------------------------------------------------------------------------------------------------------


def _rows(table: Any, columns: Sequence[Column], origin: str, first: int) -> Rows:
    """A record batch or table; ``first`` is the number of its first row within ``origin``."""

    def place(row: int) -> str:
        return f"{origin}, row {first + row}"

    names, words = _match(table.schema, columns, origin), _class_names(table.schema, origin)
    values = {column.name: _values(table.column(names[column.name]), column, words.get(names[column.name]), place) for column in columns}
    return Rows(values, place)


def _match(schema: Any, columns: Sequence[Column], origin: str) -> dict[str, str]:
    """By column, the name that the schema has for it.

    Raises:
        TaskError: it has none, or gives it another type.
    """
    words, names = _class_names(schema, origin), {}
    for column in columns:
        name = names[column.name] = column.found(schema.names, origin)
        kind = schema.field(name).type
        if not _fits(kind, column, labelled=name in words):
            raise TaskError(f"{origin}: column {name!r} is {_storage(kind)}; expected {column}")
    return names


def _storage(kind: Any) -> Any:
    """What lies under an extension type: with ``datasets`` imported its arrays have one of its own, without it they are plain lists."""
    import pyarrow as pa

    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _fits(kind: Any, column: Column, labelled: bool) -> bool:
    import pyarrow.types as at

    kind = _storage(kind)
    for _ in column.shape:
        if not (at.is_list(kind) or at.is_large_list(kind) or at.is_fixed_size_list(kind)):
            return False
        kind = kind.value_type
    if at.is_dictionary(kind):
        kind = kind.value_type
    text = at.is_string(kind) or at.is_large_string(kind)
    if column.type == "image":
        if at.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return bool(at.is_binary(kind) or at.is_large_binary(kind))
    fitting: dict[str, bool] = {
        "integer": at.is_integer(kind),
        "float": at.is_floating(kind) or at.is_integer(kind),
        "boolean": at.is_boolean(kind),
        "text": text or (labelled and at.is_integer(kind)),
    }
    return fitting[column.type]


def _class_names(schema: Any, origin: str) -> dict[str, list[str]]:
    """Names of the classes by column, where ``datasets`` has stored numbers for words and said so in the schema."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        labels = {name: one for name, one in features.items() if isinstance(one, dict) and one.get("_type") == "ClassLabel"}
        return {name: [str(word) for word in label["names"]] for name, label in labels.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise TaskError(f"{origin}: its description by datasets cannot be read: {_line(error)}") from error


def _values(array: Any, column: Column, words: list[str] | None, place: Callable[[int], str]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    rows, flat, inside = len(array), array, 1
    _no_nulls(flat, column, inside, place)
    for depth, size in enumerate(column.shape):
        lengths = pc.list_value_length(flat).to_numpy(zero_copy_only=False)
        if size is None:
            assert depth == 0, "only a leading length may differ"
            ragged = lengths.tolist()
        elif (lengths != size).any():
            row = int((lengths != size).argmax())
            where = row // inside if None not in column.shape else _owner(ragged, row // max(inside, 1))
            raise TaskError(f"{place(where)}: column {column.name!r} has {lengths[row]} values in dimension {depth}; expected {column}")
        inside *= size or 1
        flat = flat.flatten()
    if None in column.shape:
        ends = list(accumulate(ragged, initial=0))
        if flat.null_count:
            raise TaskError(f"{place(_owner(ragged, _first_null(flat) // inside))}: column {column.name!r} has an empty value")
        plain = _plain(flat, column, words, lambda index: place(_owner(ragged, index)))
        if column.type == "text":
            return [plain[start:end] for start, end in pairwise(ends)]
        shaped = plain.reshape(-1, *column.shape[1:])
        return [shaped[start:end] for start, end in pairwise(ends)]
    _no_nulls(flat, column, inside, place)
    plain = _plain(flat, column, words, lambda index: place(index // inside))
    return plain.reshape(rows, *column.shape) if column.shape else plain


def _plain(flat: Any, column: Column, words: list[str] | None, place: Callable[[int], str]) -> Any:
    """``place``: of the row that an index of ``flat`` belongs to."""
    import pyarrow as pa

    if column.type == "image":
        images = flat.field("bytes") if isinstance(flat, pa.StructArray) else flat
        return images.to_pylist()
    if column.type == "text":
        texts = flat.to_pylist()
        for index, number in enumerate(texts):
            if words is not None and isinstance(number, int):
                if not 0 <= number < len(words):  # -1 is how datasets writes that there is no label
                    raise TaskError(f"{place(index)}: {column.name} is class {number}; expected one from 0 to {len(words) - 1}")
                texts[index] = words[number]
        return texts
    numbers: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return numbers


def _no_nulls(flat: Any, column: Column, inside: int, place: Callable[[int], str]) -> None:
    """``inside``: values of ``flat`` a row."""
    import pyarrow as pa

    if isinstance(flat, pa.StructArray) and not flat.null_count and column.type == "image":
        flat = flat.field("bytes")
    if flat.null_count:
        raise TaskError(f"{place(_first_null(flat) // inside)}: column {column.name!r} is empty; expected {column}")


def _first_null(flat: Any) -> int:
    return int(flat.is_null().to_numpy(zero_copy_only=False).argmax())


def _owner(lengths: Sequence[int], index: int) -> int:
    """The row that the index-th value belongs to."""
    return next(row for row, end in enumerate(accumulate(lengths)) if index < end)


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def needs_pyarrow(needed_by: str) -> None:
    """Raises MissingDependency where tables cannot be read."""
    require(("pyarrow",), needed_by)


def needs_datasets(needed_by: str) -> None:
    """Raises MissingDependency where the hub cannot be read."""
    require(("datasets",), needed_by)
