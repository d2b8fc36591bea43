"""Kills a study with SIGKILL at random moments, starts the same command again until it is whole, and looks for anything that shows.

Run as ``python -m scripts.kill_study --kills 50``. The victim is the driver, a worker, or another process that belongs to the study (the
fork server). Studies are run one after another, each in a new folder, until the kills are used up or the time is. What is checked:

- after every death of the driver: no process of it is left, no record is damaged, none that was there has changed by a byte or been
  written again, and each equals that of an undisturbed study but for the clock;
- at the end of a study: no record is missing and none is too many; no trial began after its record was there, and none began twice without
  a kill between.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.records import RunRecord, same
from benchmark.store import Store

ROOT = Path(__file__).parents[1]
VICTIMS = {"driver": 0.5, "worker": 0.4, "helper": 0.1}
"""Who is killed how often; of those that are not there at the moment, the next."""
START = 0.25
"""Share of the kills that come while the study starts; the others after its first trial has begun."""
LATEST = 8
"""Trials that may begin before the next kill: counted, so that a slow machine is not shot at more often than it gets anywhere."""
SUITE = """
name = "shot"
version = 1
summary = "trials of some tenths of a second"

[protocol]
seeds = 2
evaluations = 3
selection = "best"

[[problems]]
name = "wine"
steps = 120

[[problems]]
name = "gradnorm_toy"
steps = 60
"""
METHODS = "equal,pcgrad,rlw,uncertainty,gradnorm"


class Shown(Exception):
    """Something of a kill shows; the message says what."""


@dataclass
class Report:
    """What was done, and what came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    starting: int = 0
    """Kills before the first trial of a driver had begun."""
    starts: int = 0
    studies: int = 0
    trials: int = 0
    """Records that were compared with those of the undisturbed study, at the ends of studies."""
    begun: int = 0
    """Trials that were begun for them; the difference was under way when something was killed."""
    temporary: int = 0
    """Temporary files that killed writers left, and nobody read."""
    seconds: float = 0.0

    def __str__(self) -> str:
        victims = ", ".join(f"{count} {victim}" for victim, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({victims}; {self.starting} of them while starting) of {self.studies} studies in {self.starts} "
            f"starts, {self.seconds:.0f} s: {self.trials} records as undisturbed, {self.begun} trials begun, "
            f"{self.temporary} temporary files left"
        )


@dataclass(frozen=True)
class Range:
    """A study to shoot at."""

    folder: Path
    executor: str = "local"
    jobs: int = 2
    suite: str = SUITE
    methods: str = METHODS
    budget: int = 2
    victims: Sequence[str] = tuple(VICTIMS)
    grace: float = 15.0
    """Seconds that the processes of a killed driver may take to be gone."""

    def start(self, name: str, executor: str) -> Driver:
        suite = self.folder / "shot.toml"
        suite.write_text(self.suite, encoding="utf-8")
        results, log = self.folder / name, self.folder / f"{name}.begun"
        arguments = ["run", "--suite", suite, "--methods", self.methods, "--budget", self.budget, "--results", results]
        arguments += ["--executor", executor, "--jobs", self.jobs, "--retries", 9]  # as often as one trial may be hit
        command = [sys.executable, "-m", "scripts.kill_witness", str(log), *map(str, arguments)]
        with open(self.folder / f"{name}.output", "ab") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        return Driver(process, results, log, len(begun(log)))


@dataclass(frozen=True)
class Driver:
    """A study under way."""

    process: subprocess.Popen[bytes]
    results: Path
    log: Path
    before: int
    """Trials that earlier drivers had begun."""

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def started(self) -> bool:
        return len(begun(self.log)) > self.before

    def find(self, victim: str) -> int | None:
        """A process of this kind; None where there is none."""
        workers = {pid for _, pid, _ in begun(self.log)[self.before :]}
        members = [pid for pid in session(self.process.pid) if pid != self.process.pid]
        # One that died by itself may have left its number to a stranger, hence only those of the session, whatever the log says.
        kinds = {
            "driver": [self.process.pid],
            "worker": [pid for pid in members if pid in workers],
            "helper": [pid for pid in members if pid not in workers],
        }
        return kinds[victim][0] if kinds[victim] else None


def shoot(place: Range, *, kills: int, limit: float, seed: int, say: Callable[[str], None] = print) -> Report:
    """Runs studies until ``kills`` were dealt out or ``limit`` seconds are over, and checks each.

    Raises:
        Shown: what must not have happened.
    """
    start, moments, report = time.monotonic(), random.Random(seed), Report()
    undisturbed = place.start("undisturbed", "inline")
    if undisturbed.process.wait() != 0:
        raise Shown(f"the undisturbed study ended with {undisturbed.process.returncode}: {last_line(place.folder, 'undisturbed')}")
    expected = {record.id: record for record in Store(undisturbed.results).scan().records}
    say(f"undisturbed: {len(expected)} records in {time.monotonic() - start:.0f} s")

    def left() -> bool:
        return report.kills.total() < kills and time.monotonic() - start < limit

    while left():
        name = f"study{report.studies}"
        shots = _study(place, name, expected, moments, report, left)
        report.studies += 1
        report.seconds = time.monotonic() - start
        _check_end(place.folder / name, begun(place.folder / f"{name}.begun"), shots, expected, report)
        say(str(report))
    return report


def _study(
    place: Range, name: str, expected: dict[str, RunRecord], moments: random.Random, report: Report, left: Callable[[], bool]
) -> list[int]:
    """One study from its first start to its end; the times of the kills."""
    shots: list[int] = []
    known: dict[Path, tuple[int, int, int]] = {}
    while True:
        driver = place.start(name, place.executor)
        report.starts += 1
        try:
            while driver.running and left():
                _wait_for_moment(driver, moments)
                victim = _pick(driver, place.victims, moments)
                if victim is not None:
                    kind, pid = victim
                    report.kills[kind] += 1
                    report.starting += not driver.started()
                    shots.append(time.time_ns())
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    if kind == "driver":
                        break
            code = driver.process.wait()
        finally:
            for pid in session(driver.process.pid) if driver.running else ():
                os.kill(pid, signal.SIGKILL)
        if not until(functools.partial(_gone, driver.process.pid), place.grace):
            raise Shown(f"{len(session(driver.process.pid))} processes are left {place.grace:.0f} s after their driver")
        known = _check_store(driver.results, known, expected)
        if code == 0:
            return shots
        if code != -signal.SIGKILL:
            raise Shown(f"the study ended with {code}: {last_line(place.folder, name)}")


def _wait_for_moment(driver: Driver, moments: random.Random) -> None:
    if moments.random() < START:
        until(lambda: not driver.running, moments.uniform(0.0, 4.0))
    else:
        more = len(begun(driver.log)) + moments.randint(1, LATEST)
        until(lambda: len(begun(driver.log)) >= more or not driver.running, 300.0)
        until(lambda: not driver.running, moments.uniform(0.0, 0.5))


def _pick(driver: Driver, victims: Sequence[str], moments: random.Random) -> tuple[str, int] | None:
    if not driver.running:
        return None
    order = moments.choices(victims, [VICTIMS[victim] for victim in victims]) + list(victims)
    return next(((kind, pid) for kind in order if (pid := driver.find(kind)) is not None), None)


def _check_store(root: Path, known: dict[Path, tuple[int, int, int]], expected: dict[str, RunRecord]) -> dict[Path, tuple[int, int, int]]:
    """What is there, by file: its number, size and time of writing; raises Shown where that is not as it should be."""
    scan = Store(root).scan()
    if scan.damaged:
        raise Shown(f"damaged: {scan.damaged[0].path}: {scan.damaged[0].reason}")
    for record in scan.records:
        if record.id not in expected or not same(record, expected[record.id]):
            raise Shown(f"record {record.id} is not that of the undisturbed study")
    files = {path: path.stat() for path in Store(root).index().values()}
    now = {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in files.items()}
    changed = [path.name for path, before in known.items() if now.get(path) != before]
    if changed:
        raise Shown(f"lost or written again: {', '.join(changed)}")
    return now


def _check_end(root: Path, log: list[tuple[int, int, str]], shots: list[int], expected: dict[str, RunRecord], report: Report) -> None:
    index = Store(root).index()
    if set(index) != set(expected):
        raise Shown(f"{len(set(expected) - set(index))} records are missing and {len(set(index) - set(expected))} too many")
    for id_, path in index.items():
        times = sorted(when for when, _, begun_id in log if begun_id == id_)
        if times[-1] > path.stat().st_mtime_ns:
            raise Shown(f"trial {id_} was run again when its record was there")
        for first, second in itertools.pairwise(times):
            if not any(first < shot < second for shot in shots):
                raise Shown(f"trial {id_} was run twice though nothing was killed meanwhile")
    report.trials += len(index)
    report.begun += len(log)
    report.temporary += sum(1 for _ in root.rglob(".*.tmp"))


def begun(log: Path) -> list[tuple[int, int, str]]:
    """Time in nanoseconds, process and id of every trial that began, as ``kill_witness`` noted it."""
    lines = log.read_text(encoding="ascii").splitlines() if log.exists() else []
    return [(int(when), int(pid), id_) for when, pid, id_ in map(str.split, lines)]


def session(driver: int) -> list[int]:
    """Every process alive that descends from this driver, whoever its parent is by now; zombies are not alive."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, leader, *_ = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if state not in "ZX" and int(leader) == driver:
                found.append(pid)
    return found


def _gone(driver: int) -> bool:
    return not session(driver)


def until(condition: Callable[[], bool], limit: float) -> bool:
    """Waits for a condition, at most ``limit`` seconds; whether it came."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def last_line(folder: Path, name: str) -> str:
    lines = (folder / f"{name}.output").read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else "no output"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds after which nothing is killed any more")
    parser.add_argument("--seed", type=int, default=0, help="of who and when")
    parser.add_argument("--executor", default="local")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--victims", default=",".join(VICTIMS), help=f"some of {', '.join(VICTIMS)}")
    parser.add_argument("--grace", type=float, default=15.0, help="seconds for the processes of a killed driver to go")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="lossbench-kill-"))
    place = Range(folder, given.executor, given.jobs, victims=given.victims.split(","), grace=given.grace)
    try:
        report = shoot(place, kills=given.kills, limit=given.limit, seed=given.seed, say=lambda line: print(line, flush=True))
    except Shown as shown:
        sys.exit(f"{shown} (see {folder})")
    if report.kills.total() < given.kills:
        sys.exit(f"only {report.kills.total()} of {given.kills} kills in {given.limit:.0f} s; nothing showed")
    print("nothing shows")


if __name__ == "__main__":
    main()
