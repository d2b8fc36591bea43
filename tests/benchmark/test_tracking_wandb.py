"""Tracking with the real wandb, offline: a run a trial, and its process killed or stopped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.records import RunRecord
from benchmark.store import Store
from benchmark.tracking import Options, watcher
from benchmark.tracking.ledger import digest
from benchmark.tracking.watcher import Tracker
from tests.benchmark.test_tracking import record, study, track
from tests.wandb_log import read, segments

pytest.importorskip("wandb", reason="tracking needs it: pip install 'lossbench[track]'")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_run_a_trial_has_its_curves_and_stands_in_a_group_with_the_study(store: Store) -> None:
    failed = record(1, "equal", "diverged")
    options = Options(mode="offline", runs="trial", project="p", entity="team")
    assert "warning" not in track(options, store, [record(0), failed])
    assert "warning" not in track(options, store, [record(0), failed, record(2)])
    home = store.root / "wandb"
    assert len(list(home.glob("offline-run-*"))) == 5  # the study's run in two parts, and three trials, each once
    one, two = (read(*home.glob(f"offline-run-*-{digest(each)}")) for each in (record(0), failed))
    run = one.run
    assert (run["display_name"], run["job_type"], run["tags"]) == ("mgda on wine, seed 0", "eval", ["mgda", "wine", "tiny"])
    assert (run["project"], run["entity"]) == ("p", "team")
    (ledger,) = home.glob("*.ledger")
    study_run = ledger.read_text(encoding="utf-8").split()[0]
    assert {segment.run["run_group"] for segment in (one, two)} == {f"smoke {study_run}"}
    assert run["run_id"] == f"{study_run}-{digest(record(0))}"
    assert [(row["_step"], row["train/b"], row["weight/b"], row["gradients/cosine"]) for row in one.history] == [
        (10, 2.0, 0.75, -0.5),
        (20, 2.0, 0.75, -0.5),
    ]
    assert one.summary["config"]["seed"] == 0
    assert one.summary["config"]["id"] == record(0).id
    assert one.summary["summary"]["test/a/error"] == 0.5
    assert (one.summary["exit_code"], two.summary["exit_code"]) == (0, 1)
    assert (two.run["display_name"], two.summary["summary"]["status"]) == ("equal on wine, seed 1", "diverged")


def core(service: int) -> int:
    """The process of wandb's own that a service has started."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        shown = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout.split("\n")
        for pid, parent, command in (line.split(None, 2) for line in shown if line):
            if int(parent) == service and "wandb-core" in command:
                return int(pid)
        time.sleep(0.1)
    raise AssertionError("wandb-core did not start")


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_wandbs_own_process_may_be_killed_or_stopped(blow: signal.Signals, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(watcher.STALL, "offline", 5.0)
    console = Console(file=io.StringIO(), width=400)
    records: list[RunRecord] = [record(seed) for seed in range(40)]
    for each in records:
        store.save(each)
    with Tracker(Options(mode="offline"), store, console) as tracker:
        tracker.log_in()
        tracker.begin(study())
        for each in records[:20]:
            tracker.seen(each)
        service = tracker._process.pid  # type: ignore[union-attr]
        victim = core(service)
        time.sleep(4)  # until what was written is in the file
        os.kill(victim, blow)
        for each in records[20:]:
            tracker.seen(each)
        tracker.end([], records)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("warning") == 1
    assert "the study is not affected" in said
    for pid in (service, victim):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
        assert state[:1] in ("", "Z")
    (broken,) = segments(store.root)
    assert [row["seed"] for row in broken.rows] == list(range(20))
    assert "warning" not in track(Options(mode="offline"), store, records)
    _, rest = segments(store.root)
    assert rest.run["run_id"] == broken.run["run_id"]
    assert {line["seed"] for line in rest.table("trials")} == set(range(40))
