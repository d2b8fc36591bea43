"""Faults of the machine: whatever is killed, and whenever, the records are those of an undisturbed study."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmark.records import RunRecord, same
from benchmark.store import Store
from scripts.kill_study import Range, shoot
from tests.e2e.conftest import TINY, Cli

STUMBLES = """
import fcntl
import os
import signal
import time
from pathlib import Path

import methods


@methods.register(methods.Card(name="stumbles", version=1, title="", paper="", year=2026, family="loss", equation=""))
class Stumbles(methods.LossMethod):
    def objective(self, losses):
        here = Path(__file__).with_suffix(".fell")
        if not here.exists():  # it cannot write that itself: it only holds a lock, and waits until somebody does
            with open(__file__) as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                while not here.exists():
                    time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return losses.sum()
"""


@contextmanager
def tripwire(mine: Path) -> Iterator[None]:
    """Inside, whoever holds a lock on the file makes ``.fell`` appear beside it."""
    over = threading.Event()

    def watch() -> None:
        with mine.open() as file:
            while not over.wait(0.005):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    fcntl.flock(file, fcntl.LOCK_UN)
                except BlockingIOError:
                    mine.with_suffix(".fell").touch()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_trial_whose_worker_is_killed_is_run_again_as_often_as_asked(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(STUMBLES, encoding="utf-8")
    command = ["run", "--suite", tiny, "--methods", mine, "--no-baselines", "--seeds", 1, "--problem", "wine", "--results"]

    def only_record(name: str) -> RunRecord:
        (record,) = Store(tmp_path / name).scan().records
        return record

    with tripwire(mine):
        assert cli(*command, tmp_path / "disturbed", "--retries", 0).returncode == 0
    lost = only_record("disturbed")
    assert (lost.status, lost.message) == ("error", "worker died: signal 9 (SIGKILL); out of memory?")

    mine.with_suffix(".fell").unlink()
    with tripwire(mine):
        retried = cli(*command, tmp_path / "disturbed", "--retry", "failed")
    assert "to run again: stumbles on wine, seed 0: worker died" in retried.stderr
    assert "1 trials run, 0 already recorded, 0 failed" in retried.stderr

    assert cli(*command, tmp_path / "undisturbed").returncode == 0
    assert only_record("undisturbed").status == "ok"
    assert same(only_record("disturbed"), only_record("undisturbed"))


@pytest.mark.parametrize("text", ["-1", "many", "1.5"])
def test_retries_are_a_whole_number(text: str, cli: Cli) -> None:
    ran = cli("run", f"--retries={text}")
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"error: --retries is {text!r}; expected a whole number of 0 or more")


@pytest.mark.slow
def test_what_is_killed_at_random_shows_nowhere(tmp_path: Path) -> None:
    place = Range(tmp_path, suite=TINY, methods="equal,pcgrad", budget=1)
    report = shoot(place, kills=3, limit=120.0, seed=2)
    assert report.kills.total() >= 1
    assert report.trials >= 22


@pytest.mark.slow
def test_what_is_killed_a_dozen_times_shows_nowhere(tmp_path: Path) -> None:
    report = shoot(Range(tmp_path), kills=12, limit=400.0, seed=3)
    assert report.kills.total() >= 6
