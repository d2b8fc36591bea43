"""A study from the command line: same records whatever ran them, resumed after a kill, failures as rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.records import RunRecord, timeless
from benchmark.store import Store
from tests.e2e.conftest import TINY, Cli, called

QUICK = "equal,single_task,pcgrad,rlw,uncertainty"


def results(folder: Path) -> dict[str, RunRecord]:
    """Of every record what must not depend on where and when it was made."""
    scan = Store(folder).scan()
    assert scan.damaged == []
    return {record.id: timeless(record) for record in scan.records}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the tiny study, run in this process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    command = ["run", "--suite", folder / "tiny.toml", "--methods", QUICK, "--results", folder / "results", "--executor", "inline"]
    assert called(*command) == 0
    return folder / "results"


@pytest.mark.parametrize("jobs", [1, 3])
def test_records_do_not_depend_on_executor_or_jobs(jobs: int, undisturbed: Path, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    ran = cli("run", "--suite", tiny, "--methods", QUICK, "--results", tmp_path / "results", "--jobs", jobs)
    assert ran.returncode == 0, ran.stderr
    assert results(tmp_path / "results") == results(undisturbed)


def test_a_second_call_runs_nothing_and_more_seeds_only_add(undisturbed: Path, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    copied = tmp_path / "results"
    subprocess.run(["cp", "-r", undisturbed, copied], check=True)
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*.json")}
    again = cli("run", "--suite", tiny, "--methods", QUICK, "--results", copied, "--executor", "inline")
    assert "0 trials run" in again.stderr
    more = cli("run", "--suite", tiny, "--methods", QUICK, "--results", copied, "--executor", "inline", "--seeds", 3)
    assert more.returncode == 0, more.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(copied.rglob("*.json"))) * 2 == len(before) * 3


def test_kill_9_then_the_same_command_gives_the_same_records(undisturbed: Path, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    """At three moments: while starting, and after one and several records."""
    folder = tmp_path / "results"
    command = ["run", "--suite", str(tiny), "--methods", QUICK, "--results", str(folder), "--jobs", "2"]
    for count in (0, 1, 7):
        process = subprocess.Popen([sys.executable, "-m", "benchmark", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list(folder.rglob("*.json"))) < count and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process.poll() is None, "the study ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert results(folder).items() <= results(undisturbed).items()
    assert cli(*command).returncode == 0
    assert results(folder) == results(undisturbed)


def test_ctrl_c_keeps_what_is_finished(undisturbed: Path, tiny: Path, tmp_path: Path) -> None:
    """Of a study that is too long to be over before the signal arrives."""
    folder = tmp_path / "results"
    command = ["run", "--suite", str(tiny), "--methods", QUICK, "--seeds", "100", "--results", str(folder), "--jobs", "2"]
    process = subprocess.Popen([sys.executable, "-m", "benchmark", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(list(folder.rglob("*.json"))) < 3 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    kept, whole = results(folder), results(undisturbed)
    assert len(kept) >= 3
    both = kept.keys() & whole.keys()
    assert both
    assert {each: kept[each] for each in both} == {each: whole[each] for each in both}


BAD_METHODS = """
import os
import signal
import time

import torch

import methods


@methods.register(methods.Card(name="raises", version=1, title="", paper="", year=2026, family="loss", equation=""))
class Raises(methods.LossMethod):
    def objective(self, losses):
        raise RuntimeError("no idea [red]what[/red] to do")


@methods.register(methods.Card(name="explodes", version=1, title="", paper="", year=2026, family="loss", equation=""))
class Explodes(methods.LossMethod):
    def objective(self, losses):
        return losses.sum() * 1e60


@methods.register(methods.Card(name="hangs", version=1, title="", paper="", year=2026, family="loss", equation=""))
class Hangs(methods.LossMethod):
    def objective(self, losses):
        time.sleep(3600)


@methods.register(methods.Card(name="dies", version=1, title="", paper="", year=2026, family="loss", equation=""))
class Dies(methods.LossMethod):
    def objective(self, losses):
        os.kill(os.getpid(), signal.SIGKILL)


@methods.register(methods.Card(name="honest", version=1, title="", paper="", year=2026, family="gramian", equation="w = 1"))
class Honest(methods.GramianMethod):
    def weights(self, gramian, losses):
        return torch.ones_like(losses)
"""


def test_failing_methods_of_a_users_file_are_rows_and_the_study_goes_on(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BAD_METHODS, encoding="utf-8")
    folder = tmp_path / "results"
    settings = ["--seeds", 1, "--problem", "wine", "--timeout", 20, "--results", folder]
    ran = cli("run", "--suite", tiny, "--methods", tmp_path / "mine.py", *settings)
    assert ran.returncode == 0, ran.stderr
    found = {record.spec.method: record for record in Store(folder).scan().records if record.spec.method != "single_task"}
    assert found["raises"].status == "error"
    assert "no idea" in found["raises"].message
    assert found["explodes"].status == "diverged"
    assert found["hangs"].status == "timeout"
    assert found["dies"].status in ("error", "oom")
    assert found["dies"].message.endswith("tried 2 times")
    assert found["honest"].status == found["equal"].status == "ok"
    rows = json.loads(cli("leaderboard", "--format", "json", "--results", folder).stdout)["rows"]
    ranked = [row["entrant"] for row in rows if row["rank"] is not None]
    assert set(ranked[-4:]) == {"raises", "explodes", "hangs", "dies"}

    broken = found["raises"]
    retried = cli("run", "--suite", tiny, "--methods", tmp_path / "mine.py", *settings, "--retry", "failed", "--dry-run")
    assert retried.returncode == 0
    assert Store(folder).get(broken.spec) == broken


def test_divergence_says_the_step_and_keeps_the_curve(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    ran = cli("run", "--suite", tiny, "--methods", "equal", "--no-baselines", "--set", "equal.learning_rate=1e6", "--results", folder)
    assert ran.returncode == 0, ran.stderr
    diverged = [record for record in Store(folder).scan().records if record.status == "diverged"]
    assert diverged
    assert all(record.message.startswith("step ") and not record.test for record in diverged)


def test_set_makes_a_grid_and_a_budget_tunes(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    grid = ["--methods", "gradnorm", "--no-baselines", "--set", "gradnorm.alpha=0.12,1.5", "--problem", "wine", "--results", folder]
    assert cli("run", "--suite", tiny, *grid, "--executor", "inline").returncode == 0
    assert {r.spec.entrant for r in Store(folder).scan().records} == {"gradnorm(alpha=0.12)", "gradnorm"}

    assert cli("run", "--suite", tiny, *grid, "--executor", "inline", "--budget", 2).returncode == 0
    once = results(folder)
    tuned = [record for record in Store(folder).scan().records if record.spec.role == "tune"]
    assert {(r.spec.entrant, r.spec.trial) for r in tuned} == {
        (e, i) for e in ("gradnorm(alpha=1.5)", "gradnorm(alpha=0.12)") for i in (0, 1)
    }
    assert all(not record.test and record.validation for record in tuned)
    assert {(r.spec.entrant, r.spec.hyperparameters["alpha"]) for r in tuned} == {
        ("gradnorm(alpha=1.5)", 1.5),
        ("gradnorm(alpha=0.12)", 0.12),
    }
    assert len({r.spec.learning_rate for r in tuned}) > 1

    assert cli("run", "--suite", tiny, *grid, "--executor", "inline", "--budget", 3).returncode == 0
    assert once.items() <= results(folder).items()
    for budget in ([], ["--budget", 3], ["--budget", 1]):
        shown = json.loads(cli("leaderboard", *budget, "--format", "json", "--results", folder).stdout)
        searched = set() if budget == ["--budget", 1] else {"gradnorm(alpha=1.5)"}
        assert {row["entrant"] for row in shown["rows"]} - {"gradnorm(alpha=1.5)"} == {"gradnorm", "gradnorm(alpha=0.12)"}
        assert {row["entrant"] for row in shown["rows"]} >= searched
        assert any("search over up to 3" in note for note in shown["notes"]) == (budget != ["--budget", 1])


def test_a_dry_run_writes_nothing(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    ran = cli("run", "--suite", tiny, "--dry-run", "--results", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    assert "wine" in ran.stdout
    assert not (tmp_path / "results").exists()


def test_a_damaged_record_is_named_skipped_and_kept(undisturbed: Path, cli: Cli, tmp_path: Path) -> None:
    copied = tmp_path / "results"
    subprocess.run(["cp", "-r", undisturbed, copied], check=True)
    victim = sorted(copied.rglob("*.json"))[0]
    victim.write_text(victim.read_text(encoding="utf-8")[:100], encoding="utf-8")
    shown = cli("leaderboard", "--results", copied)
    assert shown.returncode == 0
    assert victim.name in shown.stderr
    assert victim.exists()


@pytest.mark.parametrize("damage", [b"{", b"", b"\xff\xfe", b'{"schema": 99}'], ids=["cut", "empty", "no text", "newer"])
def test_a_damaged_record_is_run_again_and_kept_beside(damage: bytes, undisturbed: Path, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    copied = tmp_path / "results"
    subprocess.run(["cp", "-r", undisturbed, copied], check=True)
    victim = sorted(copied.rglob("*.json"))[0]
    victim.write_bytes(damage)
    command = ["run", "--suite", tiny, "--methods", QUICK, "--results", copied, "--executor", "inline"]
    assert cli(*command, "--dry-run").returncode == 0
    ran = cli(*command)
    assert ran.returncode == 0, ran.stderr
    assert "1 trials run" in ran.stderr
    assert results(copied) == results(undisturbed)
    assert victim.with_name(victim.name + ".damaged").read_bytes() == damage


def test_a_method_file_that_changed_under_its_records_is_refused(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    command = ["run", "--suite", tiny, "--methods", path, "--no-baselines", "--results", tmp_path / "results", "--executor", "inline"]
    text = BAD_METHODS[BAD_METHODS.index('@methods.register(methods.Card(name="honest"') :]
    path.write_text("import torch\nimport methods\n" + text, encoding="utf-8")
    assert cli(*command).returncode == 0
    path.write_text("# a comment changes nothing\nimport torch\nimport methods\n" + text, encoding="utf-8")
    assert "0 trials run" in cli(*command).stderr
    path.write_text("import torch\nimport methods\n" + text.replace("ones_like", "zeros_like"), encoding="utf-8")
    refused = cli(*command)
    assert refused.returncode == 2
    assert "raise version=" in refused.stderr
    path.write_text("import torch\nimport methods\n" + text.replace("version=1", "version=2"), encoding="utf-8")
    assert cli(*command).returncode == 0


@pytest.mark.parametrize("output", ["table", "md", "csv", "json"])
def test_leaderboard_in_every_format(output: str, undisturbed: Path, cli: Cli) -> None:
    shown = cli("leaderboard", "--suite", "tiny", "--format", output, "--results", undisturbed)
    assert shown.returncode == 0, shown.stderr
    assert all(name in shown.stdout for name in QUICK.split(","))


def test_show_prints_cards_and_records(undisturbed: Path, cli: Cli) -> None:
    record = next(iter(results(undisturbed)))
    for name, expected in (("pcgrad", "Gradient Surgery"), ("wine", "cultivar"), ("smoke", "seeds"), (record, record)):
        shown = cli("show", name, "--results", undisturbed)
        assert shown.returncode == 0, shown.stderr
        assert expected in shown.stdout
