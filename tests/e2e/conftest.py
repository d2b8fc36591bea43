"""What end-to-end tests share: the command line in a child process, and a suite that finishes in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TINY = """
name = "tiny"
version = 1
summary = "a few steps of two small problems"

[protocol]
seeds = 2
evaluations = 3
selection = "best"

[[problems]]
name = "wine"
steps = 12

[[problems]]
name = "gradnorm_toy"
steps = 6
"""

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A suite file."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs ``python -m benchmark ARGUMENTS`` in an empty folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "benchmark", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
