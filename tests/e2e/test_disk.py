"""A results folder that cannot be written, is full, or fills up while the study runs: one line, nothing torn, and the study resumes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.records import timeless
from benchmark.store import Store
from tests.e2e.conftest import Cli

IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount", "bash", "-euc"]
"""Where anybody may mount a small disk that is gone with the process."""


def mounts() -> bool:
    try:
        return subprocess.run([*IN_A_NAMESPACE, "mount -t tmpfs -o size=1m none /mnt"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_mount = pytest.mark.skipif(not mounts(), reason="this system lets no user mount a disk")


def in_a_small_disk(script: str, folder: Path, tiny: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script with 4 MB mounted at ``$disk``, in which ``study`` is the command of a small study into ``$disk/results``."""
    command = [sys.executable, "-m", "benchmark", "run", "--suite", str(tiny), "--methods", "equal,pcgrad", "--executor", "inline"]
    disk = shlex.quote(str(folder / "disk"))
    head = f"disk={disk}\nmkdir $disk\nmount -t tmpfs -o size=4m none $disk\nstudy() {{ {shlex.join(command)} --results $disk/results; }}\n"
    return subprocess.run(
        [*IN_A_NAMESPACE, head + script], env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, timeout=300, check=False
    )


@needs_mount
def test_a_full_disk_is_said_before_the_first_trial(tiny: Path, tmp_path: Path) -> None:
    ran = in_a_small_disk("cat /dev/zero >$disk/ballast 2>/dev/null || true\nstudy", tmp_path, tiny)
    assert ran.returncode == 2
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: cannot write to ")
    assert "make room" in line


@needs_mount
def test_too_little_room_for_the_study_is_said_before_the_first_trial(tiny: Path, tmp_path: Path) -> None:
    ran = in_a_small_disk("head -c 4050000 /dev/zero >$disk/ballast\nstudy", tmp_path, tiny)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: not enough room in ")


@needs_mount
def test_a_disk_that_fills_up_stops_the_study_which_then_goes_on(tiny: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    os.mkfifo(tmp_path / "nothing")  # reading it is how the shell waits without starting a program each time
    script = f"""
    nothing={shlex.quote(str(tmp_path / "nothing"))}
    fill() {{
        shopt -s globstar nullglob
        until made=($disk/results/records/**/*.json); [ ${{#made[@]}} -ge 2 ]; do read -rt 0.005 <>$nothing || true; done
        cat /dev/zero >$disk/ballast || true
    }}
    fill 2>/dev/null & code=0
    study || code=$?
    wait
    cp -r $disk/results {kept}
    rm $disk/ballast
    study
    cp -r $disk/results {kept}.whole
    exit $code
    """
    ran = in_a_small_disk(script, tmp_path, tiny)
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert "No space left on device" in line
    assert "the same command goes on from there" in line
    before, after = Store(kept).scan(), Store(Path(f"{kept}.whole")).scan()
    assert before.damaged == after.damaged == []
    assert 2 <= len(before.records) < len(after.records) == 22
    assert {record.id: timeless(record) for record in before.records}.items() <= {r.id: timeless(r) for r in after.records}.items()
    assert not list(kept.rglob(".*.tmp"))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_said_before_the_first_trial(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir(mode=0o500)
    ran = cli("run", "--suite", tiny, "--methods", "equal", "--results", folder)
    assert ran.returncode == 2
    assert "mend its permissions" in ran.stderr


@needs_mount
def test_a_read_only_disk_is_said_before_the_first_trial(tiny: Path, tmp_path: Path) -> None:
    ran = in_a_small_disk("mount -o remount,ro $disk\nstudy", tmp_path, tiny)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: cannot write to ")
    assert "Read-only file system" in line
