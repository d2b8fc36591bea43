"""How the time is cut into rungs, and what is said of the last one: by hand-made costs and records."""

from __future__ import annotations

import math

import msgspec
import pytest

from benchmark.advice import rungs
from benchmark.advice.rungs import Cost as Price
from benchmark.advice.verdict import judge
from benchmark.errors import UsageError
from benchmark.records import Cost, MetricInfo, RunRecord
from tests.made import make


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 m ", 120)])
def test_times_are_read_with_their_units(text: str, seconds: float) -> None:
    assert rungs.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["10", "m", "-5m", "0s", "ten minutes", "5d", "", "1e3s"])
def test_what_is_no_time_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(UsageError, match="expected a number above 0 with s, m or h"):
        rungs.seconds_of(text)


def test_a_plan_fits_the_time_and_a_longer_one_gives_longer_runs() -> None:
    costs = {f"m{i}": Price(0.1, 0.001 * (1 + i % 5)) for i in range(50)} | {"equal": Price(0.1, 0.001)}
    steps = []
    for seconds in (300, 600, 3600):
        made = rungs.plan(costs, ["equal"], seconds, 2, 100_000)
        assert rungs.total(made, costs, ["equal"]) <= seconds * 2
        assert [rung.keep for rung in made] == [17, 6, 0]
        assert [rung.steps for rung in made] == sorted(rung.steps for rung in made)
        seeds = [seed for rung in made for seed in rung.seeds]
        assert len(seeds) == len(set(seeds))
        assert len(made[-1].seeds) >= rungs.FEWEST
        steps.append(made[-1].steps)
    assert steps == sorted(set(steps))


def test_no_rung_is_longer_than_a_run_and_few_methods_need_one_rung() -> None:
    (only,) = rungs.plan({"equal": Price(0.1, 0.001), "famo": Price(0.1, 0.002)}, ["equal"], 3600, 1, 700)
    assert (only.steps, len(only.seeds)) == (700, rungs.SEEDS[-1])


def test_too_little_time_says_how_much_is_needed() -> None:
    costs = {f"m{i}": Price(0.1, 0.01) for i in range(20)} | {"equal": Price(0.1, 0.01)}
    with pytest.raises(UsageError, match=r"shortest comparison takes about \d+ s: give more --time") as raised:
        rungs.plan(costs, ["equal"], 5, 1, 1000)
    needed = float(str(raised.value).split("about ")[1].split(" s")[0])
    assert rungs.plan(costs, ["equal"], needed + 2, 1, 1000)


def runs(step_seconds: dict[str, float], **losses: list[float]) -> dict[str, dict[int, list[RunRecord]]]:
    """One record a method and seed, of two tasks whose losses are as given and twice that; nan is a run that failed."""
    info = {f"{task}/loss": MetricInfo(higher_is_better=False, task=task) for task in "ab"}
    found: dict[str, dict[int, list[RunRecord]]] = {}
    for method, values in losses.items():
        for seed, loss in enumerate(values):
            cost = Cost(train=step_seconds.get(method, 1.0) * 100, method=0.0, evaluation=0.0, steps=100, backward_passes=100)
            status = "diverged" if math.isnan(loss) else "ok"
            record = make(entrant=method, seed=seed, role="tune", status=status, metrics=info, cost=cost)
            found.setdefault(method, {})[seed] = [msgspec.structs.replace(record, validation={"a/loss": loss, "b/loss": 2 * loss})]
    return found


NOISE = [0.01, -0.02, 0.0, 0.02, -0.01]


def around(value: float) -> list[float]:
    return [value * (1 + each) for each in NOISE]


def test_the_cheapest_of_those_that_are_better_and_not_to_be_told_from_the_best_is_named() -> None:
    dear, cheap = around(0.5), [0.505 * (1 - each) for each in NOISE]
    verdict = judge(runs({"dear": 3.0, "cheap": 1.1}, equal=around(1.0), dear=dear, cheap=cheap, worse=around(1.5)), "equal", range(5))
    assert verdict.use == "cheap"
    assert verdict.best.method == "dear"
    assert verdict.of("dear").change == pytest.approx(-50.0)
    assert verdict.of("dear").cost == pytest.approx(3.0)
    assert verdict.of("cheap").like_best
    assert not verdict.of("worse").like_best
    assert verdict.of("worse").p < 0.05 < verdict.of("worse").change
    assert math.isnan(verdict.of("equal").p)


def test_a_dear_method_is_named_where_the_cheap_ones_are_told_from_it() -> None:
    verdict = judge(runs({"dear": 3.0}, equal=around(1.0), dear=around(0.5), cheap=around(0.7)), "equal", range(5))
    assert verdict.use == "dear"


def test_where_nothing_is_told_from_equal_weights_they_are_named_even_if_something_is_ahead() -> None:
    ahead = [0.9, 1.05, 0.95, 1.02, 0.97]
    verdict = judge(runs({}, equal=around(1.0), ahead=ahead), "equal", range(5))
    assert verdict.best.method == "ahead"
    assert verdict.use == "equal"


def test_a_method_that_failed_once_is_last_and_never_named() -> None:
    verdict = judge(runs({}, equal=around(1.0), fragile=[0.1, 0.1, math.nan, 0.1, 0.1], good=around(0.5)), "equal", range(5))
    assert verdict.use == "good"
    assert [each.method for each in verdict.standings] == ["good", "equal", "fragile"]
    assert math.isinf(verdict.of("fragile").change)


def test_a_gain_that_is_sure_but_tiny_is_not_worth_another_method() -> None:
    verdict = judge(runs({}, equal=around(1.0), tiny=around(0.995)), "equal", range(5))
    assert verdict.of("tiny").p < 0.05
    assert verdict.use == "equal"
