from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest

from benchmark.errors import UsageError
from benchmark.provenance import on
from benchmark.records import Cost, MetricInfo, RunRecord
from benchmark.store import Damaged
from benchmark.table import Row, Table, build
from tests.made import METRICS, make


def run(entrant: str, error: float, accuracy: float, **fields: Any) -> RunRecord:
    return make({"error": error, "accuracy": accuracy}, entrant=entrant, **fields)


def single(error: float = 1.0, accuracy: float = 0.8, **fields: Any) -> list[RunRecord]:
    """Single-task training: one record a task, each with the metrics of the task it trained."""
    values = {"error": error}, {"accuracy": accuracy}
    return [make(values[t], entrant="single", trained=[t], hyperparameters={"task": t}, **fields) for t in (0, 1)]


def row(table: Table, entrant: str) -> Row:
    return next(row for row in table.rows if row.entrant == entrant)


def order(table: Table) -> list[tuple[str, int | None]]:
    return [(row.entrant, row.rank) for row in table.rows]


def test_a_table_by_hand() -> None:
    records = [
        *single(seed=0),
        *single(error=3.0, seed=1),  # mean error 2, mean accuracy 0.8
        run("good", 1.0, 0.8, seed=0),
        run("good", 2.0, 0.8, seed=1),  # error 1.5: -25 %; accuracy 0.8: 0 %
        run("bad", 3.0, 0.6, seed=0),
        run("bad", 3.0, 0.6, seed=1),  # error 3: +50 %; accuracy 0.6: +25 %
    ]
    table = build(records)
    assert order(table) == [("single", None), ("good", 1), ("bad", 2)]
    good, bad = row(table, "good"), row(table, "bad")
    assert good.delta_m.value == pytest.approx(-12.5)
    assert bad.delta_m.value == pytest.approx(37.5)
    assert bad.delta_p.value == pytest.approx(-37.5)
    assert (good.mean_rank, bad.mean_rank) == (1.0, 2.0)
    assert good.delta_m.low < -12.5 < good.delta_m.high
    assert (good.finished, good.expected, good.failures) == (2, 2, {})
    assert good.cells["digits"].metrics["error"].value == 1.5
    assert row(table, "single").reference
    assert row(table, "single").delta_m.value == 0.0
    assert row(table, "single").cells["digits"].metrics["error"].value == 2.0
    assert math.isnan(row(table, "single").mean_rank)
    assert table.records == 8
    assert table.notes == []


def test_problems_weigh_the_same() -> None:
    records = single() + single(problem="wine") + [run("m", 2.0, 0.8), run("m", 1.0, 0.4, problem="wine")]
    table = build(records)
    assert row(table, "m").cells["digits"].delta_m.value == pytest.approx(50.0)  # (100 + 0) / 2
    assert row(table, "m").cells["wine"].delta_m.value == pytest.approx(25.0)  # (0 + 50) / 2
    assert row(table, "m").delta_m.value == pytest.approx(37.5)


def test_negative_losses_improve_downwards() -> None:
    loss = {"error": MetricInfo(higher_is_better=False, task="a"), "accuracy": METRICS["accuracy"]}
    table = build([*single(error=-16.0, metrics=loss), run("m", -20.0, 0.8, metrics=loss)])
    assert row(table, "m").delta_m.value == pytest.approx(-12.5)


def test_a_metric_of_the_whole_problem_counts_for_the_rank_alone() -> None:
    metrics = {**METRICS, "front_distance": MetricInfo(higher_is_better=False)}
    near = make({"error": 1.0, "accuracy": 0.8, "front_distance": 0.1}, entrant="near", metrics=metrics)
    far = make({"error": 1.0, "accuracy": 0.8, "front_distance": 0.2}, entrant="far", metrics=metrics)
    table = build([*single(metrics=metrics), near, far])
    assert row(table, "near").delta_m.value == row(table, "far").delta_m.value == 0.0
    assert row(table, "near").mean_rank == pytest.approx((1.5 + 1.5 + 1) / 3)
    assert order(table) == [("single", None), ("near", 1), ("far", 2)]


def test_a_metric_of_a_task_that_is_not_compared_is_shown_and_counts_for_nothing() -> None:
    metrics = {**METRICS, "loss": MetricInfo(higher_is_better=False, task="a", compared=False)}
    values = {"error": 1.0, "loss": 0.0}, {"accuracy": 0.8}
    alone = [make(values[t], entrant="single", trained=[t], hyperparameters={"task": t}, metrics=metrics) for t in (0, 1)]
    table = build([*alone, make({"error": 2.0, "accuracy": 0.8, "loss": 5.0}, entrant="m", metrics=metrics)])
    assert row(table, "m").delta_m.value == pytest.approx(50.0)  # (100 + 0) / 2
    assert row(table, "m").cells["digits"].metrics["loss"].value == 5.0
    assert not any("has 0 for" in note for note in table.notes)  # a baseline of 0 does not matter where nothing is relative to it
    lower = make({"error": 2.0, "accuracy": 0.8, "loss": 4.0}, entrant="lower", metrics=metrics)
    both = build([*alone, make({"error": 2.0, "accuracy": 0.8, "loss": 5.0}, entrant="m", metrics=metrics), lower])
    assert row(both, "m").mean_rank == row(both, "lower").mean_rank == 1.5


def test_equal_rows_share_a_rank_and_are_not_told_apart() -> None:
    generator = random.Random(0)
    records = []
    for seed in range(5):
        error = generator.uniform(0.8, 1.0)
        records += [*single(error=generator.uniform(0.9, 1.1), seed=seed), run("x", error, 0.8, seed=seed), run("y", error, 0.8, seed=seed)]
        records += [run("worse", error + 1, 0.5, seed=seed)]
    table = build(records)
    assert order(table) == [("single", None), ("x", 1), ("y", 1), ("worse", 3)]
    assert row(table, "y").like_best is True
    assert row(table, "worse").like_best is False


def test_one_seed_gives_no_interval_and_no_verdict() -> None:
    table = build([*single(), run("x", 0.9, 0.8), run("y", 0.95, 0.8)])
    assert math.isnan(row(table, "x").delta_m.low)
    assert row(table, "y").like_best is None


@pytest.mark.parametrize("status", ["diverged", "oom", "timeout", "error"])
def test_a_failure_is_a_row_ranks_last_and_never_improves_a_method(status: str) -> None:
    records = []
    for seed in range(3):
        records += [*single(seed=seed), run("poor", 5.0, 0.1, seed=seed)]
        records += [run("star", 0.1, 0.9, seed=seed) if seed else make(entrant="star", status=status, seed=seed)]
        records += [make(entrant="wreck", status=status, seed=seed)]
    table = build(records)
    assert order(table) == [("single", None), ("poor", 1), ("star", 2), ("wreck", 3)]
    star, wreck = row(table, "star"), row(table, "wreck")
    assert star.failures == {status: 1}
    assert not star.complete
    assert star.delta_m.value == pytest.approx((-90 - 12.5) / 2)  # shown, but ranked below
    assert math.isnan(star.delta_m.low)
    assert star.like_best is None
    assert wreck.failures == {status: 3}
    assert math.isnan(wreck.delta_m.value)
    assert star.mean_rank == wreck.mean_rank == 2.5


def test_a_run_that_lacks_a_metric_failed() -> None:
    table = build([*single(), run("whole", 9.0, 0.1), make({"error": 0.1}, entrant="half")])
    assert order(table) == [("single", None), ("whole", 1), ("half", 2)]
    assert row(table, "half").failures == {"no metrics": 1}


def test_a_degraded_run_counts() -> None:
    table = build([*single(), make({"error": 1.0, "accuracy": 0.8}, entrant="m", status="degraded")])
    assert row(table, "m").complete


def test_missing_runs_are_marked_and_never_averaged_away() -> None:
    records = [record for seed in range(3) for record in single(seed=seed)]
    records += [run("all", 2.0, 0.5, seed=seed) for seed in range(3)]
    records += [run("some", 0.5, 0.9, seed=1)]
    table = build(records)
    assert order(table) == [("single", None), ("all", 1), ("some", 2)]
    assert (row(table, "some").finished, row(table, "some").expected, row(table, "some").failures) == (1, 3, {})
    assert "digits: some was not run with seeds 0, 2" in table.notes


def test_an_entrant_that_skipped_a_problem_is_incomplete() -> None:
    table = build([*single(), *single(problem="wine"), run("all", 2.0, 0.5), run("all", 2.0, 0.5, problem="wine"), run("half", 0.5, 0.9)])
    assert order(table) == [("single", None), ("all", 1), ("half", 2)]
    assert row(table, "half").cells["wine"].seeds == 0
    assert row(table, "half").mean_rank == 1.5


def test_without_a_baseline_rows_go_by_mean_rank_and_the_note_says_how_to_get_one() -> None:
    table = build([run("x", 2.0, 0.9), run("y", 1.0, 0.95)])
    assert order(table) == [("y", 1), ("x", 2)]
    assert math.isnan(row(table, "y").delta_m.value)
    assert not table.problems[0].baseline
    assert len(table.notes) == 1
    assert "python -m benchmark run --suite toy --methods single_task" in table.notes[0]


def test_a_baseline_that_lacks_a_task_says_which() -> None:
    table = build([single()[0], run("x", 2.0, 0.9)])
    assert math.isnan(row(table, "x").delta_m.value)
    assert "lacks task b with seed 0, so Δm is n/a" in table.notes[0]


def test_what_failed_is_made_again_by_a_command_that_runs_failures_again() -> None:
    broken = [single()[0], make(entrant="single", status="oom", trained=[1], hyperparameters={"task": 1})]
    table = build([*broken, run("x", 2.0, 0.9)])
    assert table.notes[0].endswith("run `python -m benchmark run --suite toy --methods single --retry failed`")
    table = build([*single(), run("x", 2.0, 0.9), make(entrant="equal", status="oom")])
    assert "nobody's wins are counted, as equal lacks runs; make them: python -m benchmark run --suite toy --retry failed" in table.notes
    half = [*single(), *single(problem="wine"), run("x", 2.0, 0.9), run("x", 2.0, 0.9, problem="wine"), run("equal", 2.0, 0.9)]
    assert "nobody's wins are counted, as equal lacks runs; make them: python -m benchmark run --suite toy" in build(half).notes


def test_seeds_without_a_baseline_are_not_compared() -> None:
    broken = [single(seed=1)[0], make(entrant="single", status="oom", trained=[1], hyperparameters={"task": 1}, seed=1)]
    records = [*single(seed=0), *broken, run("x", 2.0, 0.8, seed=0), run("x", 100.0, 0.8, seed=1), run("y", 1.0, 0.8, seed=0)]
    table = build([*records, make(entrant="y", status="oom", seed=1)])
    assert table.problems[0].seeds == [0]
    assert row(table, "x").delta_m.value == pytest.approx(50.0)
    assert "task b with seed 1, so those seeds are not compared" in table.notes[0]
    assert row(table, "single").failures == {"oom": 1}
    assert order(table) == [("single", None), ("x", 1), ("y", 2)]  # y's failure counts on a seed that is not compared, too


def test_single_task_failures_without_tasks_are_counted_one_by_one() -> None:
    early = [make(entrant="single", status="error", tasks=[], trained=[], hyperparameters={"task": t}, seed=1) for t in (0, 1)]
    table = build([*single(seed=0), *early, run("x", 1.0, 0.8, seed=0)])
    assert row(table, "single").failures == {"error": 2}


def test_a_metric_whose_baseline_is_zero_is_left_out_aloud() -> None:
    table = build([*single(error=0.0), run("x", 2.0, 0.4)])
    assert row(table, "x").delta_m.value == pytest.approx(50.0)
    assert any("has 0 for error" in note for note in table.notes)


def test_settings_are_never_mixed() -> None:
    records = [record for seed in range(3) for record in [*single(seed=seed), run("x", 2.0, 0.8, seed=seed)]]
    long = [run("x", 0.1, 0.8, seed=seed, steps=900) for seed in range(3)] + [run("late", 0.1, 0.8, seed=0, steps=900)]
    table = build(records + long)
    assert row(table, "x").delta_m.value == pytest.approx(50.0)
    assert row(table, "late").finished == 0  # a row all the same
    assert any("4 records of late, x left out: not of the most frequent setting (steps=100)" in note for note in table.notes)


def test_several_protocols_are_refused_with_what_differs() -> None:
    old = [record for seed in range(5) for record in [*single(seed=seed), run("x", 9.0, 0.8, seed=seed)]]
    new = [*single(seed=0, protocol=7), run("x", 2.0, 0.8, seed=0, protocol=7)]
    with pytest.raises(UsageError, match=r"15 of protocol 1 \(suite toy\) and 3 of protocol 7 \(suite toy\); .* --protocol 7"):
        build(old + new)
    assert row(build(new), "x").delta_m.value == pytest.approx(50.0)
    tuned = make(role="tune", entrant="x", trial=4, protocol=3)  # takes no part in the table
    assert build([*new, tuned]).records == 3


def test_the_newest_problem_wins() -> None:
    old = [record for seed in range(5) for record in [*single(seed=seed), run("x", 9.0, 0.8, seed=seed)]]
    new = [*single(seed=0, problem_version=7), run("x", 2.0, 0.8, seed=0, problem_version=7)]
    table = build(old + new)
    assert row(table, "x").delta_m.value == pytest.approx(50.0)
    assert any("15 records of single, x left out" in note for note in table.notes)


def test_the_newest_version_of_a_method_wins() -> None:
    table = build([*single(), run("x", 9.0, 0.8), run("x", 2.0, 0.8, method_version=2), run("y", 3.0, 0.8)])
    assert row(table, "x").delta_m.value == pytest.approx(50.0)
    assert any("1 records of x left out: of an older version" in note for note in table.notes)
    assert row(table, "y").complete


def test_the_newest_release_of_an_adapted_object_wins() -> None:
    releases = {"torchjd 0.9.0": 9.0, "torchjd 0.18.0": 2.0, "torchjd 0.10.0": 5.0}
    table = build([*single(), *(run("torchjd:X", error, 0.8, release=release) for release, error in releases.items())])
    assert row(table, "torchjd:X").delta_m.value == pytest.approx(50.0)
    assert any("2 records of torchjd:X left out: of an older version" in note for note in table.notes)


def test_of_doubled_records_the_finished_one_is_shown_with_a_note() -> None:
    table = build([*single(), make(entrant="x", status="oom", trial=1), run("x", 2.0, 0.8, trial=2)])
    assert row(table, "x").delta_m.value == pytest.approx(50.0)
    assert any("x has several records for seed 0" in note for note in table.notes)
    assert build([run("x", 1.0, 0.5)] * 3).records == 1


def test_mixed_hyperparameters_are_mentioned() -> None:
    records = [*single(seed=0), *single(seed=1), run("x", 1.0, 0.8, seed=0), run("x", 1.0, 0.8, seed=1, learning_rate=0.1)]
    assert any("x were run with different hyperparameters" in note for note in build(records).notes)


def test_only_evaluation_records_of_the_suite_count() -> None:
    tuned = make(role="tune", entrant="x", trial=4)
    table = build([*single(), run("x", 2.0, 0.8), run("elsewhere", 1.0, 0.8, suite="other"), tuned], suite="toy")
    assert order(table) == [("single", None), ("x", 1)]
    assert [problem.label for problem in table.problems] == ["digits"]
    both = build([*single(), run("x", 2.0, 0.8), run("x", 1.0, 0.8, suite="other")])
    assert [problem.label for problem in both.problems] == ["other/digits", "toy/digits"]


def test_the_order_of_records_does_not_matter() -> None:
    generator = random.Random(1)
    records = []
    for problem in ("digits", "wine"):
        for seed in range(3):
            records += single(generator.uniform(1, 2), 0.8, seed=seed, problem=problem)
            records += [run(name, generator.uniform(1, 2), 0.7, seed=seed, problem=problem) for name in "xyz"]
    records += [make(entrant="z", status="oom", seed=7), run("x", 1.0, 0.7, seed=0, steps=5), run("y", 1.0, 0.7, seed=0, trial=3)]
    table = build(records)
    for _ in range(5):
        generator.shuffle(records)
        assert repr(build(records)) == repr(table)  # repr, as nan differs from itself


def test_the_same_table_twice_and_another_seed_of_the_bootstrap() -> None:
    records = [r for seed in range(4) for r in [*single(1 + seed / 10, seed=seed), run("x", 1 + seed / 7, 0.8, seed=seed)]]
    first, again, other = build(records), build(records), build(records, seed=1)
    assert repr(first) == repr(again)
    assert row(first, "x").delta_m.value == row(other, "x").delta_m.value
    assert row(first, "x").delta_m.low != row(other, "x").delta_m.low


def cost(step: float, passes: int = 1, memory: int | None = None) -> Cost:
    return Cost(train=step * 60, method=step * 40, evaluation=99.0, steps=100, backward_passes=passes * 100, peak_memory=memory)


def test_costs_are_those_over_equal_weights() -> None:
    slow, fast, equal = (run(name, 1.0, 0.8, cost=cost(*of)) for name, of in {"slow": (0.03, 2), "fast": (0.01,), "equal": (0.02,)}.items())
    table = build([*single(cost=cost(0.01)), slow, fast, equal])
    assert table.cost_of == "equal"
    assert [row(table, name).cost for name in ("equal", "fast", "slow")] == [1.0, pytest.approx(0.5), pytest.approx(1.5)]
    assert row(table, "slow").passes == 2.0
    assert row(table, "single").cost == pytest.approx(1.0)  # both tasks


def test_without_equal_weights_costs_are_those_over_the_cheapest() -> None:
    timed = [run("slow", 1.0, 0.8, cost=cost(0.03)), run("fast", 1.0, 0.8, cost=cost(0.01))]
    for untimed in ([], [run("equal", 1.0, 0.8)]):
        table = build([*single(cost=cost(0.001)), *timed, *untimed])
        assert table.cost_of is None
        assert row(table, "slow").cost == pytest.approx(3.0)
        assert row(table, "fast").cost == pytest.approx(1.0)
        assert row(table, "single").cost == pytest.approx(0.2)  # of both tasks, and never the cheapest
    assert math.isnan(row(build([run("x", 1.0, 0.8)]), "x").cost)


def test_memory_is_that_of_the_hungriest_problem_where_one_run_in_the_middle_decides() -> None:
    sizes = {"digits": (100, 300, 900), "wine": (400, 500, 450)}
    records = [run("x", 1.0, 0.8, problem=name, seed=s, cost=cost(0.1, 1, size)) for name, of in sizes.items() for s, size in enumerate(of)]
    assert row(build(records), "x").memory == 450.0
    assert math.isnan(row(build([run("x", 1.0, 0.8, cost=cost(0.1))]), "x").memory)


def study(*entrants: str, seeds: int = 6, problems: tuple[str, ...] = ("digits", "wine")) -> list[RunRecord]:
    """Every entrant worse by 0.2 of the baseline's error than the one before, with noise that all of a seed share, and some of its own."""
    generator = random.Random(0)
    records = []
    for problem in problems:
        for seed in range(seeds):
            shared = generator.gauss(0.0, 0.02)
            records += single(error=1.0 + shared, problem=problem, seed=seed)
            for place, entrant in enumerate(entrants):
                error = 0.6 + 0.2 * place + shared + generator.gauss(0.0, 0.01)
                records.append(run(entrant, error, 0.8, problem=problem, seed=seed))
    return records


@pytest.mark.slow
def test_twenty_thousand_records_are_a_table_in_seconds() -> None:
    records = study(*(f"m{index}" for index in range(48)), "equal", seeds=10, problems=tuple(f"p{index}" for index in range(40)))
    assert len(records) > 20_000
    before = time.process_time()
    assert len(build(records).rows) == 50
    assert time.process_time() - before < 15  # 3 s on an idle machine


def test_wins_are_pairs_of_problem_and_seed_against_equal_weights() -> None:
    table = build(study("x", "equal", "y"))
    x, y = row(table, "x").wins, row(table, "y").wins
    assert (table.equal, row(table, "equal").wins, row(table, "single").wins) == ("equal", None, None)
    assert x is not None
    assert y is not None
    assert (x.wins, x.ties, x.losses, x.pairs) == (12, 0, 0, 12)
    assert (y.wins, y.losses) == (0, 12)
    assert x.p == y.p == pytest.approx(2 * 2 / 2**6)  # the smallest of six seeds, twice


def test_equal_weights_are_found_by_what_the_card_says_and_without_a_pin_first() -> None:
    pinned = [run("equal(learning_rate=0.1)", 1.0, 0.8, learning_rate=0.1), run("rlw", 1.0, 0.8), run("mine", 1.0, 0.8)]
    assert build([*single(), *pinned]).equal == "equal(learning_rate=0.1)"
    assert build([*single(), *pinned, run("equal", 1.0, 0.8)]).equal == "equal"
    assert build([*single(), *pinned[1:]]).equal is None


def test_the_middle_half_of_all_runs() -> None:
    records = [
        *(r for s in range(8) for r in single(seed=s)),
        *(run("x", 1.0 + e, 0.8, seed=s) for s, e in enumerate([9, 1, 2, 3, 4, 5, -9, 0])),
    ]
    table = build(records)
    assert row(table, "x").iqm.value == pytest.approx(100 * (1 + 2 + 3 + 4) / 4 / 2)  # accuracy does not change
    assert row(table, "x").iqm.low < row(table, "x").iqm.value < row(table, "x").iqm.high


def test_groups_are_letters_from_the_best_down() -> None:
    table = build(study("x", "x2", "equal", "y"))
    assert [each.group for each in table.rows] == ["", "a", "b", "c", "d"]
    assert [each.like_best for each in table.rows] == [None, True, False, False, False]
    same = study("x", "equal")
    same += [
        run("copy", r.test["error"], r.test["accuracy"], seed=r.spec.seed, problem=r.spec.problem) for r in same if r.spec.entrant == "x"
    ]
    again = build(same)
    assert {each.entrant: each.group for each in again.rows} == {"single": "", "x": "a", "copy": "a", "equal": "b"}
    assert set(row(again, "x").letters) & set(row(again, "copy").letters)
    assert not set(row(again, "x").letters) & set(row(again, "equal").letters)


def test_a_row_that_lacks_runs_has_no_letter_no_middle_and_no_wins() -> None:
    records = study("x", "equal", "y")
    lacking = [r for r in records if not (r.spec.entrant == "x" and (r.spec.problem, r.spec.seed) == ("wine", 3))]
    x = row(build(lacking), "x")
    assert (x.group, x.letters, x.like_best, x.wins) == ("", "", None, None)
    assert math.isnan(x.iqm.value)
    y = row(build(lacking), "y").wins
    assert y is not None
    assert y.p == pytest.approx(2 / 2**6)  # one row fewer in Holm's family


def test_where_equal_weights_lack_runs_nobody_wins_over_them() -> None:
    lacking = [r for r in study("x", "equal") if not (r.spec.entrant == "equal" and r.spec.seed == 3)]
    table = build(lacking)
    assert row(table, "x").wins is None
    assert any("nobody's wins are counted, as equal lacks runs" in note for note in table.notes)


def test_one_seed_is_refused_intervals_letters_and_p_with_the_reason() -> None:
    table = build(study("x", "equal", seeds=1))
    x = row(table, "x")
    assert all(math.isnan(bound) for bound in (x.delta_m.low, x.delta_p.low, x.iqm.low))
    assert x.group == ""
    assert x.wins is not None
    assert (x.wins.wins, x.wins.pairs) == (2, 2)
    assert math.isnan(x.wins.p)
    (note,) = [note for note in table.notes if note.startswith("one seed")]
    assert "one seed on digits, wine: no interval, letter or p is given" in note
    assert "python -m benchmark run --suite toy --seeds 10" in note
    assert not any("one seed" in note for note in build(study("x", "equal", seeds=2)).notes)


def test_one_method_alone_is_said() -> None:
    table = build(study("x"))
    assert row(table, "x").rank == 1
    assert row(table, "x").group == "a"
    assert any(note.startswith("one method only, x") for note in table.notes)
    assert any(note.startswith("nothing is ranked") for note in build(single()).notes)


def test_another_baseline_is_the_reference_and_the_differences_are_against_it() -> None:
    records = study("x", "equal", "y")
    table = build(records, baseline="equal")
    assert order(table) == [("equal", None), ("single", None), ("x", 1), ("y", 2)]
    assert row(table, "equal").reference
    assert not row(table, "single").reference
    assert row(table, "equal").delta_m.value == 0.0
    assert (table.baseline, table.chosen_baseline) == ("equal", True)
    errors = {name: [r.test["error"] for r in records if r.spec.entrant == name and r.spec.problem == "digits"] for name in ("x", "equal")}
    change = 100 * (sum(errors["x"]) - sum(errors["equal"])) / sum(errors["equal"])
    assert row(table, "x").cells["digits"].delta_m.value == pytest.approx(change / 2)  # accuracy does not change
    assert row(table, "x").mean_rank == row(build(records), "x").mean_rank
    with pytest.raises(UsageError, match="--baseline 'eqaul' has no evaluation records in suite toy; did you mean 'equal'"):
        build(records, baseline="eqaul")


def test_seeds_that_another_baseline_lacks_are_not_compared_and_it_is_named() -> None:
    lacking = [r for r in study("x", "equal") if not (r.spec.entrant == "equal" and r.spec.seed == 3)]
    table = build(lacking, baseline="equal")
    assert table.problems[0].seeds == [0, 1, 2, 4, 5]
    assert any("equal lacks" in note and "seed 3" in note and "--methods equal" in note for note in table.notes)


def test_a_row_says_where_its_records_were_made() -> None:
    here, there = ({"lossbench": version, "torch": "2.13.0", "device": "cpu"} for version in ("0.1.0", "0.2.0"))
    table = build([run("x", 1.0, 0.8, seed=0, environment=here), run("x", 1.0, 0.8, seed=1, environment=there), run("y", 1.0, 0.8)])
    assert row(table, "x").provenance.place == "LossBench mixed, torch 2.13.0, cpu"
    assert row(table, "y").provenance.place == "unknown"
    assert row(table, "x").provenance.status == "self-reported"


def test_a_verdict_on_the_records_is_the_status_of_the_row() -> None:
    records = [run("x", 1.0, 0.8, seed=seed) for seed in range(3)]
    good, bad = ({record.id: [on(record, word)] for record in records} for word in ("verified", "failed"))
    first, second, _ = good
    assert row(build(records, verdicts={first: good[first]}), "x").provenance.status == "verified 1/3"
    assert row(build(records, verdicts=good), "x").provenance.status == "verified"
    assert row(build(records, verdicts=good | {second: bad[second]}), "x").provenance.status == "failed 1/3"
    edited = [run("x", 1.5, 0.8, seed=seed) for seed in range(3)]
    assert row(build(edited, verdicts=good), "x").provenance.status == "self-reported"


def test_costs_of_different_devices_are_mentioned() -> None:
    records = [run("x", 1.0, 0.8, environment={"device": "cpu"}), run("y", 1.0, 0.8, environment={"device": "cuda"})]
    assert any("different devices: cpu, cuda" in note for note in build(records).notes)


def test_no_records_are_an_empty_table() -> None:
    table = build([], damaged=[Damaged("a.json", "empty")])
    assert table.rows == []
    assert table.damaged == [Damaged("a.json", "empty")]


def test_nothing_but_failures_is_still_a_table() -> None:
    table = build([make(entrant="x", status="error", tasks=[], trained=[], metrics={}), make(entrant="y", status="oom", metrics={})])
    assert [(row.entrant, row.rank, row.failures) for row in table.rows] == [("x", 1, {"error": 1}), ("y", 1, {"oom": 1})]


def test_nothing_but_the_baseline_is_a_table() -> None:
    table = build(single())
    assert order(table) == [("single", None)]


def test_of_two_single_task_entrants_the_fuller_one_is_the_baseline() -> None:
    other = [make({"error": 1.0}, entrant="single(lr)", trained=[0], hyperparameters={"task": 0})]
    table = build([*single(), *other, run("x", 2.0, 0.8)])
    assert row(table, "single").reference
    assert not row(table, "single(lr)").reference
    assert any("the baseline is single" in note for note in table.notes)
