"""Seeds together, from the command line: what is trained so, what is not and why, and that going on with a study changes nothing."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from benchmark.store import Store
from tests.e2e.conftest import Cli
from tests.e2e.test_study import results

ONE = """
name = "one"
version = 1
summary = "one problem"

[protocol]
seeds = {seeds}
evaluations = 2
selection = "best"

[[problems]]
name = "{problem}"
steps = {steps}
"""


def suite(folder: Path, problem: str, seeds: int, steps: int) -> Path:
    path = folder / f"{problem}.toml"
    path.write_text(ONE.format(problem=problem, seeds=seeds, steps=steps), encoding="utf-8")
    return path


def test_a_study_of_which_nothing_can_be_trained_together_is_refused(cli: Cli, tmp_path: Path) -> None:
    file = suite(tmp_path, "vlmop1", 2, 5)
    ran = cli("run", "--suite", file, "--methods", "equal", "--engine", "vectorized", "--results", tmp_path / "results")
    assert ran.returncode == 2
    assert ran.stderr.startswith(
        "error: --engine vectorized, but no entrant can be trained so on any problem (the losses of vlmop1 are not"
    )
    assert len(ran.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_an_unknown_engine_gets_a_suggestion(cli: Cli, tmp_path: Path) -> None:
    ran = cli("run", "--engine", "vectorised", "--results", tmp_path / "results")
    assert ran.returncode == 2
    assert "expected one of auto, eager, vectorized; did you mean" in ran.stderr


def test_a_dry_run_says_what_will_be_trained_one_by_one_and_why(cli: Cli, tmp_path: Path) -> None:
    command = ("run", "--suite", "toy", "--problem", "gradnorm_toy,vlmop1", "--methods", "equal,famo", "--no-baselines", "--dry-run")
    ran = cli(*command, "--engine", "vectorized", "--results", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    assert (
        "trained one by one: 3 of 4 (the losses of vlmop1 are not a function of parameters and batch alone: 2; famo looks at" in ran.stderr
    )


def test_auto_leaves_a_short_study_alone_says_so_and_goes_on_as_it_began(cli: Cli, tmp_path: Path) -> None:
    file = suite(tmp_path, "wine", 2, 12)
    command = ("run", "--suite", file, "--methods", "equal", "--no-baselines", "--results", tmp_path / "results", "--executor", "inline")
    ran = cli(*command, "--engine", "auto")
    assert ran.returncode == 0, ran.stderr
    assert "--engine auto, wine: one by one (about" in ran.stderr
    assert all(record.spec.engine != "vectorized" for record in Store(tmp_path / "results").scan().records)
    again = cli(*command, "--engine", "auto")
    assert "0 trials run, 2 already recorded" in again.stderr
    assert "--engine auto" not in again.stderr  # all is recorded: nothing to decide


@pytest.mark.slow
def test_a_study_together_is_the_same_wherever_it_runs_and_however_it_was_asked_for(cli: Cli, tmp_path: Path) -> None:
    file = suite(tmp_path, "wine", 3, 12)
    command = ("run", "--suite", file, "--methods", "equal,cagrad,single_task", "--no-baselines", "--engine", "vectorized", "--together", 4)
    assert cli(*command, "--results", tmp_path / "inline", "--executor", "inline").returncode == 0
    first = cli(*command, "--results", tmp_path / "local", "--jobs", 2, "--seeds", 1)
    assert first.returncode == 0, first.stderr
    second = cli(*command, "--results", tmp_path / "local", "--jobs", 2)
    assert "already recorded" in second.stderr
    assert results(tmp_path / "inline") == results(tmp_path / "local")
    kept = cli(*command[:-4], "--engine", "auto", "--together", 4, "--results", tmp_path / "local")
    assert "0 trials run" in kept.stderr  # auto keeps the engine of what is recorded


@pytest.mark.slow
def test_both_engines_give_one_distribution_of_test_metrics(cli: Cli, tmp_path: Path) -> None:
    """Twenty seeds, 300 steps: means differ by less than 3 standard errors of the paired difference, or by 0.1 % of the mean."""
    file = suite(tmp_path, "wine", 20, 300)
    names = "equal,uncertainty,cagrad"
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    for engine in ("eager", "vectorized"):
        command = ("run", "--suite", file, "--methods", names, "--no-baselines", "--engine", engine, "--results", tmp_path / engine)
        assert cli(*command).returncode == 0
        values: dict[tuple[str, str], list[float]] = {}
        for record in sorted(Store(tmp_path / engine).scan().records, key=lambda record: record.spec.seed):
            for key, value in record.test.items():
                values.setdefault((record.spec.method, key), []).append(value)
        found[engine] = values
    assert found["eager"].keys() == found["vectorized"].keys()
    for key, alone in found["eager"].items():
        together = found["vectorized"][key]
        assert len(alone) == len(together) == 20
        differences = [a - b for a, b in zip(alone, together, strict=True)]
        error = statistics.stdev(differences) / 20**0.5
        assert abs(statistics.mean(differences)) <= max(3 * error, 1e-3 * abs(statistics.mean(alone))), key


MINE = """
import methods

@methods.register(methods.Card(name="mine", version=1, title="", paper="", year=2026, family="loss", equation=""))
class Mine(methods.LossMethod):
    {body}
"""
OBJECTIVE = "def objective(self, losses):\n        return losses.sum()"


def test_a_users_objective_is_trained_together_and_its_changed_file_refused(cli: Cli, tmp_path: Path) -> None:
    file, method = suite(tmp_path, "wine", 2, 4), tmp_path / "mine.py"
    method.write_text(MINE.format(body=OBJECTIVE), encoding="utf-8")
    command = ("run", "--suite", file, "--methods", method, "--no-baselines", "--engine", "vectorized", "--together", 2)
    command += ("--executor", "inline", "--results", tmp_path / "results")
    ran = cli(*command)
    assert ran.returncode == 0, ran.stderr
    assert {record.status for record in Store(tmp_path / "results").scan().records} == {"ok"}
    method.write_text(MINE.format(body=OBJECTIVE.replace("sum()", "sum() * 2")), encoding="utf-8")
    again = cli(*command, "--seeds", 4)
    assert again.returncode == 2
    assert "mine is not what it was when 2 of its records were made" in again.stderr


def test_a_method_that_cannot_be_built_is_a_record_and_not_the_end_of_the_study(cli: Cli, tmp_path: Path) -> None:
    file, method = suite(tmp_path, "wine", 1, 2), tmp_path / "mine.py"
    method.write_text(MINE.format(body="def setup(self):\n        raise OSError('no such thing')\n    " + OBJECTIVE), encoding="utf-8")
    command = ("run", "--suite", file, "--methods", f"{method},equal", "--no-baselines", "--engine", "vectorized", "--executor", "inline")
    ran = cli(*command, "--results", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    assert "trained one by one: 1 of 2 (mine cannot be built: 1)" in ran.stderr
    statuses = {record.spec.method: record.status for record in Store(tmp_path / "results").scan().records}
    assert statuses == {"mine": "error", "equal": "ok"}
