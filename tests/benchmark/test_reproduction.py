"""Published experiments: the arithmetic of verdicts on hand-made records, errors of files, and the plan of every shipped file."""

from __future__ import annotations

import math
import re
import runpy
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import methods
import tasks
from benchmark.errors import UsageError
from benchmark.published.facts import load as load_published
from benchmark.records import MetricInfo, RunRecord, Status, TrialSpec
from benchmark.reproduction import Experiment, find, shipped
from benchmark.reproduction_plan import chosen, costs, planned
from benchmark.reproduction_read import load
from benchmark.reproduction_verdict import Outcome, judge, mean_of, recomputed
from benchmark.reproduction_views import as_json, render, summary
from benchmark.store import Store
from tests.e2e.conftest import as_between_programs

GOOD = """
name = "mine"
version = 1
title = "A toy"
summary = "a toy"

[protocol]
seeds = 3
evaluations = 2
selection = "last"

[[problems]]
name = "two_objective"
steps = 4

[sources]
paper = "Table 1"

[tolerances.near]
within = { "first/loss" = 0.1, "second/loss" = 0.5 }
stuck = { metric = "front_distance", above = 1.0 }
reason = "a tenth"

[entrants]
LS = { method = "equal" }
CA = { method = "cagrad", set = { c = 0.5 } }

[[tables]]
problem = "two_objective"
source = "paper"
tolerance = "near"
metrics = ["first/loss", "second/loss"]
columns = ["a", "b", "c"]
[tables.rows]
LS = [[-1.0, -2.0], "stuck", "undefined"]
[[tables.notes]]
row = "LS"
column = "b"
text = "why b differs"

[[tables]]
problem = "two_objective"
source = "paper"
tolerance = "near"
metrics = ["first/loss"]
[tables.rows]
CA = [[2.0]]

[[relations]]
problem = "two_objective"
metric = "first/loss"
row = "LS"
is = "below"
than = "CA"
source = "paper"
"""


@pytest.fixture(autouse=True)
def forgets_method_files() -> Iterator[None]:
    with as_between_programs():
        yield


def write(folder: Path, text: str = GOOD) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def plan_of(experiment: Experiment) -> tuple[TrialSpec, ...]:
    assert experiment.suite is not None
    prints = {entry.problem: "data" for entry in experiment.suite.entries}
    return planned(experiment, prints, tasks.Locations()).specs


def record(spec: TrialSpec, status: Status = "ok", **test: float) -> RunRecord:
    keys = {"first": "first/loss", "second": "second/loss", "distance": "front_distance"}
    values = {keys[name]: value for name, value in test.items()}
    metrics = {key: MetricInfo(higher_is_better=False) for key in keys.values()}
    return RunRecord(id=spec.id, spec=spec, status=status, message="it broke" if status != "ok" else "", metrics=metrics, test=values)


def verdicts(tmp_path: Path, given: Mapping[tuple[str, int], RunRecord | Mapping[str, float]], text: str = GOOD) -> list[Outcome]:
    experiment = load(write(tmp_path, text))
    labels = {"LS": "equal", "CA": "cagrad(c=0.5)"}
    runs: dict[tuple[str, str], list[RunRecord]] = {}
    for spec in plan_of(experiment):
        row = next(row for row, label in labels.items() if label == spec.entrant)
        if (row, spec.seed) in given:
            told = given[row, spec.seed]
            made = told if isinstance(told, RunRecord) else record(spec, **told)
            runs.setdefault((spec.problem, row), []).append(made)
    return judge(experiment, runs, {})


def runs_of(first: float = -1.0, second: float = -2.0, stuck: float = 3.0) -> dict[tuple[str, int], Mapping[str, float]]:
    near = {"first": first, "second": second, "distance": 0.0}
    others = {("CA", seed): {"first": 2.0 + 0.01 * seed, "second": 0.0, "distance": 0.0} for seed in range(3)}
    return {("LS", 0): near, ("LS", 1): {**near, "distance": stuck}, ("LS", 2): near, **others}


def test_a_vector_is_matched_where_every_number_is_within_its_tolerance(tmp_path: Path) -> None:
    assert verdicts(tmp_path, runs_of(-1.09, -2.45))[0].verdict == "matched"
    off = verdicts(tmp_path, runs_of(-1.09, -2.55))[0]
    assert (off.verdict, off.printed) == ("not matched", "-1, -2")
    assert off.said == "first/loss off by 0.09 of 0.1; second/loss off by 0.55 of 0.5"
    assert verdicts(tmp_path, runs_of(-0.85, -2.0))[0].verdict == "not matched"


def witnessed(*ends: str) -> str:
    """The file with runs of another implementation for the cell that prints -1, -2; 0.1 and 0.5 are allowed."""
    witness = '[[tables.witnesses]]\nrow = "LS"\ncolumn = "a"\nsource = "paper"\nends = [{}]\n'
    return GOOD.replace("[[tables.notes]]", witness.format(", ".join(ends)) + "[[tables.notes]]", 1)


@pytest.mark.parametrize(
    ("first", "ends", "verdict"),
    [
        (-1.3, ("[-1.3, -2]", "[-1.31, -2]", "[-1.3, -2]"), "contradicted"),
        (-1.3, ("[-1.0, -2]", "[-1.01, -2]", "[-1.0, -2]"), "not matched"),  # the other implementation gives what is printed
        (-1.3, ("[-1.5, -2]", "[-1.51, -2]", "[-1.5, -2]"), "not matched"),  # and here neither
        (-1.12, ("[-1.05, -2]", "[-1.06, -2]", "[-1.05, -2]"), "not matched"),  # and here both
        (-1.3, ("[-1.05, -2]", "[-1.35, -2]", "[-1.2, -2]"), "undetermined"),
        (-1.3, ("[-1.15, -2]", "[-1.4, -2]", "[-1.2, -2]"), "undetermined"),
        (-1.3, ("[-1.15, -2]", "[-1.4, -2]", *["[-1.2, -2]"] * 18), "contradicted"),  # so many runs show where they end
        (-1.5, ("[-1.45, -2]", "[-1.65, -2]", "[-1.5, -2]"), "contradicted"),
        (-1.3, ("[-1.1, -9]", "[-1.4, -9]", "[-1.2, -9]"), "not matched"),
        (-1.05, ("[-1.3, -2]", "[-1.31, -2]", "[-1.3, -2]"), "matched"),
    ],
)
def test_what_is_not_matched_is_contradicted_only_where_another_implementation_ends_where_ours_does(
    first: float, ends: tuple[str, ...], verdict: str, tmp_path: Path
) -> None:
    cell = verdicts(tmp_path, runs_of(first), witnessed(*ends))[0]
    assert cell.verdict == verdict
    assert (f"in {len(ends)} runs" in cell.said) == (verdict != "matched")


def test_a_failed_run_is_never_contradicted(tmp_path: Path) -> None:
    text = witnessed("[-3, -2]", "[-3, -2]", "[-3, -2]")
    spec = next(spec for spec in plan_of(load(write(tmp_path, text))) if spec.entrant == "equal" and spec.seed == 0)
    assert verdicts(tmp_path, {**runs_of(), ("LS", 0): record(spec, "diverged")}, text)[0].verdict == "failed"


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (("[-1, -2]",), r"witnesses\[0\].ends has 1 runs; expected at least 3"),
        (("[-1, -2]", "[-1]", "[-1, -2]"), r"witnesses\[0\].ends has \[-1.0\]; expected 2 finite numbers"),
        (("[-1, -2]", "[-1, nan]", "[-1, -2]"), "expected 2 finite numbers"),
    ],
)
def test_a_witness_needs_several_whole_runs(ends: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load(write(tmp_path, witnessed(*ends)))


def test_stuck_is_compared_by_the_distance_that_the_tolerance_names(tmp_path: Path) -> None:
    assert verdicts(tmp_path, runs_of(stuck=1.2))[1].verdict == "matched"
    off = verdicts(tmp_path, runs_of(stuck=0.9))[1]
    assert off.verdict == "not matched"
    assert off.note == "why b differs"
    assert "0.9" in off.said


def test_undefined_is_neither_and_shows_what_ours_does(tmp_path: Path) -> None:
    cell = verdicts(tmp_path, runs_of())[2]
    assert (cell.verdict, cell.ours[0].value) == ("undefined", -1.0)


def test_without_columns_the_mean_over_all_seeds_counts_with_its_interval(tmp_path: Path) -> None:
    cell = verdicts(tmp_path, runs_of())[3]
    (ours,) = cell.ours
    assert (cell.verdict, ours.n) == ("matched", 3)
    assert ours.value == pytest.approx(2.01)
    reach = 4.302653 * 0.01 / math.sqrt(3)  # Student's t with two degrees of freedom, deviation 0.01
    assert (ours.low, ours.high) == pytest.approx((2.01 - reach, 2.01 + reach), rel=1e-6)


def test_one_seed_has_no_interval() -> None:
    assert mean_of([2.0]).value == 2.0
    assert math.isnan(mean_of([2.0]).low)


@pytest.mark.parametrize(
    ("first", "verdict", "said"),
    [
        ((-1.0, -1.1, -0.9), "matched", "n=3"),
        ((5.0, 5.1, 5.2), "not matched", "the other way round"),
        ((1.0, 5.0, -1.0), "not matched", "the two cannot be told apart"),
    ],
)
def test_an_ordering_needs_an_interval_on_its_side(first: tuple[float, ...], verdict: str, said: str, tmp_path: Path) -> None:
    given = runs_of()
    given |= {("LS", seed): {"first": value, "second": 0.0, "distance": 0.0} for seed, value in enumerate(first)}
    claim = verdicts(tmp_path, given)[-1]
    assert (claim.row, claim.verdict) == ("LS below CA", verdict)
    assert said in claim.said


def test_an_ordering_against_a_number_needs_only_one_row(tmp_path: Path) -> None:
    text = GOOD.replace('than = "CA"', "than = -0.5")
    assert verdicts(tmp_path, runs_of(), text)[-1].verdict == "matched"
    assert verdicts(tmp_path, runs_of(), text.replace('is = "below"', 'is = "above"'))[-1].verdict == "not matched"


def test_failures_are_no_ends_and_missing_runs_are_said(tmp_path: Path) -> None:
    spec = next(spec for spec in plan_of(load(write(tmp_path))) if spec.entrant == "equal" and spec.seed == 0)
    cells = verdicts(tmp_path, {**runs_of(), ("LS", 0): record(spec, "diverged")})
    assert (cells[0].verdict, cells[0].said) == ("failed", "1 of 1 runs failed: diverged, it broke")
    assert cells[-1].verdict == "failed"
    rest = {key: value for key, value in runs_of().items() if key != ("CA", 2)}
    cells = verdicts(tmp_path, rest)
    assert (cells[3].verdict, cells[3].said) == ("not run", "1 of 3 runs are missing")
    assert cells[-1].verdict == "not run"
    assert summary(cells) == "2 of 4 cells matched, 1 undefined, 2 not run"
    apart = [*cells, replace(cells[0], apart=True)]
    assert summary(apart) == f"{summary(cells)}; counted apart: 1 of 1 cells matched"
    told = msgspec.json.decode(as_json(load(write(tmp_path)), apart))
    assert (told["counts"]["matched"], told["counts_apart"]["matched"]) == (2, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('method = "cagrad"', 'method = "cagradd"', "entrants.CA.method: .*cagradd.*did you mean 'cagrad'"),
        ("set = { c = 0.5 }", "set = { d = 0.5 }", "entrants.CA.set: .*no hyperparameter 'd'"),
        ("set = { c = 0.5 }", "set = { c = -1 }", "entrants.CA.set: cagrad.c is -1"),
        ('source = "paper"', 'source = "papr"', r"tables\[0\].source: 'papr' is not there; did you mean 'paper'\?"),
        ('source = "paper"\n', "", r"missing required field `source` - at `\$.tables\[0\]`"),
        ('paper = "Table 1"', 'paper = " "', "sources.paper is empty"),
        ('"first/loss" = 0.1', '"first/loss" = -0.1', r"tolerances.near.within.first/loss is -0.1; expected a number above 0"),
        ('"first/loss" = 0.1', '"first/loss" = nan', r"tolerances.near.within.first/loss is nan; expected a number above 0"),
        ('"first/loss" = 0.1, ', "", r"tables\[0\].tolerance 'near' has neither within.'first/loss' nor percent"),
        ('reason = "a tenth"', "", r"missing required field `reason` - at `\$.tolerances"),
        ('reason = "a tenth"', 'reason = ""', "tolerances.near.reason is empty"),
        ('stuck = { metric = "front_distance", above = 1.0 }\n', "", r"tables\[0\].rows.LS has a cell 'stuck', but tolerances.near.stuck"),
        ('"stuck", "undefined"]', '"stuck"]', r"tables\[0\].rows.LS has 2 cells; expected 3"),
        ("[-1.0, -2.0]", "[-1.0]", r"tables\[0\].rows.LS: \[-1.0\] has 1 numbers; expected 2"),
        ("[-1.0, -2.0]", '"lost"', r"tables\[0\].rows.LS has a cell 'lost'; expected a list of numbers, 'stuck' or 'undefined'"),
        ('columns = ["a", "b", "c"]', 'columns = ["a", "b", "c", "d"]', r"tables\[0\].columns has 4; expected at most 3"),
        ('column = "b"', 'column = "z"', r"tables\[0\].notes.column: 'z' is not there"),
        (
            'metrics = ["first/loss"]',
            'metrics = ["first/los"]',
            r"tables\[1\].metrics: 'first/los' is not there; did you mean 'first/loss'",
        ),
        ('is = "below"', 'is = "under"', "under"),
        ('than = "CA"', 'than = "CB"', r"relations\[0\].than: 'CB' is not there"),
        ('CA = { method = "cagrad"', 'XX = { method = "equal" }\nCA = { method = "cagrad"', "entrants.XX: no table and no relation"),
        ('name = "two_objective"', 'name = "two_objectiv"', "unknown problem 'two_objectiv'; did you mean"),
        ('name = "mine"', 'name = "toy"', "name 'toy' belongs to a packaged suite"),
        ('title = "A toy"', 'titel = "A toy"', "title|titel"),
        ("version = 1", "version = ", "not valid TOML"),
    ],
)
def test_a_broken_file_is_one_line_with_the_file_and_the_key(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises((UsageError, tasks.TaskError), match=message) as caught:
        plan_of(load(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_shipped_file_parses_and_plans() -> None:
    names = set(shipped())
    assert {"two-objective", "gradnorm-toy", "pareto-mtl-toy", "nyuv2-segnet-mtan", "cityscapes-segnet-mtan", "qm9", "celeba"} <= names
    assert find("PUBLISHED-nyuv2").name == "published-NYUv2.toml"
    published = load_published()
    for name, path in shipped().items():
        experiment = load(path)
        assert experiment.name == name
        if experiment.suite is None:
            continue
        specs = plan_of(experiment)
        assert len({spec.id for spec in specs}) == len(specs) > 0
        assert {spec.suite for spec in specs} == {name}
        assert {spec.problem for spec in specs} == {entry.problem for entry in experiment.suite.entries}
        for printed in experiment.told.printed:
            table = published[printed.table]
            assert set(printed.rows) <= {line.method for line in table.lines}
            assert printed.problem in table.problems
            metrics = tasks.problem(printed.problem).card.metrics()
            for metric, factor in printed.factors.items():
                assert metrics[table.metrics[metric].ours].high * factor == 100


def test_rows_are_chosen_by_the_sources_names_or_ours(tmp_path: Path) -> None:
    experiment = load(write(tmp_path))
    assert chosen(experiment, "ls,CAGRAD") == ["LS", "CA"]
    with pytest.raises(UsageError, match="--methods 'cagra' is not in mine; did you mean 'cagrad'"):
        chosen(experiment, "cagra")
    with pytest.raises(UsageError, match=re.escape("nothing to reproduce is called 'two-objectiv'; did you mean 'two-objective'?")):
        find("two-objectiv")


def test_the_cost_is_estimated_from_records_else_from_the_file(tmp_path: Path) -> None:
    text = GOOD.replace('title = "A toy"', 'title = "A toy"\nstep_seconds = { two_objective = 0.3 }\nstep_source = "a clock"')
    experiment = load(write(tmp_path, text))
    wanted = planned(experiment, {"two_objective": "data"}, tasks.Locations())
    (cost,) = costs(wanted, Store(tmp_path / "results"))
    assert (cost.trials, cost.recorded, cost.passes) == (6, 0, 3 * 4 * 1 + 3 * 4 * 2)
    assert cost.seconds == pytest.approx(3 * 4 * 0.3 + 3 * 4 * 0.3 * 5 / 3)


def test_published_summaries_are_matched_but_for_the_four_that_their_cells_contradict() -> None:
    found = [outcome for table in load_published().values() for outcome in recomputed(table)]
    wrong = {(outcome.group.split(":")[0], outcome.row, outcome.column) for outcome in found if outcome.verdict == "contradicted"}
    assert wrong == {
        ("nyuv2_segnet_ntkmtl", "IMTL-G", "Δm"),
        ("nyuv2_segnet_ntkmtl", "SI", "MR"),
        ("nyuv2_segnet_ntkmtl", "DWA", "MR"),
        ("nyuv2_segnet_recap", "RECAP", "Δm"),
    }
    assert sum(outcome.verdict == "matched" for outcome in found) > 100


def test_texts_of_a_file_are_escaped_in_every_format(tmp_path: Path) -> None:
    text = GOOD.replace('title = "A toy"', 'title = "A | <b>\\u001b[31m toy"').replace("why b differs", "a *star* \\u0007")
    experiment = load(write(tmp_path, text))
    cells = verdicts(tmp_path, runs_of(stuck=0.5), text)
    terminal, page = render(experiment, cells), render(experiment, cells, "md")
    assert "\x1b" not in terminal + page
    assert "\x07" not in terminal + page
    assert "<b>" not in page
    assert "*star*" not in page
    assert msgspec.json.decode(as_json(experiment, cells))["counts"]["not matched"] == 1


def test_the_method_files_do_what_their_experiments_say() -> None:
    import torch

    folder = find("two-objective").parent
    methods.load(folder / "famo_bounds.py")
    methods.load(folder / "pareto_mtl.py")
    x = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

    def weights(name: str, losses: tuple[float, float], **options: object) -> list[float]:
        balancer = methods.create(name, 2, **options)  # type: ignore[arg-type]
        given = [x[0] - x[0].detach() + losses[0], x[1] - x[1].detach() + losses[1]]
        found = balancer.backward(given, shared=[x]).weights
        assert found is not None
        return [float(weight) for weight in found]

    # A loss and its bound scaled together: the weight scales back.
    assert weights("famo_bounds", (1.0, 3.0), bounds="-1/-1") == pytest.approx([4 / 6, 2 / 6])
    assert weights("famo_bounds", (1.0, 3.0)) == pytest.approx(weights("famo", (1.0, 3.0)))
    with pytest.raises(methods.MethodError, match="3 numbers; expected 2"):
        methods.create("famo_bounds", 2, bounds="1/2/3")
    # The first phase turns to the preference, here the axis of L1: only L2 has to fall.
    turning = weights("pareto_mtl", (1.0, 1.0), index=0, vectors=2)
    assert turning[1] > 0 > turning[0]
    # On its own side of every other preference nothing is violated: the first phase rests, and then it is MGDA.
    assert weights("pareto_mtl", (1.0, 0.1), index=0, vectors=2) == [0.0, 0.0]
    assert weights("pareto_mtl", (1.0, 0.1), index=0, vectors=2, first=0) == pytest.approx([0.5, 0.5])
    with pytest.raises(methods.MethodError, match="index is 5"):
        methods.create("pareto_mtl", 2, index=5, vectors=5)


def test_the_methods_of_the_simulation_are_the_registrys_but_for_their_detail() -> None:
    import torch

    methods.load(find("two-objective").parent / "two_task_simulation.py")
    nothing = torch.zeros(2, dtype=torch.float64)

    def weights(name: str, *gradients: tuple[float, float]) -> torch.Tensor:
        jacobian = torch.tensor(gradients, dtype=torch.float64)
        return methods.create(name, 2).weights(jacobian @ jacobian.T, nothing)  # type: ignore[attr-defined]

    for pair in (((2.0, 1.0), (-1.0, 0.5)), ((1e-3, 0.0), (1.0, 1.0))):  # in conflict and not
        for guarded, plain in (("pcgrad_guarded", "pcgrad"), ("nash_mtl_guarded", "nash_mtl")):
            torch.testing.assert_close(weights(guarded, *pair), weights(plain, *pair), rtol=1e-8, atol=0)
        unit, whole = weights("fairgrad_unit", *pair), weights("fairgrad", *pair)
        assert float((unit @ torch.tensor(pair, dtype=torch.float64)).norm()) == pytest.approx(1)
        torch.testing.assert_close(unit / unit.sum(), whole / whole.sum())
        one, pulled = weights("cagrad_unit", *pair), weights("cagrad", *pair)
        torch.testing.assert_close(one, pulled / pulled.sum())
    assert weights("nash_mtl_guarded", (1.0, 0.0), (-1.0, 0.0)).tolist() == pytest.approx([1e9**0.5] * 2)
    assert weights("cagrad_unit", (1.0, 0.0), (-1.0, 0.0)).tolist() == [0.0, 0.0]
    assert weights("pcgrad_guarded", (1e-12, 0.0), (-1e-12, 0.0)).tolist() == pytest.approx([1 + 0.25] * 2)  # cos = -1/4 of guarded norms


def test_by_symmetry_a_method_without_scale_stays_on_the_axis_from_the_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the printed end of Nash-MTL from (0, 0) takes a guard; by the simulation that shares nothing with the methods."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    simulated = runpy.run_path(str(find("two-objective").parent / "two_objective_float64.py"))
    x1, x2 = simulated["end"]("nash", (0.0, 0.0), 0.1, 2000, 1e-8)
    assert abs(x1) < 1e-4  # but for rounding
    assert x2 < -1.5
    assert abs(simulated["end"]("equal", (0.0, 0.0), 0.1, 2000, 1e-8)[0]) > 0.1
