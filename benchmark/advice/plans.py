"""A plan, kept beside the records so that the same question goes on where it was."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmark.advice.rungs import Rung

FOLDER = "advice"


def kept(results: Path, key: str) -> tuple[Rung, ...] | None:
    """The plan of an earlier call; None where there is none that can be read."""
    try:
        return msgspec.json.decode((results / FOLDER / f"{key}.json").read_bytes(), type=tuple[Rung, ...])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def keep(results: Path, key: str, plan: tuple[Rung, ...]) -> None:
    """Writes it, whole or not at all."""
    file = results / FOLDER / f"{key}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(plan))
    temporary.replace(file)
