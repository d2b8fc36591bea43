"""The watcher that leaves word of a study for ``status``. What cannot be written is not: a study never stops for this."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from benchmark.executors import Fault, Job
from benchmark.records import Role, RunRecord, TrialSpec
from benchmark.study import Watcher, name_of
from benchmark.whereabouts import FOLDER, LIFE, PLAN, Cell, Life, Plan, Underway

BEAT = 1.0
"""Seconds between two signs of life."""


def key_of(*parts: object) -> str:
    """A name for a study, the same for the same parts."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


def cells_of(specs: Iterable[TrialSpec]) -> list[Cell]:
    cells: dict[tuple[Role, str, str], list[str]] = {}
    for spec in specs:
        cells.setdefault((spec.role, spec.problem, spec.entrant), []).append(spec.id)
    return [Cell(role=role, problem=problem, entrant=entrant, trials=ids) for (role, problem, entrant), ids in cells.items()]


class Beacon(Watcher):
    """Writes them. A context manager around a study, and one of its watchers."""

    def __init__(self, root: Path, suite: str, key: str, jobs: int, specs: Callable[[], Iterable[TrialSpec]]) -> None:
        """``specs`` gives the study's trials as they are decided by now; it is asked again at every stage."""
        self._plan, self._life = (root / FOLDER / f"{key}{end}" for end in (PLAN, LIFE))
        self._suite, self._jobs, self._specs = suite, jobs, specs
        self._started = time.time()
        self._lock = threading.Lock()
        self._underway: dict[str, Underway] = {}
        self._lost = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._say_plan()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._life.unlink(missing_ok=True)
        if kind is None:
            self._say_plan()

    def stage(self, name: str, todo: Sequence[TrialSpec], done: int) -> None:
        self._say_plan()

    def started(self, job: Job) -> None:
        underway = Underway(trials=[spec.id for spec in job.specs], name=name_of(job.specs), since=time.time())
        with self._lock:
            self._underway[job.spec.id] = underway

    def again(self, job: Job, fault: Fault) -> None:
        with self._lock:
            self._underway.pop(job.spec.id, None)
            self._lost += 1

    def seen(self, record: RunRecord) -> None:
        with self._lock:
            self._underway.pop(record.id, None)

    def _say_plan(self) -> None:
        plan = Plan(suite=self._suite, started=self._started, jobs=self._jobs, cells=cells_of(self._specs()))
        _replace(self._plan, msgspec.json.encode(plan))

    def _beat(self) -> None:
        while True:
            with self._lock:
                underway, lost = list(self._underway.values()), self._lost
            life = Life(process=os.getpid(), host=platform.node(), started=self._started, beat=time.time(), underway=underway, lost=lost)
            _replace(self._life, msgspec.json.encode(life))
            if self._over.wait(BEAT):
                return


def _replace(path: Path, data: bytes) -> None:
    """The file whole or as it was, wherever this is interrupted; nothing where the system refuses."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
