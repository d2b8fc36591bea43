"""The command that says whether this machine can run a study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.doctor import Check, bounded
from tests.e2e.conftest import Cli


def test_a_folder_that_cannot_be_written_is_a_problem_with_its_fix(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    ran = cli("doctor", "--offline", "--json", "--results", file / "results")
    checks = {check["name"]: check for check in json.loads(ran.stdout)}
    assert ran.returncode == 1
    assert checks["results"]["status"] == "problem"
    assert "--results" in checks["results"]["fix"]
    assert "hub" in checks  # the extra of that name; nothing is asked of the network
    assert checks["python"]["status"] == "ok"


def test_a_key_is_never_shown(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret-of-mine")
    ran = cli("doctor", "--offline", "--results", tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "a-secret-of-mine" not in ran.stdout + ran.stderr


def test_a_check_that_raises_or_hangs_is_a_finding() -> None:
    import time

    def raises() -> list[Check]:
        raise RuntimeError("two\nlines")

    def hangs() -> list[Check]:
        time.sleep(1)
        return []

    assert [(check.status, check.message) for check in bounded("x", raises)] == [("problem", "cannot be checked: RuntimeError: two lines")]
    assert [check.status for check in bounded("x", hangs, seconds=0.05)] == ["note"]
