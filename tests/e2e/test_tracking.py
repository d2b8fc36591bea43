"""A study tracked in Weights & Biases, read back from what was written offline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.records import RunRecord, decode
from benchmark.store import Store
from tests.e2e.conftest import TINY
from tests.e2e.test_study import results as essences
from tests.wandb_log import Segment, read, segments, wandb

pytest.importorskip("wandb", reason="tracking needs it: pip install 'lossbench[track]'")

STUDY = ("--suite", "tiny.toml", "--methods", "equal,mgda", "--executor", "inline")


def study(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    command = [sys.executable, "-m", "benchmark", "run", *STUDY, *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")} | {
        "NO_COLOR": "1",
        "TMPDIR": str(folder / "tmp"),
    }
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@dataclass(frozen=True)
class Tracked:
    """One study, called with 1 seed and then with 2."""

    folder: Path
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]
    segments: list[Segment]

    @property
    def records(self) -> dict[str, RunRecord]:
        return {record.id: record for record in Store(self.folder / "results").scan().records}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    folder = tmp_path_factory.mktemp("tracked")
    first = study(folder, "--wandb", "offline", "--seeds", "1")
    second = study(folder, "--wandb", "offline", "--seeds", "2", "--wandb-project", "lossbench")
    return Tracked(folder, first, second, segments(folder / "results"))


def test_the_terminal_says_where_the_run_is_and_how_to_send_it_and_nothing_else_of_wandb(tracked: Tracked) -> None:
    for ran in (tracked.first, tracked.second):
        assert ran.returncode == 0, ran.stderr
        assert "wandb" not in ran.stdout
        said = [line for line in ran.stderr.splitlines() if "wandb" in line.lower() or "w&b" in line.lower()]
        said = [line for line in said if not line.startswith("waiting for W&B")]  # after five seconds, on a busy machine
        run = tracked.segments[0].run["run_id"]
        home = tracked.folder / "results" / "wandb"
        assert said == [f"W&B run: {run} in {home}", f"send it: wandb sync {home}/offline-run-*-{run}*"]


def test_nothing_is_written_but_below_the_results(tracked: Tracked) -> None:
    assert sorted(path.name for path in tracked.folder.iterdir()) == ["results", "tiny.toml", "tmp"]
    assert [path.name for path in (tracked.folder / "tmp").iterdir() if "wandb" in path.name or "lossbench" in path.name] == []
    assert sorted(path.name for path in (tracked.folder / "results").iterdir()) == ["records", "studies", "wandb"]


def test_the_second_call_continues_the_run_of_the_first(tracked: Tracked) -> None:
    first, second = tracked.segments
    assert first.run["run_id"] == second.run["run_id"]
    assert first.run["project"] == "lossbench"
    steps = [item["_step"] for segment in tracked.segments for item in segment.history]
    assert steps == sorted(set(steps))  # a server drops a row whose number it has seen
    assert {segment.summary["state"] for segment in tracked.segments} == {"finished"}


def test_every_trial_is_one_row_of_the_history(tracked: Tracked) -> None:
    rows = [row for segment in tracked.segments for row in segment.rows]
    found = sorted((row["entrant"], row["problem"], row["seed"], row["status"], row["score"]) for row in rows)
    records = tracked.records.values()
    scores = {r.id: next(point.score for point in r.curve if point.step == r.selected_step) for r in records}
    assert found == sorted((r.spec.entrant, r.spec.problem, r.spec.seed, r.status, scores[r.id]) for r in records)
    assert all(row["seconds"] > 0 and row["role"] == "eval" and row["method"] in row["entrant"] for row in rows)


def test_the_configuration_says_what_the_study_is(tracked: Tracked) -> None:
    config = tracked.segments[1].summary["config"]
    assert (config["suite"], config["budget"], config["seeds"]) == ("tiny", 1, 2)
    assert {"equal", "mgda", "single_task", "rlw"} <= set(config["methods"])
    assert config["problems"]["wine"] == {
        "seeds": 2,
        "steps": 12,
        "batch_size": 32,
        "learning_rate": 0.001,
        "data": next(r.spec.data for r in tracked.records.values() if r.spec.problem == "wine"),
    }
    assert {"lossbench", "torch", "python", "numpy"} <= set(config["versions"])


def test_the_last_row_has_all_trials_and_the_leaderboard(tracked: Tracked) -> None:
    segment = tracked.segments[1]
    trials = {line["id"]: line for line in segment.table("trials")}
    assert trials.keys() == tracked.records.keys()
    for record in tracked.records.values():
        line = trials[record.id]
        assert json.loads(line["hyperparameters"]) == record.spec.hyperparameters
        assert {key: line[f"test/{key}"] for key in record.test} == record.test
    ran = subprocess.run(
        [sys.executable, "-m", "benchmark", "leaderboard", "--suite", "tiny", "--format", "json"],
        cwd=tracked.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [(row["rank"], row["entrant"], row["delta_m"]["value"]) for row in json.loads(ran.stdout)["rows"]]
    assert [(line["rank"], line["entrant"], line["delta_m"]) for line in segment.table("leaderboard")] == expected
    best = next(entrant for rank, entrant, _ in expected if rank == 1)
    summary = segment.summary["summary"]
    assert (summary["best/method"], summary["trials/done"], summary["trials/failed"]) == (best, len(trials), 0)
    assert segment.history[-1]["picture._type"] == "image-file"


def test_the_artifact_has_the_records_of_this_study_and_no_others(tracked: Tracked) -> None:
    files = tracked.segments[1].artifact("records")
    assert sorted(files) == ["leaderboard.json", "leaderboard.md", "records.jsonl"]
    lines = files["records.jsonl"].read_bytes().splitlines()
    assert {record.id: record for record in map(decode, lines)} == tracked.records
    assert all(path.is_relative_to(tracked.folder) for path in files.values())
    earlier = tracked.segments[0].artifact("records")["records.jsonl"].read_bytes().splitlines()
    assert {decode(line).spec.seed for line in earlier} == {0}


def test_wandb_sync_accepts_what_is_there(tracked: Tracked) -> None:
    run = tracked.segments[0].run["run_id"]
    paths = sorted(map(str, (tracked.folder / "results" / "wandb").glob(f"offline-run-*-{run}*")))
    said = wandb("sync", "--dry-run", *paths).stderr
    assert "Would sync 2 run(s)" in said


@pytest.mark.slow
def test_tracking_changes_no_record(tracked: Tracked, tmp_path: Path) -> None:
    assert study(tmp_path, "--seeds", "2").returncode == 0
    assert essences(tmp_path / "results") == essences(tracked.folder / "results")
    assert not (tmp_path / "results" / "wandb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_study_that_is_ended_leaves_a_run_that_can_be_read_and_goes_on(blow: signal.Signals, tracked: Tracked, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY, encoding="utf-8")
    command = [sys.executable, "-m", "benchmark", "run", *STUDY, "--seeds", "2", "--wandb", "offline"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("*.json"))) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(blow)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == (-9 if blow == signal.SIGKILL else 130)
    assert "Traceback" not in said
    assert ("send it: wandb sync" in said) == (blow == signal.SIGINT)
    (path,) = (tmp_path / "results" / "wandb").glob("offline-run-*")
    while (broken := read(path)).summary["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.2)  # the service closes what a killed study left open
    assert broken.summary["exit_code"] == 1
    assert len(broken.rows) >= 7
    assert study(tmp_path, "--seeds", "2", "--wandb", "offline").returncode == 0
    _, rest = segments(tmp_path / "results")
    assert rest.run["run_id"] == broken.run["run_id"]
    rows = [(row["entrant"], row["problem"], row["seed"], row["score"]) for row in (*broken.rows, *rest.rows)]
    expected = [(row["entrant"], row["problem"], row["seed"], row["score"]) for part in tracked.segments for row in part.rows]
    assert sorted(rows) == sorted(expected)
    assert essences(tmp_path / "results") == essences(tracked.folder / "results")


def test_a_missing_package_is_named_with_its_command_before_anything_is_written(tmp_path: Path) -> None:
    ran = called(tmp_path, "import sys\nsys.modules['wandb'] = None\n", "--wandb", "offline")
    assert ran.returncode == 2
    assert ran.stderr == "error: --wandb offline needs wandb: pip install 'lossbench[track]'\n"
    assert not (tmp_path / "results").exists()


def called(folder: Path, before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = before + f"from benchmark.cli import main\nmain({['run', '--results', str(folder / 'results'), *arguments]!r})"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
