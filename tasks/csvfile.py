"""CSV files with a header, read into :class:`tasks.rows.Rows`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import TaskError
from tasks.rows import Column, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read(path: Path, columns: Sequence[Column], batch: int) -> Iterator[Rows]:
    """The rows of a file in order. Texts lose the blanks around them.

    Raises:
        TaskError: the file is not UTF-8 text, a column is missing, a row is cut short or a value is not of its column's type.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            where = _positions(header, columns, path)
            numbers, cells = list[int](), list[list[str]]()
            for line in lines:
                if not line:
                    continue
                if len(line) != len(header):
                    raise TaskError(f"{path}, line {lines.line_num}: {len(line)} values; expected {len(header)}, as in the header")
                numbers.append(lines.line_num)
                cells.append(line)
                if len(cells) == batch:
                    yield _rows(path, columns, where, numbers, cells)
                    numbers, cells = [], []
            if cells:
                yield _rows(path, columns, where, numbers, cells)
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise TaskError(f"{path}, line {lines.line_num}: not CSV: {error}") from error
    except OSError as error:
        raise TaskError(f"{path}: cannot read the file: {error.strerror}") from error


def _positions(header: Sequence[str], columns: Sequence[Column], path: Path) -> list[int]:
    names = [name.strip() for name in header]
    return [names.index(column.found(names, str(path))) for column in columns]


def _rows(path: Path, columns: Sequence[Column], where: Sequence[int], numbers: Sequence[int], cells: Sequence[Sequence[str]]) -> Rows:
    def place(row: int) -> str:
        return f"{path}, line {numbers[row]}"

    values = {column.name: _values([line[at].strip() for line in cells], column, place) for column, at in zip(columns, where, strict=True)}
    return Rows(values, place)


def _values(words: list[str], column: Column, place: Callable[[int], str]) -> list[str] | NDArray[Any]:
    import numpy as np

    if column.type == "text":
        return words
    kind = int if column.type == "integer" else float
    numbers = []
    for row, word in enumerate(words):
        try:
            numbers.append(kind(word))
        except ValueError as error:
            raise TaskError(f"{place(row)}: {column.name} is {word!r}; expected {column}") from error
    try:
        return np.array(numbers, np.int64 if kind is int else np.float64)
    except OverflowError as error:
        row = max(range(len(numbers)), key=lambda row: abs(numbers[row]))
        raise TaskError(f"{place(row)}: {column.name} is {words[row]!r}; expected {column} of 64 bits") from error
