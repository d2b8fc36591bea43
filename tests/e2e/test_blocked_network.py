"""Without a network nothing hangs: one line within seconds, from the real command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests import ports

LIMIT = 5.0
"""Seconds, start of Python included."""


def refused(folder: Path, *arguments: str, **environment: str) -> str:
    """The one line of a command that must exit with 2 in time and leave nothing; a machine with other work has as much more time as a
    mistake in a flag takes it beyond a second."""
    slowness = attempt(folder, "--wandb", "onlin")[1]
    line, seconds = attempt(folder, *arguments, **environment)
    assert seconds < LIMIT * max(1.0, slowness), f"took {seconds:.1f} s, a wrong flag {slowness:.1f} s: {line}"
    return line


def attempt(folder: Path, *arguments: str, **environment: str) -> tuple[str, float]:
    inherited = {name: value for name, value in os.environ.items() if name not in ports.PROXIES and not name.startswith(("HF_", "WANDB_"))}
    command = [sys.executable, "-m", "benchmark", "run", "--results", str(folder / "results"), *arguments]
    start = time.perf_counter()
    ran = subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, timeout=120, check=False)
    seconds = time.perf_counter() - start
    assert ran.returncode == 2, ran.stderr
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert not (folder / "results").exists()
    return line, seconds


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_hub_problem_says_so(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="hub problems need it")
    with nullcontext(ports.closed()) if kind == "closed" else ports.silent() as port:
        endpoint = f"http://127.0.0.1:{port}"
        cache = str(tmp_path / "cache")
        line = refused(tmp_path, "--suite", "dense", "--problem", "nyuv2", HF_ENDPOINT=endpoint, LOSSBENCH_CACHE=cache)
    assert f"127.0.0.1:{port} {'cannot be reached' if kind == 'closed' else 'does not answer'}" in line
    assert "where there is a network: python -m benchmark prepare --problem nyuv2" in line


KEY = "0123456789" * 4
"""Has the form of a key."""


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_online_tracking_says_so(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="tracking needs it")
    with nullcontext(ports.closed()) if kind == "closed" else ports.silent() as port:
        server = f"http://127.0.0.1:{port}"
        line = refused(tmp_path, "--suite", "smoke", "--wandb", "online", WANDB_API_KEY=KEY, WANDB_BASE_URL=server, HOME=str(tmp_path))
    assert f"--wandb online: 127.0.0.1:{port} {'cannot be reached' if kind == 'closed' else 'does not answer'}" in line
    assert "use --wandb offline, and send the run later with wandb sync" in line


def test_online_tracking_without_a_log_in_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="tracking needs it")
    line = refused(tmp_path, "--suite", "smoke", "--wandb", "online", HOME=str(tmp_path), WANDB_CONFIG_DIR=str(tmp_path))
    assert "wandb login" in line
    assert "WANDB_API_KEY" in line
    assert "--wandb offline" in line
