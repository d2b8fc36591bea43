"""Data that does not ship, from the command line: prepared ahead, named with --problem, and missed in one line before any trial."""

from __future__ import annotations

import csv
import socket
from pathlib import Path

import numpy as np
import pytest

import tasks
from benchmark import cli as command_line
from benchmark import plan
from benchmark.commands.flags import locations
from benchmark.executors import Job
from benchmark.progress import PreparingProgress
from benchmark.store import Store
from benchmark.trial import execute
from tasks.credit import Credit


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """300 clients whose limit follows from their age and whose first payment status decides on default."""
    folder, draws = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    names = [column.name for column in Credit.source.columns]
    with (folder / "default_of_credit.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(names)
        for _ in range(300):
            row = dict.fromkeys(names, 0)
            row |= {
                "SEX": int(draws.integers(1, 3)),
                "EDUCATION": int(draws.integers(1, 4)),
                "MARRIAGE": 1,
                "AGE": int(draws.integers(21, 60)),
            }
            row |= {"PAY_0": int(draws.integers(-2, 3)), "LIMIT_BAL": 1000 * row["AGE"]}
            row["default.payment.next.month"] = int(row["PAY_0"] > 0)
            out.writerow(row.values())
    return folder


def failed(*arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        command_line.main([*map(str, arguments)])
    shown = capsys.readouterr()
    assert exit_.value.code == 2
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1, shown.err
    return shown.err


def done(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    with pytest.raises(SystemExit) as exit_:
        command_line.main([*map(str, arguments)])
    assert exit_.value.code == 0
    shown = capsys.readouterr()
    return shown.out, shown.err


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_prepare_says_what_is_there_and_runs_find_it(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = done("prepare", "--suite", "mixed", "--problem", "credit,wine", "--data-dir", data, capsys=capsys)
    told = dict(line.split(": ", 1) for line in out.splitlines())
    assert told["wine"] == "nothing to prepare: it ships with its package or is generated"
    assert told["credit"].startswith("300 rows; ")
    assert str(tmp_path / "cache") in told["credit"]
    assert err == "preparing credit train\n"
    again = done("prepare", "--problem", "credit", "--data-dir", data, capsys=capsys)
    assert again == (f"credit: {told['credit']}\n", "")


def test_a_problem_on_request_trains_and_beats_the_prior(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = tmp_path / "mine.toml"
    text = '[protocol]\nseeds = 1\nevaluations = 2\nselection = "best"\n'
    text += '[[problems]]\nname = "wine"\nsteps = 2\n[[problems]]\nname = "credit"\non_request = true\nsteps = 300\nbatch_size = 64\n'
    suite.write_text('name = "mine"\nversion = 1\nsummary = "s"\n' + text, encoding="utf-8")
    common = (
        "run",
        "--suite",
        suite,
        "--methods",
        "uncertainty",
        "--no-baselines",
        "--executor",
        "inline",
        "--results",
        tmp_path / "results",
    )
    _, err = done(*common, capsys=capsys)
    assert "left out, as their data does not ship: credit (run one: --problem NAME)" in err
    assert "1 trials run" in err
    _, err = done(*common, "--problem", "credit", "--data-dir", data, capsys=capsys)
    assert "left out" not in err
    (record,) = [one for one in Store(tmp_path / "results").scan().records if one.spec.problem == "credit"]
    assert record.test["default/accuracy"] > 0.9  # the best constant: 0.6
    assert record.spec.data == Credit().fingerprint(locations(data, offline=True))


def test_a_trial_trains_on_the_data_that_it_was_planned_for(data: Path, tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    text = '[protocol]\nseeds = 1\nevaluations = 1\nselection = "best"\n[[problems]]\nname = "credit"\nsteps = 1\nbatch_size = 8\n'
    suite.write_text('name = "mine"\nversion = 1\nsummary = "s"\n' + text, encoding="utf-8")
    where, entrants = locations(data, offline=True), plan.choose_entrants(["equal"], [])
    before = Credit().fingerprint(where)
    (spec,) = plan.evaluation(plan.Study(tasks.suite(suite), entrants, 1, (), {"credit": before}, where))
    assert execute(Job((spec,), "cpu", where=where))[0].status == "ok"
    (path,) = data.iterdir()
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-1]) + "\n", encoding="utf-8")
    (record,) = execute(Job((spec,), "cpu", where=where))
    assert record.status == "error"
    after = Credit().fingerprint(where)
    assert record.message == f"problem 'credit': its data changed while the study ran ({after}, planned {before}); run again"


@pytest.mark.parametrize("command", ["run --suite mixed --results results", "prepare"])
def test_missing_data_is_one_line_before_any_trial(
    command: str, tmp_path: Path, no_network: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command.split()
    assert "give --data-dir DIR with default_of_credit.csv" in failed(*words, "--problem", "credit", capsys=capsys)
    assert "cannot be reached (No route to host); run where there is a network: python -m benchmark prepare --problem adult" in failed(
        *words, "--problem", "adult", capsys=capsys
    )
    monkeypatch.setattr(socket, "create_connection", None)  # offline does not even try
    assert "run once without --offline: python -m benchmark prepare --problem qm9" in failed(
        *words, "--problem", "qm9", "--offline", capsys=capsys
    )
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "cache").exists()


def test_a_bad_file_is_one_line_before_any_trial(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "default_of_credit.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("LIMIT_BAL", "LIMIT"), encoding="utf-8")
    said = failed("run", "--suite", "mixed", "--problem", "credit", "--data-dir", data, "--results", "results", capsys=capsys)
    assert "column 'LIMIT_BAL' (float) is missing; did you mean 'LIMIT'?" in said
    assert not (tmp_path / "results").exists()


def test_nothing_to_prepare_or_a_suite_of_requests_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "prepare needs --suite NAME or --problem NAME" in failed("prepare", capsys=capsys)
    assert "did you mean 'credit'" in failed("prepare", "--problem", "credt", capsys=capsys)
    assert "did you mean 'credit'" in failed("prepare", "--suite", "mixed", "--problem", "credt", capsys=capsys)
    suite = tmp_path / "only.toml"
    head = 'name = "only"\nversion = 1\nsummary = "s"\n[protocol]\nseeds = 1\nevaluations = 2\nselection = "best"\n'
    suite.write_text(head + '[[problems]]\nname = "credit"\non_request = true\n', encoding="utf-8")
    assert "on request only: name some with --problem (credit)" in failed("run", "--suite", suite, capsys=capsys)


def test_in_a_terminal_there_is_a_bar() -> None:
    from rich.console import Console

    console = Console(force_terminal=True, width=100, color_system=None)
    with console.capture(), PreparingProgress(console) as progress:
        for rows in (0, 5, 10):
            progress.report("set train", rows, 10)
        shown = progress._bars.tasks[0]
        assert (shown.completed, shown.total, shown.description) == (10, 10, "set train")
