"""The score against one hyperparameter: what is drawn of which records, and the pictures themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from test_selection import BASELINE, tuned

import methods
from benchmark import cli as command_line
from benchmark.errors import UsageError
from benchmark.records import Point, RunRecord
from benchmark.sensitivity import LOSS, TEST_DELTA, VALIDATION_DELTA, panels
from benchmark.store import Store
from tests.made import make

GRADNORM = methods.card("gradnorm")
OWN = GRADNORM.resolve({})


def evaluated(
    alpha: float, error: float, seed: int = 0, rate: float = 1e-3, label: str = "", loss: float = 0.5, **fields: Any
) -> RunRecord:
    pins = [f"alpha={alpha}"] * (alpha != 1.5) + [f"learning_rate={rate}"] * (rate != 1e-3)
    entrant = label or ("gradnorm" + (f"({', '.join(pins)})" if pins else ""))
    values = {"error": error, "accuracy": 0.5} if fields.get("status", "ok") == "ok" else {}
    record = make(test=values, entrant=entrant, seed=seed, learning_rate=rate, hyperparameters=OWN | {"alpha": alpha}, **fields)
    point = Point(step=10, train_losses=[], validation_losses=[], weights=[], score=loss, seconds=0.0)
    return replace(record, curve=[point], selected_step=10)


def reference(seed: int) -> list[RunRecord]:
    return [
        make(test={key: value}, entrant="single_task", seed=seed, trained=[task], hyperparameters={"task": task})
        for task, key, value in ((0, "error", 1.0), (1, "accuracy", 0.5))
    ]


def grid(seeds: int = 3) -> list[RunRecord]:
    """Error α at a rate of 1e-3 and 2 α at 3e-3, a little more with every seed."""
    found = [record for seed in range(seeds) for record in reference(seed)]
    for seed in range(seeds):
        for alpha in (3.0, 0.5, 1.5):
            found += [evaluated(alpha, factor * alpha + 0.01 * seed, seed, rate) for rate, factor in ((1e-3, 1.0), (3e-3, 2.0))]
    return found


def test_a_grid_gives_a_line_a_learning_rate_with_intervals_and_their_n() -> None:
    (panel,) = panels(grid(), GRADNORM, "alpha")
    assert (panel.title, panel.score, panel.default, panel.log, panel.trials) == ("digits", TEST_DELTA, 1.5, False, [])
    assert [line.label for line in panel.lines] == ["learning rate 0.001", "learning rate 0.003"]
    for line, factor in zip(panel.lines, (1.0, 2.0), strict=True):
        assert [mark.value for mark in line.marks] == [0.5, 1.5, 3.0]
        assert [mark.score.value for mark in line.marks] == pytest.approx([50 * (factor * alpha + 0.01 - 1) for alpha in (0.5, 1.5, 3.0)])
        assert all(mark.score.low < mark.score.value < mark.score.high for mark in line.marks)
        assert {(mark.finished, mark.failed) for mark in line.marks} == {(3, 0)}


def test_the_learning_rate_is_a_hyperparameter_like_any_other() -> None:
    (panel,) = panels(grid(), GRADNORM, "learning_rate")
    assert (panel.log, panel.default) == (True, 1e-3)
    assert [line.label for line in panel.lines] == ["alpha 0.5", "alpha 1.5", "alpha 3.0"]
    assert all([mark.value for mark in line.marks] == [1e-3, 3e-3] for line in panel.lines)


def test_without_single_task_training_the_score_is_the_validation_loss() -> None:
    records = [evaluated(alpha, 1.0, seed, loss=alpha + seed) for alpha in (0.5, 1.5) for seed in range(2)]
    (panel,) = panels(records, GRADNORM, "alpha")
    assert panel.score == LOSS
    assert [mark.score.value for mark in panel.lines[0].marks] == [1.0, 2.0]
    assert panel.lines[0].label == ""


def test_a_seed_with_a_record_of_either_engine_counts_once_as_in_the_table() -> None:
    """The one trained alone is shown, and one that finished before one that failed."""
    records = [evaluated(alpha, 1.0, seed, loss=alpha + seed) for alpha in (0.5, 1.5) for seed in range(2)]
    stacked: dict[str, Any] = {"engine": "vectorized", "together": 10}
    doubled = [evaluated(0.5, 9.0, 0, loss=9.0, **stacked), evaluated(1.5, 9.0, 1, status="diverged", **stacked)]
    assert panels([*doubled, *records], GRADNORM, "alpha") == panels(records, GRADNORM, "alpha")


def test_failed_runs_are_marked_and_have_no_interval() -> None:
    records = [record for record in grid() if record.spec.learning_rate == 1e-3]
    records += [evaluated(9.0, 1.0, 0), *(evaluated(9.0, 1.0, seed, status="diverged") for seed in (1, 2))]
    records += [evaluated(10.0, 1.0, seed, status="diverged") for seed in range(3)]
    (panel,) = panels(records, GRADNORM, "alpha")
    partly, wholly = panel.lines[0].marks[-2:]
    assert (partly.finished, partly.failed, wholly.finished, wholly.failed) == (1, 2, 0, 3)
    assert partly.score.value == pytest.approx(0.0)
    assert math.isnan(partly.score.low)
    assert math.isnan(wholly.score.value)


def test_the_trials_of_a_search_are_dots_on_validation_scores() -> None:
    def trial(index: int, alpha: float, rate: float, error: float, **fields: Any) -> RunRecord:
        return tuned(index, 0.5, error, entrant="gradnorm", hyperparameters=OWN | {"alpha": alpha}, learning_rate=rate, **fields)

    records = [trial(0, 1.5, 1e-3, 1.0), trial(1, 0.3, 2e-3, 0.8), trial(2, 2.9, 5e-3, 9.0, status="diverged")]
    (panel,) = panels([*records, *BASELINE], GRADNORM, "alpha")
    assert (panel.score, panel.lines) == (VALIDATION_DELTA, [])
    assert [(mark.value, mark.rate, mark.failed) for mark in panel.trials] == [(0.3, 2e-3, 0), (1.5, 1e-3, 0), (2.9, 5e-3, 1)]
    assert [mark.score.value for mark in panel.trials[:2]] == pytest.approx([-10.0, 0.0])
    (panel,) = panels(records, GRADNORM, "alpha")
    assert panel.score == LOSS


def test_beside_a_pinned_value_the_best_of_a_search_is_one_line() -> None:
    """The learning rates of the points differ then: each is the best for its α. A row whose α was searched is no point of it."""
    records = [*BASELINE, *(record for seed in range(2) for record in reference(seed))]
    for alpha, label in ((0.5, "gradnorm(alpha=0.5)"), (1.5, "gradnorm(alpha=1.5)"), (2.2, "gradnorm")):
        for index, rate in ((0, 1e-3), (1, alpha * 1e-2)):
            records.append(tuned(index, 0.5, 2.0 - index, entrant=label, hyperparameters=OWN | {"alpha": alpha}, learning_rate=rate))
        records += [evaluated(alpha, 1.0 + seed / 10, seed, alpha * 1e-2, label, trial=1) for seed in range(2)]
    (panel,) = panels(records, GRADNORM, "alpha")
    (line,) = panel.lines
    assert [mark.value for mark in line.marks] == [0.5, 1.5]
    assert "best of 2" in line.label


def test_what_cannot_be_drawn_is_said_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no records of gradnorm here \(make some: python -m benchmark sweep --methods gradnorm"):
        panels(BASELINE, GRADNORM, "alpha")
    with pytest.raises(UsageError, match=r"gradnorm.alpha: no problem has runs of two values .*there is 1.5; a grid: python"):
        panels([evaluated(1.5, 1.0, seed) for seed in range(2)], GRADNORM, "alpha")


def test_a_problem_has_a_panel_and_its_suite_where_there_are_several() -> None:
    other = [replace(record, spec=replace(record.spec, problem="wine")) for record in grid()]
    assert [panel.title for panel in panels([*grid(), *other], GRADNORM, "alpha")] == ["digits", "wine"]
    other = [replace(record, spec=replace(record.spec, suite="mixed")) for record in grid()]
    assert [panel.title for panel in panels([*grid(), *other], GRADNORM, "alpha")] == ["mixed/digits", "toy/digits"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store(tmp_path / "results")
    for record in [*grid(), *(evaluated(9.0, 1.0, seed, status="diverged") for seed in range(3))]:
        store.save(record)
    return tmp_path / "results"


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["plot", "sensitivity", *arguments])
    shown = capsys.readouterr()
    return int(str(exit_.value.code)), shown.out, shown.err


def test_the_command_draws_from_records_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, "gradnorm.alpha", "--results", str(folder))
    assert (code, out) == (0, "sensitivity-gradnorm-alpha.png\n"), err
    assert (tmp_path / out.strip()).read_bytes().startswith(b"\x89PNG")
    assert call(capsys, "gradnorm.learning_rate", "--results", str(folder), "--suite", "toy", "--out", "rate.svg")[0] == 0
    text = (tmp_path / "rate.svg").read_text(encoding="utf-8")
    assert all(word in text for word in ("log scale", "alpha 0.5", TEST_DELTA, "n = 3", "default"))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([""], ["METHOD.HYPERPARAMETER", "gradnorm.alpha"]),
        (["alpha"], ["'alpha'", "METHOD.HYPERPARAMETER"]),
        (["gradnrm.alpha"], ["'gradnrm'", "did you mean 'gradnorm'"]),
        (["gradnorm.alfa"], ["'alfa'", "did you mean 'alpha'"]),
        (["mgda.solver"], ["no records of mgda", "--set mgda.solver="]),
        (["single_task.task"], ["single_task.task", "trained alone"]),
        (["gradnorm.alpha", "--steps", "3"], ["--steps", "trains nothing"]),
        (["gradnorm.alpha", "--seeds", "3"], ["--seeds", "trains nothing"]),
        (["gradnorm.alpha", "--set", "gradnorm.alpha=1"], ["--set", "trains nothing"]),
        (["gradnorm.alpha", "--device", "cpu"], ["--device", "trains nothing"]),
        (["gradnorm.alpha", "--data-dir", "."], ["--data-dir", "trains nothing"]),
        (["gradnorm.alpha", "--offline"], ["--offline", "trains nothing"]),
        (["gradnorm.lr"], ["gradnorm.lr", "there is 0.025"]),
        (["gradnorm.alpha", "--problem", "wine"], ["no records of wine", "toy/digits"]),
        (["gradnorm.alpha", "--suite", "mixed"], ["no records of mixed", "toy/digits"]),
        (["gradnorm.alpha", "--out", "x.gif"], ["x.gif", ".png"]),
    ],
    ids=lambda value: "-".join(value) or "nothing",
)
def test_mistakes_are_one_line(
    arguments: list[str],
    parts: list[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *arguments, "--results", str(folder))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert all(part in err for part in parts), err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
