"""How the time is cut into rungs, and what is said of the last one: by hand-made costs and records."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch
from rich.console import Console

import methods
from benchmark.advice import rungs
from benchmark.advice.arms import Arm, best_arms
from benchmark.advice.arms import around as arms_around
from benchmark.advice.clock import LEAST, Clock
from benchmark.advice.code import Loop, lines_of_code, shared_as_code
from benchmark.advice.halving import Found
from benchmark.advice.rungs import Cost as Price
from benchmark.advice.verdict import judge
from benchmark.advice.words import evidence, notes, sentences
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
        assert [rung.keep for rung in made] == [17, 6, 6, 0]
        assert [rung.steps for rung in made] == sorted(rung.steps for rung in made)
        assert [rung.rates for rung in made] == [3, 3, 3, 1]
        assert made[-2].steps == made[-1].steps  # a rate that is best in short runs is too high for long ones
        seeds = [seed for rung in made for seed in rung.seeds]
        assert len(seeds) == len(set(seeds))
        assert len(made[-1].seeds) >= rungs.FEWEST
        steps.append(made[-1].steps)
    assert steps == sorted(set(steps))


def test_no_rung_is_longer_than_a_run_and_few_methods_need_two_more_for_their_rates_alone() -> None:
    first, second, last = rungs.plan({"equal": Price(0.1, 0.001), "famo": Price(0.1, 0.002)}, ["equal"], 3600, 1, 700)
    assert (first.steps, first.keep, first.rates) == (233, 1, 3)
    assert (second.steps, second.keep, second.rates) == (700, 1, 3)
    assert (last.steps, len(last.seeds), last.rates) == (700, rungs.SEEDS[1][-1], 1)


def test_where_there_is_no_time_for_learning_rates_all_run_at_the_given_one() -> None:
    costs = {"equal": Price(1.0, 0.01), "famo": Price(1.0, 0.01)}
    (only,) = rungs.plan(costs, ["equal"], 20, 1, 60)
    assert (only.rates, len(only.seeds)) == (1, 5)
    assert len(rungs.plan(costs, ["equal"], 60, 1, 60)) == 3


def test_runs_shorter_than_the_shortest_rung_are_run_whole() -> None:
    costs = {f"m{i}": Price(0.1, 0.001) for i in range(20)} | {"equal": Price(0.1, 0.001)}
    assert [rung.steps for rung in rungs.plan(costs, ["equal"], 600, 1, 12)] == [1, 4, 12, 12]
    with pytest.raises(UsageError, match="shortest comparison takes"):
        rungs.plan(costs, ["equal"], 1, 1, 12)


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


def test_a_clock_that_other_runs_disturb_does_not_choose() -> None:
    worse_but_fast = [0.5 + 0.05 * place for place in (0, 1, 4, -1, 2)]
    verdict = judge(runs({"fast": 0.4}, equal=around(1.0), best=around(0.5), fast=worse_but_fast), "equal", range(5))
    assert verdict.of("fast").like_best
    assert verdict.use == "best"


def arms_of(**losses: list[float]) -> dict[Arm, dict[int, list[RunRecord]]]:
    """By method the losses at the own rate 0.01, a third of it, and three times it; one seed."""
    made = runs({}, **{f"{name}{i}": [value] for name, values in losses.items() for i, value in enumerate(values)})
    return {Arm(name, power, 0.01): made[f"{name}{i}"] for name in losses for i, power in enumerate(rungs.RATES)}


def test_each_method_goes_on_at_the_rate_that_was_best_for_it_and_its_own_wins_a_tie() -> None:
    best = best_arms(arms_of(equal=[1.0, 1.0, 0.9], famo=[2.0, 0.5, math.nan], mgda=[0.8, 0.8, 0.8]), "equal", [0])
    assert {name: arm.rate for name, (_, arm) in best.items()} == {"equal": 0.03, "famo": 0.00333, "mgda": 0.01}
    assert best["equal"][0] == pytest.approx(-10.0)
    assert best["famo"][0] == pytest.approx(-50.0)


def test_equal_weights_that_fail_at_the_given_rate_are_measured_at_another() -> None:
    best = best_arms(arms_of(equal=[math.nan, 1.0, 2.0], famo=[0.5, math.nan, math.nan]), "equal", [0])
    assert best["famo"][0] == pytest.approx(-50.0)
    assert best["equal"][1].power == -1
    lost = [math.nan] * 3
    assert math.isinf(best_arms(arms_of(equal=[1.0, 1.0, 1.0], famo=lost), "equal", [0])["famo"][0])
    with pytest.raises(UsageError, match="cannot be trained under equal weights: diverged"):
        best_arms(arms_of(equal=lost, famo=[1.0, 1.0, 1.0]), "equal", [0])


def test_the_given_rate_pins_nothing_and_others_are_in_the_name_of_the_row() -> None:
    labels = [arm.label for arm in arms_around({"equal": 0, "famo": 0}, rungs.RATES, 0.01)]
    own, less, more = labels[:2], labels[2:4], labels[4:]
    assert own == ["equal", "famo"]
    assert less == ["equal(learning_rate=0.00333)", "famo(learning_rate=0.00333)"]
    assert more == ["equal(learning_rate=0.03)", "famo(learning_rate=0.03)"]


def found(rates: dict[str, float], tried: tuple[float, ...], **losses: list[float]) -> Found:
    verdict = judge(runs({}, **losses), "equal", range(5))
    climbed = ((2, rungs.Rung(30, (1,), 1, len(tried))), (2, rungs.Rung(90, (2, 3, 4, 5, 6), 0)))
    return Found(verdict, climbed, {}, (), 0.01, rates, dict.fromkeys(rates, tried), 9.0)


def test_the_answer_says_at_which_learning_rate_and_the_lines_set_it() -> None:
    rates, loop = {"equal": 0.03, "famo": 0.00333}, Loop(2, "model.trunk.parameters()")
    better = found(rates, (0.00333, 0.01, 0.03), equal=around(1.0), famo=around(0.5))
    text = " ".join(sentences(better))
    assert "Use famo at learning rate 0.00333 (yours is 0.01)." in text
    assert "better than with equal weights at their best rate, 0.03, mean" in text
    assert "best learning rate for it in runs of 30 steps, famo of 0.00333, 0.01, 0.03" in text
    assert "a rate still further from yours than 0.00333 was not tried" in text
    assert "2 methods x 3 learning rates x 1 seed x 30 steps" in notes(better)[0]
    assert lines_of_code(better, loop)[0] == "optimizer = torch.optim.Adam(model.parameters(), lr=0.00333)  # once"
    enough = found(rates, (0.00333, 0.01, 0.03), equal=around(1.0), famo=around(2.0))
    assert "Equal weights are enough at learning rate 0.03 (yours is 0.01):" in sentences(enough)[0]
    assert lines_of_code(enough, loop)[-1] == "sum(losses).backward()"
    plain = found(dict.fromkeys(rates, 0.01), (0.01,), equal=around(1.0), famo=around(0.5))
    assert "no time to try others" in sentences(plain)[-1]
    assert "rate" not in sentences(plain)[0]
    assert lines_of_code(plain, loop)[0].startswith("balancer = ")


def test_what_a_trial_takes_beside_its_work_leaves_the_start_of_the_workers_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, now = Clock(2), iter([10.0, 10.5, 11.0, 11.5, 12.0, 12.5])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    for _ in range(6):  # a second of work each, two at once, one ends every half second
        clock.seen(make(cost=Cost(train=0.5, method=0.1, evaluation=0.1, steps=1, backward_passes=1)))
    assert clock.around() == pytest.approx(0.3)
    clock.ends = clock.ends[:3]
    assert clock.around() == LEAST


def test_the_evidence_fits_a_terminal_of_eighty_columns() -> None:
    rates = {"equal": 0.03, "grad_normalize_rate": 0.00333}
    grid = evidence(found(rates, (0.00333, 0.01, 0.03), equal=around(1.0), grad_normalize_rate=around(0.5)))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(grid)
    lines = captured.get().splitlines()
    assert "…" not in captured.get()
    assert [word for word in lines[1].split() if word != "x"][:3] == ["*", "grad_normalize_rate", "-50.0"]
    assert ("0.00333" in lines[1], "0.03" in lines[2]) == (True, True)


class Nest(torch.nn.Module):
    """Without a trunk: shared are a convolution, the first of two blocks, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Linear(2, 3)
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)])
        self.offset = torch.nn.Parameter(torch.zeros(3))
        self.heads = torch.nn.ModuleDict({"a-b": torch.nn.Linear(3, 1), "def": torch.nn.Linear(3, 1)})


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["stem"], "model.stem.parameters()"),
        (["stem", "blocks.0"], "[*model.stem.parameters(), *model.blocks[0].parameters()]"),
        (["stem", "offset"], "[model.offset, *model.stem.parameters()]"),
        (["stem.weight"], "[model.stem.weight]"),
        (["heads.a-b"], "getattr(model.heads, 'a-b').parameters()"),
        (["heads.def"], "getattr(model.heads, 'def').parameters()"),
        (["stem", "blocks", "offset", "heads"], "model.parameters()"),
    ],
)
def test_the_line_names_what_is_shared_as_the_users_model_has_it(names: list[str], text: str) -> None:
    model = Nest()
    wanted = [p for name, p in model.named_parameters() if any(f"{name}.".startswith(f"{each}.") for each in names)]
    assert shared_as_code(model, wanted) == text
    assert {id(p) for p in eval(text, {"model": model})} == {id(p) for p in wanted}


def test_the_lines_run_as_they_are_pasted_for_every_method() -> None:
    """Beside a loop of which they know no more than what is shared, and that its losses are a dict."""
    torch.manual_seed(0)
    for name in methods.names():
        if methods.card(name).per_task or methods.card(name).needs:
            continue
        model = Nest()
        loop = Loop(2, shared_as_code(model, model.stem.parameters()), named=True, kinds=("regression", "classification"))
        told = {"equal": around(1.0)} | {name: around(0.5 if name != "equal" else 1.0)}
        lines = lines_of_code(found(dict.fromkeys(told, 0.01), (0.01,), **told), loop)
        z = model.stem(torch.ones(4, 2))
        losses = {"a": (model.heads["a-b"](z) ** 2).mean(), "b": (model.heads["def"](z) - 1).abs().mean()}
        again = {key: loss.detach() * 0.9 for key, loss in losses.items()}
        given = {
            "methods": methods,
            "model": model,
            "losses": losses,
            "again": again,
            "before": torch.ones(10, 2),
            "torch": torch,
            "sum": sum,
        }

        def evaluate(k: int, model: Nest = model) -> dict[str, torch.Tensor]:
            z = model.stem(torch.ones(4, 2) / (1 + k))
            return {"a": (model.heads["a-b"](z) ** 2).mean(), "b": (model.heads["def"](z) - 1).abs().mean()}

        if name != "equal":
            assert f'create("{name}", num_tasks=2' in lines[0]
        exec("\n".join(lines), {**given, "evaluate": evaluate})
        assert model.stem.weight.grad is not None, name
