"""What a data set's columns are, and some of its rows: the one form that hub tables, local tables and a set's own files are read into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from tasks.errors import TaskError, suggest

Type = Literal["integer", "float", "boolean", "text", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that a problem reads, with all that can be checked of it before it is used.

    Attributes:
        shape: of one row's value, () for a single one; a leading None is a length that differs from row to row.
        low, high: the legal range of numbers; numbers are finite in any case.
        choices: the legal words of a text.
        aliases: further names under which copies of the set carry the column.
    """

    name: str
    type: Type
    shape: tuple[int | None, ...] = ()
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        """``float [3, 288, 384]``."""
        return f"{self.type} [{', '.join('any' if size is None else str(size) for size in self.shape)}]" if self.shape else self.type

    def found(self, names: Sequence[str], origin: str) -> str:
        """The one of ``names`` under which a table carries the column.

        Raises:
            TaskError: it has none of that name, or two; the line begins with ``origin``.
        """
        present = [name for name in (self.name, *self.aliases) if name in names]
        if not present:
            has = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise TaskError(f"{origin}: column {self.name!r} ({self}) is missing{suggest(self.name, names)} (it has: {has or 'none'})")
        if names.count(present[0]) > 1:
            raise TaskError(f"{origin}: column {present[0]!r} is there {names.count(present[0])} times; expected it once")
        return present[0]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of one split.

    Attributes:
        values: by column. Numbers are arrays ``[n, *shape]``, or a list of n arrays where a length differs from row to row; texts are
            lists of str (of list of str); an image is the bytes of its file, or uint8 ``[H, W]`` or ``[H, W, 3]``.
        place: what an error calls row i, counted from 0 within ``values``.
        split: of the set's own splits the one that they belong to, as far as it is known.
    """

    values: Mapping[str, Any]
    place: Callable[[int], str]
    split: str = ""

    def __getitem__(self, column: str) -> Any:
        return self.values[column]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))


def check(rows: Rows, columns: Sequence[Column]) -> Rows:
    """The rows, whose values are within what the columns declare.

    Raises:
        TaskError: a number that is not finite or out of range, or a word that is none of the choices; it names row, column and value.
    """
    for column in columns:
        values = rows[column.name]
        if column.type in ("integer", "float"):
            if isinstance(values, list):
                for row, each in enumerate(values):
                    _check_numbers(each[None], column, partial(_same, rows.place(row)))
            else:
                _check_numbers(values, column, rows.place)
        elif column.choices:
            for row, word in enumerate(values):
                if word not in column.choices:
                    raise TaskError(f"{rows.place(row)}: {column.name} is {word!r}; expected one of {', '.join(column.choices)}")
    return rows


def _same(place: str, _: int) -> str:
    return place


def _check_numbers(values: Any, column: Column, place: Callable[[int], str]) -> None:
    import numpy as np

    good = np.isfinite(values)
    if column.low is not None:
        good &= values >= column.low
    if column.high is not None:
        good &= values <= column.high
    if not good.all():
        row, *rest = np.argwhere(~good)[0].tolist()
        low, high = ("any" if end is None else f"{end:g}" for end in (column.low, column.high))
        expected = "a finite number" if low == high == "any" else f"{column.type} from {low} to {high}"
        raise TaskError(f"{place(row)}: {column.name} is {values[(row, *rest)].item()!r}; expected {expected}")
