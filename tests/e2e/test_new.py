"""``new``: a file of each family that runs as it is, and names that no method can have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import blank
from benchmark.store import Store
from methods import registry
from tests.e2e.conftest import Cli


@pytest.mark.parametrize("family", blank.PARTS)
def test_a_new_file_says_what_comes_next_and_its_card_can_be_read(family: str, cli: Cli, tmp_path: Path) -> None:
    ran = cli("new", "my_first", "--family", family, "--out", tmp_path)
    path = tmp_path / "my_first.py"
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[3] for line in ran.stdout.splitlines() if line.startswith("    ")] == ["validate", "run", "submit"]
    (source,) = registry.read(path).values()
    assert (source.card.name, source.card.family, source.class_name) == ("my_first", family, "MyFirst")
    clean = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "140", path], check=False, capture_output=True
    )
    assert clean.returncode == 0, clean.stdout


def test_new_files_run_in_a_study(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    for family in blank.PARTS:
        assert cli("new", f"a_{family}", "--family", family, "--out", tmp_path).returncode == 0
    files = ",".join(str(tmp_path / f"a_{family}.py") for family in blank.PARTS)
    ran = cli("run", "--suite", tiny, "--methods", files, "--no-baselines", "--seeds", 1, "--results", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    records = Store(tmp_path / "results").scan().records
    assert len(records) == 2 * len(blank.PARTS)
    assert {record.status for record in records} == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize("family", blank.PARTS)
def test_a_new_file_passes_validation(family: str, cli: Cli, tmp_path: Path) -> None:
    assert cli("new", "my_first", "--family", family, "--out", tmp_path).returncode == 0
    ran = cli("validate", tmp_path / "my_first.py")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("../evil",), "method name '../evil': expected up to 60"),
        (("a/b",), "method name 'a/b': expected up to 60"),
        (("Upper",), "method name 'Upper': expected up to 60"),
        (("1st",), "method name '1st': expected up to 60"),
        (("é",), "expected up to 60"),
        (("x" * 99,), "expected up to 60 lower-case letters"),
        (("pcgrad",), "is the name of a method already"),
        (("partial",), "no method can be called 'partial', which the package methods has for something else: choose another"),
        (("mine", "--family", "gramain"), "did you mean 'gramian'"),
        (("mine", "--out", "nowhere"), "is no folder"),
        (("taken",), "exists already"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_writes_nothing(arguments: tuple[str, ...], said: str, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "taken.py").write_text("mine = 1\n", encoding="utf-8")
    ran = cli("new", "--out", folder, *arguments)
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert said in ran.stderr
    assert [path.name for path in folder.iterdir()] == ["taken.py"]
    assert (folder / "taken.py").read_text(encoding="utf-8") == "mine = 1\n"
