"""Tracking with the real wandb, offline: a run a trial, and its process killed or stopped."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmark.errors import UsageError
from benchmark.records import RunRecord
from benchmark.store import Store
from benchmark.tracking import Options, watcher
from benchmark.tracking.ledger import digest
from benchmark.tracking.watcher import Tracker
from tests import ports
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


class Server(http.server.ThreadingHTTPServer):
    """As much of a W&B server as opens a run and takes its history; it has no place for artifacts, and knows one key."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """Operations and their variables."""
        self.streamed: list[dict[str, Any]] = []
        """Rows of the history."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._send(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        if self.path == "/graphql":
            asked = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            name = operation.group(1) if operation else ""
            self.server.asked.append((name, asked.get("variables") or {}))
            self._send(json.dumps(self._answer(name, asked.get("variables") or {})).encode())
            return
        if self.path.endswith("/file_stream"):
            lines = json.loads(body).get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.server.streamed += map(json.loads, lines)
        self._send(b"{}")

    @staticmethod
    def _answer(name: str, variables: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "1", "name": "p", "entity": {"id": "2", "name": "me"}}
        if name == "RunResumeStatus":
            return {"data": {"model": {**project, "bucket": None}}}
        if name == "UpsertBucket":
            run = {"id": "3", "name": variables.get("name"), "displayName": variables.get("displayName"), "project": project}
            return {"data": {"upsertBucket": {"bucket": {**run, "config": "{}", "historyLineCount": 0}, "inserted": True}}}
        return {"errors": [{"message": "not here"}]}

    def _send(self, content: bytes) -> None:
        self.send_response(self.server.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch, home: Path, status: int = 200) -> Iterator[Server]:
    for name in [name for name in os.environ if name in ports.PROXIES or name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    with Server(status) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
        monkeypatch.setenv("HOME", str(home))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_online_rows_arrive_and_a_server_that_fails_later_is_one_warning(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with served(monkeypatch, tmp_path) as server:
        said = track(Options(mode="online", project="p"), store, [record(seed) for seed in range(3)])
    opened = next(variables for name, variables in server.asked if name == "UpsertBucket")
    assert json.loads(opened["config"])["suite"]["value"] == "smoke"
    assert {row["seed"] for row in server.streamed if "method" in row} == {0, 1, 2}
    (warning,) = [line for line in said.splitlines() if line.startswith("warning")]
    assert "not here; the study is not affected" in warning
    assert f"wandb sync --include-online {store.root}/wandb/run-*-{opened['name']}*" in warning


@pytest.mark.slow
def test_online_a_key_that_the_server_does_not_take_is_refused_before_training(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with served(monkeypatch, tmp_path, status=401), pytest.raises(UsageError, match=r"W&B opens no run in project 'p': .*401"):
        track(Options(mode="online", project="p"), store, [])


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
