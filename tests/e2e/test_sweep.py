"""A sweep from the command line: two stages, one command, resumable, and a table that says how its rows were chosen."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from benchmark import cli as command_line
from benchmark.store import Store
from tests.e2e.conftest import TINY, Cli, called
from tests.e2e.test_start_up import BLOCK
from tests.e2e.test_study import results

SWEEP = ["--methods", "gradnorm", "--problem", "wine", "--budget", 4, "--seeds", 2, "--executor", "inline"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite file, and in ``results`` what a sweep made of it."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        assert called("sweep", "--suite", folder / "tiny.toml", *SWEEP, "--results", folder / "results") == 0
    (folder / "said.txt").write_text(said.getvalue(), encoding="utf-8")
    return folder


Capture = pytest.CaptureFixture[str]


def sweep(capsys: Capture, swept: Path, folder: Path, *flags: object) -> tuple[str, str]:
    """What a sweep in this process printed and said, in one line each."""
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["sweep", "--suite", str(swept / "tiny.toml"), *map(str, [*SWEEP, *flags]), "--results", str(folder)])
    shown = capsys.readouterr()
    assert exit_.value.code == 0, shown.err
    return " ".join(shown.out.split()), " ".join(shown.err.split())


def board(capsys: Capture, folder: Path, *flags: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["leaderboard", "--format", "json", "--results", str(folder), *flags])
    shown = capsys.readouterr()
    assert exit_.value.code == 0, shown.err
    return json.loads(shown.out)  # type: ignore[no-any-return]


def test_a_sweep_tells_its_plan_and_its_rule_and_tunes_all_equally(swept: Path) -> None:
    said = " ".join((swept / "said.txt").read_text(encoding="utf-8").split())
    assert "tuning: 4 configurations of each of 4 entrants on 1 problem (quasi-random, study seed 0" in said
    assert "24 trials on a seed of their own" in said
    assert "the best of each by validation_delta_m on validation data, 12 trials on seeds 0 to 1" in said
    assert "Selection rule: validation_delta_m" in said
    records = Store(swept / "results").scan().records
    tuned = [record for record in records if record.spec.role == "tune"]
    assert len(tuned) == 24
    assert {record.spec.trial for record in tuned} == set(range(4))
    assert not any(record.test for record in tuned)
    evaluated = [record for record in records if record.spec.role == "eval"]
    assert {record.spec.seed for record in evaluated} == {0, 1}
    assert not {record.spec.seed for record in tuned} & {0, 1}


def test_the_leaderboard_makes_the_same_choice_from_the_records_alone(swept: Path, capsys: Capture) -> None:
    shown = board(capsys, swept / "results")
    assert {row["entrant"] for row in shown["rows"]} == {"gradnorm", "equal", "rlw", "single_task"}
    assert all(row["complete"] for row in shown["rows"])
    assert any("search over up to 4" in note and "validation_delta_m" in note for note in shown["notes"])
    by_loss = board(capsys, swept / "results", "--selection-rule", "normalised_loss")
    assert any("Selection rule: normalised_loss" in note for note in by_loss["notes"])


def test_a_sweep_goes_on_wherever_it_was_stopped(swept: Path, tmp_path: Path, capsys: Capture) -> None:
    whole = results(swept / "results")
    shutil.copytree(swept / "results", tmp_path / "results")
    files = {path.stem: path for path in (tmp_path / "results").rglob("*.json")}
    order = sorted(whole, key=lambda name: (whole[name].spec.role == "eval", name))
    for name in order[len(order) // 3 :]:  # in the midst of tuning
        files[name].unlink()
    sweep(capsys, swept, tmp_path / "results")
    assert results(tmp_path / "results") == whole


def test_more_budget_and_seeds_only_add_and_another_search_is_kept_apart(swept: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "results"
    shutil.copytree(swept / "results", folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    _, said = sweep(capsys, swept, folder, "--budget", 5, "--seeds", 3)
    assert "6 trials to run, 24 already recorded" in said
    _, said = sweep(capsys, swept, folder, "--search", "grid")
    assert "6 already recorded" in said  # the defaults: six, as single-task training is one a task
    assert {path: path.read_bytes() for path in before} == before
    gridded = board(capsys, folder, "--search", "grid")
    assert any("search over up to 4 configurations, grid" in note for note in gridded["notes"])
    assert any("search over up to 5 configurations, quasi-random" in note for note in board(capsys, folder)["notes"])


def test_a_method_swept_without_baselines_is_chosen_against_those_that_are_recorded(swept: Path, tmp_path: Path, capsys: Capture) -> None:
    """Else the leaderboard would choose another configuration than the sweep, and have no row for it."""
    folder = tmp_path / "results"
    shutil.copytree(swept / "results", folder)
    shown, _ = sweep(capsys, swept, folder, "--methods", "pcgrad", "--no-baselines")
    assert "Selection rule: validation_delta_m" in shown
    assert "chosen by normalised_loss" not in shown
    found = board(capsys, folder)
    assert {row["entrant"] for row in found["rows"]} == {"gradnorm", "pcgrad", "equal", "rlw", "single_task"}
    assert all(row["complete"] for row in found["rows"])


def test_unequal_budgets_enter_no_table_without_a_word(swept: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "results"
    shutil.copytree(swept / "results", folder)
    before = board(capsys, folder)
    sweep(capsys, swept, folder, "--budget", 6, "--no-baselines")
    after = board(capsys, folder)
    assert after["rows"] == before["rows"]
    assert any("compared: gradnorm; --budget 6 shows" in note for note in after["notes"])
    assert not any("unequal" in note for note in after["notes"])
    asked = board(capsys, folder, "--budget", "6")
    assert any(note == "unequal budgets: searched 4 of 6: equal, rlw, single_task" for note in asked["notes"])


def test_tuning_records_alone_make_no_empty_table(swept: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "results"
    shutil.copytree(swept / "results", folder)
    for record in Store(folder).scan().records:
        if record.spec.role == "eval":
            next(folder.rglob(f"{record.id}.json")).unlink()
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["leaderboard", "--results", str(folder)])
    said = capsys.readouterr()
    assert (exit_.value.code, said.out, len(said.err.splitlines())) == (2, "", 1)
    assert all(
        part in said.err for part in ("nothing to rank", "'tiny'", "24 records", "python -m benchmark sweep --suite tiny --budget 4")
    )


def test_a_grid_of_pinned_values_is_one_command(tmp_path: Path, capsys: Capture) -> None:
    """GradNorm's α (4 values) x 3 learning rates x 5 seeds: 60 trials, beside 25 of the baselines."""
    grid = ["--set", "gradnorm.alpha=0.12,0.5,1.5,3", "--set", "gradnorm.learning_rate=3e-4,1e-3,3e-3"]
    study = ["--suite", "mixed", "--problem", "digits", "--methods", "gradnorm", "--seeds", "5", "--budget", "1"]
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["sweep", *study, *grid, "--dry-run", "--results", str(tmp_path / "results")])
    shown = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "85         0      85" in shown
    assert "tuning" not in shown


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["sweep", "--search", "gird"], ["--search", "'gird'", "quasi-random, grid, optuna", "did you mean 'grid'"]),
        (["sweep", "--scheduler", "asha"], ["--scheduler asha", "--search optuna"]),
        (["sweep", "--search", "optuna", "--scheduler", "median"], ["--scheduler", "'median'", "asha"]),
        (["sweep", "--search", "optuna", "--budget", "1"], ["--search optuna", "--budget 1", "2 or more"]),
        (["leaderboard", "--search", "optuna"], ["--search", "'optuna'", "quasi-random, grid"]),
        (["sweep", "--selection-rule", "test"], ["--selection-rule", "validation_delta_m, normalised_loss"]),
        (["sweep", "--study-seed", "-1"], ["--study-seed", "'-1'", "whole number"]),
        (["sweep", "--budget", "0"], ["--budget", "'0'"]),
        (["leaderboard", "--search", "random"], ["--search", "'random'"]),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        command_line.main(arguments)
    said = capsys.readouterr().err
    assert exit_.value.code == 2
    assert len(said.splitlines()) == 1
    assert all(part in said for part in parts), said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["ray", "optuna"])
def test_without_its_packages_an_adaptive_search_names_the_extra(missing: str, tmp_path: Path) -> None:
    program = BLOCK.format(names={missing}) + "from benchmark.cli import main\nmain(['sweep', '--search', 'optuna'])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 1
    assert "lossbench[sweep]" in shown.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", [[], ["--scheduler", "asha"]], ids=["optuna", "asha"])
def test_an_adaptive_search_is_kept_marked_resumed_and_in_no_leaderboard(
    scheduler: list[str], swept: Path, cli: Cli, tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("optuna")
    folder, kind = tmp_path / "results", (scheduler or ["optuna"])[-1]
    shutil.copytree(swept / "results", folder)
    before = board(capsys, folder)
    arguments = [*SWEEP, "--no-baselines", "--jobs", 2, "--results", folder, "--search", "optuna", *scheduler]
    ran = cli("sweep", "--suite", swept / "tiny.toml", *arguments)
    assert ran.returncode == 0, ran.stderr
    assert f"{kind}: gradnorm on wine: 3 trials to run, 1 already recorded" in ran.stderr
    assert "Traceback" not in ran.stderr
    found = {record.id: record for record in Store(folder).scan().records if record.spec.search == kind}
    tuned = [record for record in found.values() if record.spec.role == "tune"]
    assert sorted(record.spec.trial for record in tuned) == [1, 2, 3]
    assert all(record.status == "ok" or (kind == "asha" and record.status == "stopped") for record in tuned)
    assert not any(record.test for record in tuned)
    more = cli("sweep", "--suite", swept / "tiny.toml", *arguments, "--budget", 5)
    assert f"{kind}: gradnorm on wine: 1 trials to run, 4 already recorded" in more.stderr
    again = {record.id: record for record in Store(folder).scan().records}
    assert all(again[name] == record for name, record in found.items())
    after = board(capsys, folder)
    assert after["rows"] == before["rows"]
    assert any("adaptive searches left out" in note and f"gradnorm ({kind})" in note for note in after["notes"])
