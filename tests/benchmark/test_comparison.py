from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from test_table import run, single

from benchmark.cli import main
from benchmark.comparison import Comparison, compare
from benchmark.errors import UsageError
from benchmark.records import Cost, Point, RunRecord
from benchmark.store import Store
from benchmark.table import build
from benchmark.views.comparison import grid, legend, sentence
from tests.made import make


def study(gap: float = 0.2, seeds: int = 10, noise: float = 0.05, problems: tuple[str, ...] = ("digits", "wine")) -> list[RunRecord]:
    """``x`` has an error that is ``gap`` below that of ``y``, and both some noise of their own; the baseline's error is about 1."""
    generator = random.Random(1)
    records = []
    for problem in problems:
        for seed in range(seeds):
            y = 2.0 + generator.gauss(0, noise)
            records += single(error=1 + generator.gauss(0, noise), seed=seed, problem=problem)
            records += [run("y", y, 0.8, seed=seed, problem=problem)]
            records += [run("x", 2.0 - gap + generator.gauss(0, noise), 0.8, seed=seed, problem=problem)]
    return records


def test_a_comparison_by_hand() -> None:
    """Mean error of the baseline 2: y has 3 and 2, +25 %; x has 2 and 1, -25 %; accuracies are the same and count half."""
    records = [*single(error=1.0, seed=0), *single(error=3.0, seed=1)]
    records += [run("y", 3.0, 0.8, seed=0), run("y", 2.0, 0.8, seed=1), run("x", 2.0, 0.8, seed=0), run("x", 1.0, 0.8, seed=1)]
    found = compare(records, "x", "y")
    assert found.whole.delta_m.value == pytest.approx(-25.0)
    assert (found.whole.wins, found.whole.ties, found.whole.losses, found.whole.pairs) == (2, 0, 0, 2)
    assert (found.whole.seeds, found.whole.p) == (2, 0.5)
    assert found.whole.improvement.value == pytest.approx(0.875)  # 2 < 3, 2 = 2, 1 < 3, 1 < 2
    assert found.problems[0].label == "digits"
    assert found.baseline == "single"
    other = compare(records, "y", "x")
    assert other.whole.delta_m.value == pytest.approx(25.0)
    assert other.whole.losses == 2


def test_the_differences_are_those_of_the_leaderboard() -> None:
    records = study()
    found = compare(records, "x", "y")
    rows = {row.entrant: row for row in build(records).rows}
    assert found.whole.delta_m.value == pytest.approx(rows["x"].delta_m.value - rows["y"].delta_m.value)
    for each in found.problems:
        cells = [rows[name].cells[each.label].delta_m.value for name in ("x", "y")]
        assert each.delta_m.value == pytest.approx(cells[0] - cells[1])


def test_other_entrants_change_nothing() -> None:
    records = study()
    more = [run("z", 9.0, 0.1, seed=seed, problem=problem) for seed in range(14) for problem in ("digits", "wine", "new")]
    assert compare([*records, *more], "x", "y").whole == compare(records, "x", "y").whole


def test_a_clear_difference_in_plain_words() -> None:
    found = compare(study(), "x", "y")
    assert found.whole.p == 2 / 2**10
    assert found.whole.effect < -2
    assert found.whole.improvement.value == 1.0
    low, high = -found.whole.delta_m.high, -found.whole.delta_m.low
    assert sentence(found) == (
        f"x is better than y: its Δm is {-found.whole.delta_m.value:.2f} points lower [{low:.2f}, {high:.2f}], "
        "on 2 of 2 problems, in 20 of 20 pairs; p = 0.002 (n = 10 seeds)."
    )
    assert sentence(compare(study(), "y", "x")).startswith(f"y is worse than x: its Δm is {-found.whole.delta_m.value:.2f} points higher [")


def test_what_cannot_be_told_apart_is_said_with_what_it_would_take() -> None:
    found = compare(study(gap=0.01), "x", "y")
    words = sentence(found)
    assert words.startswith("x and y cannot be told apart: the Δm of x is ")
    assert f"would show a difference of {found.whole.detectable:.2f} points four times out of five" in words
    seeds = math.ceil(10 * (found.whole.detectable / found.whole.delta_m.value) ** 2)
    assert f"it would need about {seeds:,} seeds" in words
    assert seeds > 10


def test_few_seeds_are_told_why_p_is_no_smaller() -> None:
    assert sentence(compare(study(seeds=4), "x", "y")).endswith("p = 0.12 (n = 4 seeds), the least that 4 seeds can give.")


def test_the_test_over_seeds_may_disagree_with_the_interval() -> None:
    found = compare(study(seeds=4), "x", "y")
    doubtful = Comparison(**{**vars(found), "whole": type(found.whole)(**{**vars(found.whole), "p": 0.25})})
    assert sentence(doubtful).endswith("p = 0.25 (n = 4 seeds), so the test over seeds alone does not tell them apart.")


def test_one_seed_is_refused_with_the_reason() -> None:
    found = compare(study(seeds=1), "x", "y")
    assert math.isnan(found.whole.delta_m.low)
    assert math.isnan(found.whole.p)
    words = sentence(found)
    assert "differ cannot be said: one seed on digits, wine gives no interval and no p" in words
    assert "--suite toy --seeds 10" in words


def test_the_same_runs_under_two_names_are_the_same() -> None:
    records = study()
    twins = [
        run("twin", each.test["error"], 0.8, seed=each.spec.seed, problem=each.spec.problem) for each in records if each.spec.entrant == "x"
    ]
    found = compare([*records, *twins], "x", "twin")
    assert sentence(found) == "x and twin are the same in all of 20 pairs."
    assert (found.whole.p, found.whole.effect, found.whole.improvement.value) == (1.0, 0.0, 0.5)


def test_a_failure_counts_as_worse_and_leaves_no_interval() -> None:
    records = [each for each in study() if (each.spec.entrant, each.spec.seed, each.spec.problem) != ("x", 3, "wine")]
    records.append(make(status="diverged", entrant="x", seed=3, problem="wine"))
    found = compare(records, "x", "y")
    assert found.whole.failures == (1, 0)
    assert (found.whole.wins, found.whole.losses) == (19, 1)
    assert math.isnan(found.whole.delta_m.low)
    assert not math.isnan(found.whole.delta_m.value)
    assert [math.isnan(each.delta_m.low) for each in found.problems] == [False, True]
    assert found.whole.p > 2 / 2**10
    assert sentence(found).startswith(
        "x and y have no interval, as runs failed (x 1 and y 0), which count as worse than any that finished: "
        "x wins 19 and loses 1 of 20 pairs; p = "
    )
    assert grid(found).rows[2][5] == "1 and 0"
    assert any(line.startswith("(in parentheses)") for line in legend(found))


def test_seeds_that_one_lacks_are_left_out_with_a_note() -> None:
    records = [each for each in study() if (each.spec.entrant, each.spec.problem) != ("y", "wine") or each.spec.seed < 6]
    found = compare(records, "x", "y")
    assert [each.seeds for each in found.problems] == [10, 6]
    assert (found.whole.seeds, found.whole.pairs) == (6, 16)
    assert found.notes == ["wine: y was not run with seeds 6-9, so x's runs with it are left out"]


def test_p_of_the_problems_is_corrected_for_their_number() -> None:
    found = compare(study(), "x", "y")
    assert [each.adjusted for each in found.problems] == [2 * each.p for each in found.problems]
    assert math.isnan(found.whole.adjusted)


def test_a_difference_in_cost_is_said() -> None:
    def timed(records: list[RunRecord], seconds: dict[str, float]) -> list[RunRecord]:
        costs: dict[str, Any] = {
            name: Cost(train=each, method=0.0, evaluation=0.0, steps=10, backward_passes=10) for name, each in seconds.items()
        }
        return [
            make(each.test, entrant=each.spec.entrant, seed=each.spec.seed, problem=each.spec.problem, cost=costs[each.spec.entrant])
            if each.spec.entrant in costs
            else each
            for each in records
        ]

    slow = compare(timed(study(), {"x": 3.0, "y": 2.0}), "x", "y")
    assert slow.step_time.value == pytest.approx(1.5)
    assert sentence(slow).endswith(" A step of x takes 1.50 times as long as one of y [1.50, 1.50].")
    assert "A step" not in sentence(compare(timed(study(), {"x": 2.0, "y": 2.0}), "x", "y"))
    assert math.isnan(compare(timed(study(), {"x": 2.0}), "x", "y").step_time.value)


def test_without_single_task_training_one_of_the_two_is_the_measure() -> None:
    records = [each for each in study() if each.spec.entrant != "single"]
    with pytest.raises(UsageError, match=r"no records of single-task training .* --baseline y"):
        compare(records, "x", "y")
    found = compare(records, "x", "y", baseline="y")
    assert found.whole.delta_m.high < 0
    assert found.baseline == "y"


def test_an_entrant_may_be_compared_with_the_baseline() -> None:
    found = compare(study(), "x", "single")
    assert found.whole.delta_m.value == pytest.approx({row.entrant: row for row in build(study()).rows}["x"].delta_m.value)
    assert found.whole.wins == 0


@pytest.mark.parametrize(
    ("first", "second", "problem", "message"),
    [
        ("x", "x", "digits", r"^'x' is compared with itself: give two entrants$"),
        ("x", "yy", "digits", r"^no evaluation records of 'yy'; did you mean 'y'\? \(there are: single, x, y\)$"),
        ("x", "y", "wine", r"^x and y have no problem and seed in common that .* finished: x ran digits \(seeds 0-9\); y ran wine"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(first: str, second: str, problem: str, message: str) -> None:
    records = [each for each in study() if each.spec.entrant == "single" or (each.spec.problem == "digits") == (each.spec.entrant == "x")]
    records = study() if problem == "digits" else records
    with pytest.raises(UsageError, match=message):
        compare(records, first, second)


def test_several_protocols_are_refused() -> None:
    with pytest.raises(UsageError, match=r"several protocols cannot be compared"):
        compare([*study(), run("x", 1.0, 0.8, seed=99, protocol=0)], "x", "y")


def written(tmp_path: Path, records: list[RunRecord]) -> str:
    store = Store(tmp_path)
    for record in records:
        store.save(record)
    return str(tmp_path)


def test_the_command_prints_the_sentence_and_the_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_ok("compare", "x", "y", "--results", written(tmp_path, study()))
    shown = capsys.readouterr().out
    assert shown.startswith("toy: x is better than y: its Δm is ")
    assert "all problems" in shown
    assert max(map(len, shown.splitlines())) <= 100
    main_ok("compare", "x", "y", "--results", str(tmp_path), "--format", "json")
    found = json.loads(capsys.readouterr().out)
    assert found["sentence"].startswith("x is better than y")
    assert found["comparison"]["whole"]["wins"] == 20
    assert [each["label"] for each in found["comparison"]["problems"]] == ["digits", "wine"]


def test_text_of_records_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "x(a='[red]\x1b[2J</script>')"
    records = [*study(), *(run(evil, 1.0, 0.8, seed=seed, problem=problem) for seed in range(10) for problem in ("digits", "wine"))]
    main_ok("compare", evil, "y", "--results", written(tmp_path, records))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]\\x1b[2J</script>" in shown.replace("\n", "")
    main_ok("compare", evil, "y", "--results", str(tmp_path), "--format", "json")
    assert "<" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "yy"], "did you mean 'y'?"),
        (["x", "x"], "compared with itself"),
        (["x", "y", "--suite", "toi"], "did you mean 'toy'?"),
        (["x", "y", "--format", "csv"], "expected one of table, json"),
        (["x", "y", "--default", "--budget", "4"], "--budget does not go with this"),
        (["x", "y", "--baseline", "sngle"], "did you mean 'single'?"),
        (["x", "y", "--tuned"], "nothing was tuned"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = written(tmp_path, study(seeds=2))
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments, "--results", results])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert message in error


def test_races_are_shown_and_written_for_a_spreadsheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [
        Point(step=step, train_losses=[], validation_losses=[], weights=[], score=1.0 / step, seconds=float(step)) for step in (50, 100)
    ]
    records = study(seeds=2)
    for seed in range(2):
        record = run("equal", 1.5, 0.8, seed=seed)
        record.curve.extend(points)
        records.append(record)
    main_ok("leaderboard", "--by", "race", "--results", written(tmp_path, records))
    shown = capsys.readouterr().out
    assert "digits: validation score at the same step" in shown
    assert "one device only" in shown
    main_ok("leaderboard", "--by", "race", "--format", "csv", "--results", str(tmp_path))
    assert capsys.readouterr().out.startswith("suite,problem,entrant,measure,at,value,low,high,counted,runs\n")


def main_ok(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0
