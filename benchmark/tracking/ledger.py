"""Which W&B run a study continues, and what that run holds already."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from benchmark.records import RunRecord, encode


class Ledger:
    """A text file: the run's id on the first line, then a line for everything that was written to it, in order.

    Offline, nobody else can say what a run holds; and rows must be numbered on from the earlier ones, as a server drops rows whose number
    it has seen. A study has one ledger for every place that it is tracked to, so that each place gets all of it. Rows that wandb took and
    then lost, as its own process was killed, are not written again: the tables at the end have every trial anyway.

    Args:
        path: of the file; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            path.write_text(secrets.token_hex(4) + "\n", encoding="utf-8")
        self.run, *self._held = path.read_text(encoding="utf-8").splitlines()
        self._known = set(self._held)

    @staticmethod
    def path(folder: Path, suite: str, place: tuple[str, ...]) -> Path:
        """``folder/SUITE-KEY.ledger``, where the key stands for mode, server, entity, project and kind of runs."""
        key = hashlib.blake2b("\n".join(place).encode(), digest_size=4).hexdigest()
        return folder / f"{suite}-{key}.ledger"

    def __len__(self) -> int:
        """The number of the next row."""
        return len(self._held)

    def has(self, entry: str) -> bool:
        return entry in self._known

    def add(self, entry: str) -> None:
        """Notes at once; a line that a crash tore in two is an entry that nobody asks for."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{entry}\n")
        self._held.append(entry)
        self._known.add(entry)


def digest(record: RunRecord) -> str:
    """Of a record's whole text: a trial that was run again is another entry."""
    return hashlib.blake2b(encode(record), digest_size=6).hexdigest()
