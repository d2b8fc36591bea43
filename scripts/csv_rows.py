"""Frozen dataclasses of text, whole numbers and numbers as the rows of a CSV; what is None is left empty."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")
CONVERT: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}


def write(path: Path, kind: type[Row], rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read(path: Path, kind: type[Row]) -> list[Row]:
    """What :func:`write` wrote; nothing where there is no file."""
    types = {field.name: CONVERT[str(field.type).split(" | ")[0]] for field in fields(kind)}
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [kind(**{name: types[name](text) if text else None for name, text in line.items()}) for line in csv.DictReader(file)]
