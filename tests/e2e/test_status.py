"""``status`` from outside: of a study that runs, that was killed, and that is complete."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.conftest import Cli


def test_a_study_is_seen_running_killed_and_complete(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    command = [sys.executable, "-m", "benchmark"]
    run = [*command, "run", "--suite", str(tiny), "--methods", "equal,pcgrad", "--results", str(folder), "--jobs", "2"]
    driver = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list(folder.rglob("*.json")) and time.monotonic() < end:
        time.sleep(0.01)
    running = cli("status", "--results", folder)
    driver.kill()
    driver.wait()
    assert running.returncode == 0, running.stderr
    assert re.match(r"tiny: [1-9]\d* of 22 trials done, ", running.stdout)
    assert f"driver: process {driver.pid} on " in running.stdout
    assert {"wine", "gradnorm_toy", "pcgrad", "single_task"} <= set(running.stdout.split())

    killed = cli("status", "--results", folder, "--suite", "tiny")
    assert f"no driver: process {driver.pid} on " in killed.stdout
    assert "the same command resumes" in killed.stdout

    watch = subprocess.Popen([*command, "status", "--results", str(folder), "--watch"], stdout=subprocess.PIPE, text=True)
    left = subprocess.Popen(watch.args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert left.stdout is not None
    left.stdout.readline()
    left.send_signal(signal.SIGINT)
    _, errors = left.communicate(timeout=30)
    assert (left.returncode, errors) == (0, "")

    assert cli(*run[3:]).returncode == 0
    lines, _ = watch.communicate(timeout=60)
    assert watch.returncode == 0
    assert lines.splitlines()[0] != lines.splitlines()[-1] == "tiny: 22 of 22 trials done: complete"
    assert cli("status", "--results", folder).stdout.splitlines()[0] == "tiny: 22 of 22 trials done: complete"
    assert not list(folder.rglob("*.life"))
