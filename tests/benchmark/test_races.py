"""Races over curves made by hand: (step, seconds, score) a point."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats

from benchmark.errors import UsageError
from benchmark.races import Arrival, Chase, arrivals, at_steps, at_time, time_to
from benchmark.records import Point, Selection
from benchmark.runs import Group, Problem, runs_of
from benchmark.sheet import Run
from benchmark.views.races import grids, lines, notes
from tests.made import make

INF, NAN = math.inf, math.nan
Curve = Sequence[tuple[int, float, float | None]]


def run(curve: Curve, selection: Selection = "best", done: bool = True) -> Run:
    points = [
        Point(step=step, train_losses=[], validation_losses=[], weights=[], score=score, seconds=seconds) for step, seconds, score in curve
    ]
    return Run(done=done, failures=[] if done else ["diverged"], curve=points, selection=selection)


def group(runs: dict[str, dict[int, Run]], label: str = "digits") -> Group:
    seeds = sorted({seed for of in runs.values() for seed in of})
    return Group(Problem(label, "toy", label, ["a", "b"], {}, seeds, True), runs)


EQUAL = {0: run([(10, 1.0, 0.9), (20, 2.0, 0.5), (40, 4.0, 0.6)]), 1: run([(10, 1.0, 0.8), (20, 2.0, 0.7), (40, 8.0, 0.4)])}
FAST = {0: run([(10, 3.0, 0.5), (20, 6.0, 0.45), (40, 12.0, 0.4)]), 1: run([(10, 3.0, 0.6), (20, 6.0, 0.41), (40, 12.0, None)])}


def test_at_equal_steps_the_best_so_far_counts() -> None:
    race = at_steps(group({"fast": FAST, "equal": EQUAL}))
    assert race.entrants == ["equal", "fast"]
    assert race.columns == ["step 10", "step 20", "step 40"]  # of the quarters 10, 20, 30 and 40, 30 was not evaluated
    np.testing.assert_array_equal(race.scores[0], [[0.9, 0.5, 0.5], [0.8, 0.7, 0.4]])
    np.testing.assert_array_equal(race.scores[1], [[0.5, 0.45, 0.4], [0.6, 0.41, 0.41]])


def test_under_selection_last_the_last_evaluation_counts() -> None:
    last = {0: run([(10, 1.0, 0.2), (20, 2.0, 0.5), (40, 4.0, None)], "last")}
    np.testing.assert_array_equal(at_steps(group({"equal": last}), [10, 39, 40]).scores[0], [[0.2, 0.5, INF]])


def test_before_the_first_evaluation_after_a_failure_and_without_a_run_there_is_no_score() -> None:
    runs = {"equal": EQUAL, "failed": {0: run([(10, 1.0, 0.1)], done=False)}}
    np.testing.assert_array_equal(at_steps(group(runs), [5, 10]).scores, [[[INF, 0.9], [INF, 0.8]], [[INF, INF], [NAN, NAN]]])


def test_at_equal_time_the_last_evaluation_in_time_counts() -> None:
    """Equal weights took 4 s with seed 0 and 8 s with seed 1."""
    race = at_time(group({"fast": FAST, "equal": EQUAL}))
    np.testing.assert_array_equal(race.scores[..., 0], [[0.5, 0.4], [0.5, 0.41]])
    slow = at_time(group({"slow": {0: run([(10, 5.0, 0.1)]), 1: run([(10, 5.0, 0.1)])}, "equal": EQUAL}))
    np.testing.assert_array_equal(slow.scores[1, :, 0], [INF, 0.1])


def test_a_seed_that_the_reference_did_not_finish_has_no_time() -> None:
    race = at_time(group({"fast": FAST, "equal": {0: EQUAL[0], 1: run([(10, 1.0, 0.9)], done=False)}}))
    np.testing.assert_array_equal(race.scores[1, :, 0], [0.5, NAN])


def test_time_to_the_final_score_of_equal_weights() -> None:
    never = {0: run([(10, 1.0, 0.9)]), 1: run([(10, 1.0, 0.4)])}
    chase = time_to(group({"fast": FAST, "equal": EQUAL, "never": never}))
    np.testing.assert_array_equal(chase.target, [0.5, 0.4])
    np.testing.assert_array_equal(chase.seconds, [[2.0, 8.0], [3.0, INF], [INF, 1.0]])
    np.testing.assert_array_equal(chase.steps, [[20, 40], [10, INF], [INF, 10]])
    np.testing.assert_array_equal(chase.ratios("seconds"), [[1.0, 1.0], [1.5, INF], [INF, 0.125]])
    np.testing.assert_array_equal(chase.ratios("steps"), [[1.0, 1.0], [0.5, INF], [INF, 0.25]])


def test_under_selection_last_the_target_is_the_last_score() -> None:
    last = {0: run([(10, 1.0, 0.2), (20, 2.0, 0.5)], "last")}
    chase = time_to(group({"equal": last, "other": {0: run([(10, 1.0, 0.6), (20, 2.0, 0.49)], "last")}}))
    assert chase.target.tolist() == [0.5]
    assert chase.steps.tolist() == [[10.0], [20.0]]


def chase(ratios: Sequence[float], problem: str = "digits") -> Chase:
    spent = np.array([np.full(len(ratios), 2.0), 2.0 * np.array(ratios)])
    return Chase(problem, "equal", ["equal", "x"], np.ones(len(ratios)), spent, spent)


def test_a_run_that_never_arrives_is_counted_and_not_dropped() -> None:
    found = arrivals([chase([0.5, 0.6, 0.7, 0.8, 0.9, INF, INF])], "seconds")["x"]
    assert (found.ratio, found.arrived, found.runs) == (0.8, 5, 7)
    assert found.low < 0.8 < found.high == INF
    assert arrivals([chase([0.5, INF, INF])], "seconds")["x"].ratio == INF
    assert arrivals([chase([1.0] * 7)], "seconds")["equal"] == Arrival(1.0, 1.0, 1.0, 7, 7)


def test_the_interval_of_a_median_is_that_of_the_sign_test() -> None:
    """Of ten runs, one at either end: 11 / 1024 of the signs are beyond each; of six, none."""
    ten = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, INF]
    found = arrivals([chase(ten)], "steps")["x"]
    assert (found.low, found.ratio, found.high) == (0.2, 0.55, 0.9)
    assert arrivals([chase(ten[:6])], "steps")["x"].high == 0.6
    exact = scipy.stats.quantile_test(np.arange(1.0, 34.0)).confidence_interval()
    found = arrivals([chase(np.arange(1.0, 34.0).tolist())], "steps")["x"]
    assert (found.low, found.high) == (exact.low, exact.high)


def test_the_interval_of_a_median_needs_six_runs_and_two_seeds_a_problem() -> None:
    five, six = [0.1, 0.2, 0.3, 0.4, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert math.isnan(arrivals([chase(five)], "steps")["x"].low)
    assert not math.isnan(arrivals([chase(five), chase(five[:2], "wine")], "steps")["x"].low)
    assert math.isnan(arrivals([chase(six), chase(five[:1], "wine")], "steps")["x"].low)


def test_an_entrant_that_lacks_a_run_has_no_interval() -> None:
    lacking = arrivals([chase([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, NAN])], "seconds")
    assert (lacking["x"].ratio, lacking["x"].runs) == (pytest.approx(0.35), 6)
    assert math.isnan(lacking["x"].low)
    elsewhere = Chase("wine", "equal", ["equal"], np.ones(2), np.ones((1, 2)), np.ones((1, 2)))
    assert math.isnan(arrivals([chase([0.5] * 7), elsewhere], "seconds")["x"].low)


@pytest.mark.parametrize(("problems", "seeds"), [(1, 6), (1, 7), (1, 10), (4, 3)])
def test_the_interval_of_a_median_holds_it_as_often_as_it_says(problems: int, seeds: int) -> None:
    """600 times log-normal runs, whose median is 1: at least 95 % less four standard errors."""
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(600):
        chases = [chase(np.exp(generator.standard_normal(seeds)).tolist(), str(problem)) for problem in range(problems)]
        found = arrivals(chases, "seconds")["x"]
        hits += found.low <= 1.0 <= found.high
    assert hits / 600 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 600)


def test_single_task_training_does_not_race() -> None:
    point = Point(step=1, train_losses=[], validation_losses=[], weights=[], score=0.5, seconds=1.0)
    alone = [make({name: 1.0}, entrant="single", trained=[t], hyperparameters={"task": t}) for t, name in enumerate(("error", "accuracy"))]
    whole = [make({"error": 1.0, "accuracy": 0.5}, entrant="equal")]
    for record in [*alone, *whole]:
        record.curve.append(point)
    runs, _, _ = runs_of("digits", [*whole, *alone], {"single"})
    assert list(runs["equal"][0].curve) == [point]
    assert not runs["single"][0].curve
    assert at_steps(group(runs)).entrants == ["equal"]


def test_grids_show_means_with_intervals_and_mark_what_is_not_comparable() -> None:
    failed = {0: FAST[0], 1: run([(10, 1.0, 0.1)], done=False)}
    steps, times, seconds, _ = grids([group({"fast": FAST, "equal": EQUAL, "part": failed})])
    assert [row[0] for row in steps.rows] == ["equal", "fast", "part"]
    assert steps.marks == ["reference", "", ""]
    assert steps.rows[0][3] == "0.4500 [-0.1853, 1.085]"  # 0.45 ± 12.71 * 0.0707 / sqrt(2)
    assert steps.rows[2][1] == "(0.5000, 1/2)"
    assert times.header == ["method", "digits"]
    assert seconds.rows[1][1] == "never 1/2"
    assert seconds.rows[0][1] == "1.00x 2/2"


def test_grids_of_several_problems_sum_up_over_all() -> None:
    found = grids([group({"fast": FAST, "equal": EQUAL}), group({"equal": EQUAL}, "wine")])
    assert [grid.header[1:] for grid in found[-2:]] == [["all problems", "digits", "wine"]] * 2
    assert found[-1].rows[0][1] == "1.00x 4/4"
    assert found[-1].rows[1][3] == "n/a"


def test_a_reference_that_did_not_run_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^no finished run of 'equa' to race against on digits.*equal.*there are: equal, fast"):
        grids([group({"fast": FAST, "equal": EQUAL})], "equa")
    with pytest.raises(UsageError, match="there are no curves"):
        grids([])
    with pytest.raises(UsageError, match="no finished run of 'slow'"):
        time_to(group({"equal": EQUAL}), "slow")


def test_lines_carry_every_number_of_the_grids() -> None:
    found = list(lines([group({"fast": FAST, "equal": EQUAL})]))
    assert len(found) == 2 * 3 + 2 + 2 * 2
    assert all(line.keys() == found[0].keys() for line in found)
    assert found[3] == {
        "suite": "toy",
        "problem": "digits",
        "entrant": "fast",
        "measure": "validation score",
        "at": "step 10",
        "value": pytest.approx(0.55),
        "low": pytest.approx(0.55 - 0.05 * 12.7062, rel=1e-4),
        "high": pytest.approx(0.55 + 0.05 * 12.7062, rel=1e-4),
        "counted": 2,
        "runs": 2,
    }
    assert (found[-1]["measure"], found[-1]["value"], found[-1]["counted"]) == ("median ratio of steps", INF, 1)


def test_notes_say_where_there_is_no_race_by_time() -> None:
    told = notes([group({"fast": FAST}), group({"equal": EQUAL}, "wine")])
    assert told[-1] == "Note: digits: equal finished no run, so there are no races by time."
    assert any("one device only" in line and "share the times" in line for line in told)
