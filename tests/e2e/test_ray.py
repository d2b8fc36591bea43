"""Studies on Ray: the same records as in one process, on one machine and on two nodes of which one is lost."""

from __future__ import annotations

import csv
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli
from tests.e2e.test_study import results

pytest.importorskip("ray", reason="ray is not installed (extra `sweep`)")

WRONG = {
    "address of another executor": (["--address", "auto"], "--address auto is for --executor ray only, not local"),
    "share of another executor": (["--gpus-per-trial", "0.5"], "--gpus-per-trial 0.5 is for --executor ray only"),
    "address without port": (["--executor", "ray", "--address", "head"], "--address is 'head'; expected auto, or HOST:PORT"),
    "nobody there": (["--executor", "ray", "--address", "127.0.0.1:1"], "no Ray answers at 127.0.0.1:1"),
    "no number": (["--executor", "ray", "--cpus-per-trial", "two"], "--cpus-per-trial is 'two'; expected a number above 0"),
    "one and a half": (["--executor", "ray", "--gpus-per-trial", "1.5"], "expected a part of one GPU, such as 0.25, or whole ones"),
    "no share": (["--executor", "ray", "--device", "cuda"], "say how much of a GPU a trial gets"),
    "two devices": (["--executor", "ray", "--device", "cpu", "--gpus-per-trial", "1"], "leave one of the two out"),
}


@pytest.mark.parametrize("name", WRONG)
def test_flags_that_do_not_fit_are_said_before_anything_runs(name: str, cli: Cli, tmp_path: Path) -> None:
    given, message = WRONG[name]
    ran = cli("run", *given, "--results", tmp_path / "results")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert message in ran.stderr
    assert not (tmp_path / "results").exists()


def leaderboard(cli: Cli, folder: Path) -> list[dict[str, str]]:
    """Without what is measured in seconds and bytes."""
    rows = csv.DictReader(cli("leaderboard", "--format", "csv", "--results", folder).stdout.splitlines())
    return [{name: value for name, value in row.items() if name not in ("relative_cost", "peak_memory_bytes")} for row in rows]


@pytest.mark.slow
def test_inline_local_and_ray_lead_to_one_leaderboard(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    for executor in ("inline", "local", "ray"):
        study = ["--suite", tiny, "--methods", "equal,pcgrad", "--budget", 2, "--executor", executor, "--jobs", 2]
        ran = cli("run", *study, "--results", tmp_path / executor)
        assert ran.returncode == 0, ran.stderr
        assert "raylet" not in ran.stdout + ran.stderr
    assert results(tmp_path / "ray") == results(tmp_path / "local") == results(tmp_path / "inline")
    boards = [leaderboard(cli, tmp_path / executor) for executor in ("inline", "local", "ray")]
    assert len(boards[0]) >= 3
    assert boards[0] == boards[1] == boards[2]


@pytest.mark.slow
def test_a_node_that_is_killed_in_mid_study_costs_nothing(cli: Cli, tmp_path: Path) -> None:
    """Two nodes of one core each. The command's own words may be joined by Ray's that a node is dead."""
    suite = tmp_path / "two.toml"
    suite.write_text(STUDY, encoding="utf-8")
    keys = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = Path("/tmp") / f"lossbench-{secrets.token_hex(4)}"  # sockets below it: its path has to be short
    study = ["run", "--suite", suite, "--methods", "equal,pcgrad", "--results"]
    head = ["--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false", f"--temp-dir={folder}"]
    with node(keys, *head), node(keys, f"--address={address}") as second:
        driver = subprocess.Popen(
            [sys.executable, "-m", "benchmark", *map(str, [*study, tmp_path / "ray", "--executor", "ray", "--address", address])],
            env={**keys, "NO_COLOR": "1"}, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert until(lambda: len(list((tmp_path / "ray").rglob("*.json"))) >= 4)
        kill(second)
        _, errors = driver.communicate(timeout=300)
    shutil.rmtree(folder, ignore_errors=True)
    assert driver.returncode == 0, errors
    assert " 0 failed" in errors
    assert cli(*study, tmp_path / "local").returncode == 0
    assert results(tmp_path / "ray") == results(tmp_path / "local")


STUDY = """
name = "two"
version = 1
summary = "half a minute on one core"

[protocol]
seeds = 8
evaluations = 3
selection = "best"

[[problems]]
name = "wine"
steps = 400
"""


@contextmanager
def node(environment: dict[str, str], *flags: str) -> Iterator[subprocess.Popen[str]]:
    """``ray start`` with one core on loopback, in a session of its own."""
    program = [str(Path(sys.executable).with_name("ray")), "start", "--node-ip-address=127.0.0.1", "--num-cpus=1", "--block", *flags]
    found = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    assert found.stdout is not None
    try:
        for line in found.stdout:
            if "block forever" in line:
                break
        yield found
    finally:
        kill(found)
        found.stdout.close()


def kill(found: subprocess.Popen[str]) -> None:
    """SIGKILL to all of a node at once, as when its machine loses power."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, IndexError):
                if (entry / "stat").read_text().rpartition(")")[2].split()[3] == str(found.pid):
                    os.kill(int(entry.name), signal.SIGKILL)
    found.wait(20)


def until(condition: Callable[[], bool], limit: float = 300.0) -> bool:
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()
