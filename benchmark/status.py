"""How far studies are: what they are made of, as their drivers wrote it down, against what the store holds. Pure but for reading."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from benchmark.records import BadRecord, Brief, decode_brief, failed
from benchmark.store import Store
from benchmark.whereabouts import FOLDER, LIFE, PLAN, Cell, Life, Plan, Underway

if TYPE_CHECKING:
    from benchmark.survey import Overview

SILENT = 30.0
"""Seconds without a sign of life after which a driver is not believed to be at work: many times what lies between two."""

T = TypeVar("T", Plan, Life)


@dataclass(frozen=True)
class Count:
    """Of some trials, how many are what; the four parts have nothing in common."""

    done: int = 0
    running: int = 0
    failed: int = 0
    missing: int = 0
    work: float | None = 0.0
    """Seconds of a worker that those without a record will take; None where no record tells."""

    def __add__(self, other: Count) -> Count:
        work = None if self.work is None or other.work is None else self.work + other.work
        return Count(self.done + other.done, self.running + other.running, self.failed + other.failed, self.missing + other.missing, work)

    @property
    def left(self) -> int:
        return self.running + self.missing

    @property
    def total(self) -> int:
        return self.done + self.failed + self.left


@dataclass(frozen=True)
class State:
    """One study at one moment."""

    plan: Plan
    life: Life | None
    """What its driver last said; None where it left in order, or none is known."""
    alive: bool
    underway: list[Underway]
    """What its workers are at, the longest first; not every executor tells."""
    counts: dict[tuple[str, str], Count]
    """By problem and entrant, in the order of the plan."""

    @property
    def total(self) -> Count:
        return sum(self.counts.values(), Count())

    def by(self, key: Callable[[str, str], str]) -> dict[str, Count]:
        """The counts added up by what ``key`` makes of problem and entrant."""
        sums: dict[str, Count] = {}
        for place, count in self.counts.items():
            sums[key(*place)] = sums.get(key(*place), Count()) + count
        return sums

    def eta(self, count: Count) -> float | None:
        """Seconds that its trials will take at as many at once as there are workers."""
        return None if count.work is None else count.work / max(1, min(self.plan.jobs, count.left))


TICK = 0.1
"""Seconds by which a file's time may lag behind the clock."""


class Reader:
    """Reads a store again and again, each record once for as long as its file does not change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._store = Store(root)
        self._briefs: dict[Path, tuple[int, Brief | None]] = {}

    def suites(self) -> dict[str, dict[tuple[str, str], Count]]:
        """By suite, problem and folder of the method what the store holds, for where no plan tells what it might hold."""
        found: dict[str, dict[tuple[str, str], Count]] = {}
        loose = {path.stem: path for path in self._store.loose([])}
        rows = [(path.parts[-4:-1], brief) for path in loose.values() if (brief := self._brief(path)) is not None]
        rows += [(each.place, each.brief) for each in self._packed() if each.brief.id not in loose]
        for (suite, problem, method), brief in rows:
            done = not failed(brief.status)
            counts = found.setdefault(suite, {})
            counts[problem, method] = counts.get((problem, method), Count()) + Count(done=int(done), failed=int(not done))
        return found

    def _packed(self, wanted: Collection[str] | None = None) -> Iterator[Overview]:
        """Of packed trials (of these ids) what an overview needs; MissingDependency where pyarrow is not installed."""
        if not self._store.shelf.names():
            return iter(())
        from benchmark.survey import overviews  # numpy

        return overviews(self._store.shelf, wanted)

    def states(self, suite: str | None = None) -> list[State]:
        """Of every suite the study that was begun last, and every other one that is running."""
        plans = sorted(self._read(PLAN, Plan).items(), key=lambda each: each[1].started)
        lives = self._read(LIFE, Life)
        alive = {key: is_alive(life) for key, life in lives.items()}
        last = {plan.suite: key for key, plan in plans}
        chosen = [
            (plan, lives.get(key), alive.get(key, False))
            for key, plan in plans
            if suite in (None, plan.suite) and (last[plan.suite] == key or alive.get(key))
        ]
        if not chosen:
            return []
        trials = {id_ for plan, _, _ in chosen for cell in plan.cells for id_ in cell.trials}
        known = {each.brief.id: each.brief for each in self._packed(trials)}
        index = {path.stem: path for path in self._store.loose([])}
        records = {id_: self._brief(path) for id_, path in index.items()}
        since = {id_: each.since for key, life in lives.items() if alive[key] for each in life.underway for id_ in each.trials}
        known = {id_: brief for id_, brief in known.items() if index.get(id_) is None and since.get(id_) is None} | {
            id_: brief
            for id_, brief in records.items()
            if brief is not None and brief.id == id_ and self._briefs[index[id_]][0] > 1e9 * (since.get(id_, 0.0) - TICK)  # else run again
        }
        return [_state(plan, life, here, known) for plan, life, here in chosen]

    def _read(self, end: str, kind: type[T]) -> dict[str, T]:
        found = {}
        for path in sorted((self.root / FOLDER).glob(f"*{end}")):
            try:
                found[path.stem] = msgspec.json.decode(path.read_bytes(), type=kind)
            except (OSError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                continue  # cut short or not ours: as if it were not there
        return found

    def _brief(self, path: Path) -> Brief | None:
        """None for what cannot be read or believed, which is as good as missing."""
        try:
            written = path.stat().st_mtime_ns
            if path not in self._briefs or self._briefs[path][0] != written:
                self._briefs[path] = written, decode_brief(path.read_bytes())
        except BadRecord:
            self._briefs[path] = written, None
        except OSError:
            return None
        return self._briefs[path][1]


def _state(plan: Plan, life: Life | None, alive: bool, known: dict[str, Brief]) -> State:
    said = life.underway if life is not None and alive else []
    underway = sorted((each for each in said if not known.keys() >= set(each.trials)), key=lambda each: each.since)
    return State(plan, life, alive, underway, count(plan, underway, known))


def count(plan: Plan, underway: Iterable[Underway], known: dict[str, Brief]) -> dict[tuple[str, str], Count]:
    """The trials of a plan by problem and entrant. What one takes is the mean of its cell's records, else of its problem's, else of all."""
    running = {id_: each.since for each in underway for id_ in each.trials}
    now = time.time()
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in plan.cells:
        cells[cell.problem, cell.entrant] += cell.trials
    cost = _costs(plan.cells, known)
    counts = {}
    for (problem, entrant), ids in cells.items():
        seconds = next((cost[key] for key in ((problem, entrant), (problem,), ()) if key in cost), None)
        lost = sum(id_ in known and failed(known[id_].status) for id_ in ids)
        left = [id_ for id_ in ids if id_ not in known]
        under = [id_ for id_ in left if id_ in running]
        work = None if seconds is None else sum(max(0.0, seconds - (now - running.get(id_, now))) for id_ in left)
        counts[problem, entrant] = Count(
            done=len(ids) - lost - len(left),
            running=len(under),
            failed=lost,
            missing=len(left) - len(under),
            work=work if left else 0.0,
        )
    return counts


def _costs(cells: Iterable[Cell], known: dict[str, Brief]) -> dict[tuple[str, ...], float]:
    """Mean seconds of a trial by (problem, entrant), by (problem,) and over all, ()."""
    seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for cell in cells:
        for id_ in cell.trials:
            took = known[id_].seconds if id_ in known else None
            if took is not None:
                for key in ((cell.problem, cell.entrant), (cell.problem,), ()):
                    seconds[key].append(took)
    return {key: statistics.fmean(each) for key, each in seconds.items()}


def is_alive(life: Life | None) -> bool:
    """Whether the driver is at work, as far as can be told: heard of lately and, on this machine, a process that is there."""
    if life is None or time.time() - life.beat > SILENT:
        return False
    if life.host != platform.node():
        return True
    try:
        os.kill(life.process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
