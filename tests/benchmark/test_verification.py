"""What verification is made of, on made records: the comparison of another platform, the drawing, copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import methods
import tasks
from benchmark.executors import Job, Outcome
from benchmark.provenance import read
from benchmark.records import Cost, Point, RunRecord
from benchmark.reproduction import shipped
from benchmark.reproduction_read import load
from benchmark.store import Store
from benchmark.verification import Examined, Row
from benchmark.verification_again import draw, run
from benchmark.verification_compare import Spread, exactly, loosely, scattered
from benchmark.verification_copies import Copies
from benchmark.verification_here import Here
from benchmark.verification_record import contradictions
from tests.e2e.conftest import as_between_programs
from tests.made import make

RESULTS = Path(__file__).parents[2] / "results"


def record(seed: int = 0, **fields: Any) -> RunRecord:
    """A record of 100 steps that contradicts nothing."""
    curve = [
        Point(
            step=step,
            train_losses=[1.0 / step, 2.0 + seed],
            validation_losses=[0.5, 0.25],
            weights=[0.5, 0.5],
            score=1.0 / step,
            seconds=step,
        )
        for step in range(10, 101, 10)
    ]
    cost = Cost(train=60.0, method=40.0, evaluation=1.0, steps=100, backward_passes=100)
    values = {"error": 0.5 + 0.01 * seed, "accuracy": 0.75}
    made = make(values, seed=seed, cost=cost, **fields)
    return msgspec.structs.replace(made, curve=curve, selected_step=100, validation=values)


@pytest.mark.parametrize("folder", ["standard", "reproduced"])
def test_committed_records_are_of_the_methods_as_they_stand(folder: str) -> None:
    """An edit of a method's file without another version on its card would take the evidence from under every table that names it."""
    pytest.importorskip("pyarrow", reason="packed records need it: pip install 'lossbench[pack]'")
    here = Here(tasks.Locations())
    records = Store(RESULTS / folder).scan().records
    assert records
    with as_between_programs():
        for file in {file for path in shipped().values() for file in load(path).files}:
            methods.load(file)
        assert not {each.spec.method for each in records if here.lacks_method(each.spec) or here.changed(each)}
    assert all("method_source" in each.environment for each in records)


def shifted(one: RunRecord, by: float) -> RunRecord:
    """All losses off by a factor."""
    curve = [
        msgspec.structs.replace(point, train_losses=[value and value * (1 + by) for value in point.train_losses]) for point in one.curve
    ]
    return msgspec.structs.replace(one, curve=curve)


def spreads(deviation: float | None) -> dict[str, Spread]:
    spread = Spread()
    for value in (0.5 - (deviation or 0), 0.5, 0.5 + (deviation or 0)) if deviation is not None else (0.5,):
        spread.add(value)
    return {"error": spread}


def test_a_record_that_is_in_order_contradicts_nothing() -> None:
    assert list(contradictions(record())) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"selected_step": 50}, "the rule 'best' picks step 100"),
        ({"curve": []}, "its curve has points at steps (none); expected 10, one every 10 steps to step 100"),
        ({"validation": {}}, "it finished, but has no validation metrics"),
        ({"test": {"error": 1.0}}, "test and validation metrics differ in accuracy"),
        ({"trained": [0, 2]}, "it trained tasks [0, 2] of 2"),
        ({"cost": Cost(train=60.0, method=40.0, evaluation=1.0, steps=90, backward_passes=100)}, "it finished, but did 90 steps of 100"),
        ({"cost": Cost(train=60.0, method=40.0, evaluation=1.0, steps=100, backward_passes=99)}, "99 backward passes in 100 steps"),
        ({"cost": Cost(train=60.0, method=41.0, evaluation=1.0, steps=100, backward_passes=100)}, "train and method took 101.0 s"),
        ({"cost": Cost(train=160.0, method=-60.0, evaluation=1.0, steps=100, backward_passes=100)}, "cost.method is -60.0 s"),
        ({"cost": None}, "it finished, but has no cost"),
        ({"curve": record().curve[:3], "status": "diverged", "selected_step": 40}, "selected step 40 is not on its curve"),
    ],
)
def test_a_contradiction_is_said(fields: dict[str, Any], said: str) -> None:
    assert said in "; ".join(contradictions(msgspec.structs.replace(record(), **fields)))


def test_a_run_that_failed_half_way_is_no_contradiction() -> None:
    cost = Cost(train=60.0, method=40.0, evaluation=1.0, steps=34, backward_passes=34)
    broken = msgspec.structs.replace(record(), status="diverged", curve=record().curve[:3], selected_step=30, test={}, cost=cost)
    assert list(contradictions(broken)) == []


def test_a_row_called_after_another_value_than_it_ran_with_is_said() -> None:
    odd = record(entrant="equal(alpha=2.0)", hyperparameters={"alpha": 1.0})
    assert "its row is called equal(alpha=2.0), but it ran with alpha=1.0" in list(contradictions(odd))


def test_times_and_places_do_not_count_and_every_digit_does() -> None:
    one = record()
    other = msgspec.structs.replace(one, environment={"torch": "9"}, cost=msgspec.structs.replace(one.cost, train=1.0, peak_memory=3))
    assert exactly(one, other).result == "identical"
    found = exactly(one, shifted(one, 1e-15))
    assert found.result == "off"
    assert found.words.startswith("train_losses[0] at step 10 0.1 in the record, 0.1")


def test_what_older_records_do_not_say_is_not_asked_of_them() -> None:
    one = record()
    told = [msgspec.structs.replace(point, metrics={"error": 0.5}, cosine=0.1, conflicts=0.0) for point in one.curve]
    assert exactly(one, msgspec.structs.replace(one, curve=told)).result == "identical"
    assert exactly(msgspec.structs.replace(one, curve=told), one).result == "off"


@pytest.mark.parametrize(
    ("by", "error", "deviation", "result"),
    [
        (0.0, 0.5, None, "identical"),
        (1e-6, 0.5, None, "within"),
        (0.05, 0.5, 0.1, "off"),
        (1e-6, 0.6, 0.1, "within"),
        (1e-6, 1.0, 0.1, "off"),
        (1e-6, 0.6, None, "unclear"),
    ],
)
def test_elsewhere_the_beginning_is_compared_tightly_and_the_end_with_the_seeds(
    by: float, error: float, deviation: float | None, result: str
) -> None:
    one = record()
    values = {"error": error, "accuracy": 0.75}
    other = msgspec.structs.replace(shifted(one, by), test=values, validation=values)
    assert loosely(one, other, spreads(deviation)).result == result


def parted(one: RunRecord) -> RunRecord:
    """The same trial elsewhere: a last digit at first, and another run in the end."""
    curve = list(shifted(one, 1e-6).curve)
    curve[-1] = msgspec.structs.replace(curve[-1], validation_losses=[0.6, 0.3])
    return msgspec.structs.replace(one, curve=curve)


def spread_of(*values: float) -> dict[str, Spread]:
    spread = Spread()
    for value in values:
        spread.add(value)
    return {"error": spread}


# With 9.5 in the place of the first, that one is less than three standard deviations from their mean: it must not excuse itself.
TEN = (0.5, 0.4, 0.41, 0.44, 0.45, 0.46, 0.54, 0.55, 0.56, 0.6)


@pytest.mark.parametrize(
    ("error", "seeds", "result"),
    [
        (0.6, TEN, "within"),
        (0.85, TEN, "unclear"),
        (1.2, TEN, "off"),
        (9.5, TEN, "off"),
        (0.85, (0.5, 0.4, 0.6), "within"),
        (1.2, (0.5, 0.4, 0.6), "unclear"),  # three seeds say little
        (9.5, (0.5, 0.4, 0.6), "off"),
    ],
)
def test_runs_that_parted_may_end_as_far_apart_as_two_seeds_do(error: float, seeds: tuple[float, ...], result: str) -> None:
    values = {"error": error, "accuracy": 0.75}
    mine = msgspec.structs.replace(record(), test=values, validation=values)
    assert loosely(mine, parted(record()), spread_of(error, *seeds[1:])).result == result


def test_another_place_is_no_excuse_where_it_changed_nothing() -> None:
    """An edit of the test metrics, under the name of another torch."""
    one = record()
    edited = msgspec.structs.replace(one, test={**one.test, "error": 0.45})
    found = loosely(edited, one, spread_of(*TEN))
    assert found.result == "off"
    assert (
        found.words == "test error 0.45 in the record, 0.5 when run again, though the runs are equal to the last digit at the selected step"
    )


@pytest.mark.parametrize("values", [(1.0, 2.0), (0.5, 0.4, 0.6), TEN])
def test_a_value_replaced_in_a_spread_leaves_what_all_of_them_would(values: tuple[float, ...]) -> None:
    found = spread_of(*values)["error"].replaced(values[1], 3.0)
    expected = spread_of(values[0], *values[2:], 3.0)["error"]
    assert (found.count, found.mean, found.squares) == pytest.approx((expected.count, expected.mean, expected.squares))


def test_two_records_do_not_excuse_each_other_once_both_were_run_again(tmp_path: Path) -> None:
    here = {"torch": "elsewhere"}
    honest = [msgspec.structs.replace(record(seed), environment=here) for seed in range(10)]
    edited = [
        msgspec.structs.replace(each, test={**each.test, "error": 9.5}, validation={**each.test, "error": 9.5})
        if each.spec.seed < 3
        else each
        for each in honest
    ]
    found = examined(tmp_path, edited)
    by_id = {each.id: each for each in edited}

    class Again:
        def run(self, jobs: list[Job], started: object = None) -> Iterator[Outcome]:
            for job in jobs:
                yield Outcome(job, (parted(msgspec.structs.replace(honest[job.spec.seed], environment={})),))

    said: list[tuple[int, str]] = []
    work = [Job((each.spec,), "cpu") for each in edited]
    run(found, by_id, work, Again(), lambda one, compared: said.append((one.spec.seed, compared.result)))  # type: ignore[arg-type]
    assert (0, "within") in said  # beside the two others it was not far off
    assert {seed for seed, result in said if result == "off"} == {0, 1, 2}
    verdicts, _ = read(tmp_path)
    assert {id_: [each.word for each in words] for id_, words in verdicts.items()} == {
        each.id: ["failed" if each.spec.seed < 3 else "verified"] for each in edited
    }


def test_elsewhere_a_number_that_no_rounding_changes_has_to_be_the_same() -> None:
    one = record()
    assert one.cost is not None
    other = msgspec.structs.replace(one, cost=msgspec.structs.replace(one.cost, backward_passes=300))
    assert loosely(one, other, {}).result == "off"
    diverged = msgspec.structs.replace(one, status="diverged", message="step 3: losses are [nan]")
    assert loosely(one, diverged, {}).result == "unclear"
    assert exactly(one, diverged).result == "off"
    assert exactly(one, msgspec.structs.replace(one, status="error", message="no such package")).result == "unclear"


def test_an_edit_is_not_scattered_and_another_platform_is() -> None:
    one = record()
    curve = [*one.curve[:-1], msgspec.structs.replace(one.curve[-1], train_losses=[3.0, 4.0])]
    assert not scattered(one, msgspec.structs.replace(one, curve=curve))
    every = [
        msgspec.structs.replace(
            point,
            **{name: [value * (1 + 1e-7) for value in getattr(point, name)] for name in ("train_losses", "validation_losses", "weights")},
        )
        for point in one.curve
    ]
    assert scattered(one, msgspec.structs.replace(one, curve=every))


def examined(folder: Path, records: list[RunRecord]) -> Examined:
    here = Here(tasks.Locations())
    found = Examined(Store(folder), here, {}, Copies(here))
    for each in records:
        found.look(each, "")
        found.entries[each.id].obstacle = ""
    found.condemned.clear()  # no training made these
    return found


def test_every_row_and_problem_has_its_turn_and_a_seed_repeats(tmp_path: Path) -> None:
    records = [
        record(seed, entrant=entrant, problem=problem)
        for seed in range(6)
        for entrant in ("equal", "rlw")
        for problem in ("digits", "wine")
    ]
    found = examined(tmp_path, records)
    found.suspects.clear()
    found.copies.coinciding.clear()
    drawn = draw(found, 4, seed=3)
    assert draw(found, 4, seed=3) == drawn
    assert any(draw(found, 4, seed=seed) != drawn for seed in range(4, 8))
    assert Counter((found.entries[id_].row[1], found.entries[id_].problem) for id_ in drawn) == {
        (entrant, problem): 1 for entrant in ("equal", "rlw") for problem in ("digits", "wine")
    }
    rows: set[Row] = {found.entries[id_].row for id_ in draw(found, 2, seed=0)}
    assert len(rows) == 2
    assert len(draw(found, None, seed=0)) == 2, "at least one a row, and each of these took long"
    assert len(draw(found, 100, seed=0)) == len(records)
    assert draw(found, 0, seed=0) == []
    for id_ in drawn:
        found.entries[id_].word = "verified"
    assert not set(draw(found, 100, seed=0)) & set(drawn)
    assert set(draw(found, 100, seed=0, again=True)) >= set(drawn)


def test_seeds_that_end_alike_are_copies_and_others_are_not(tmp_path: Path) -> None:
    found = examined(tmp_path, [record(seed) for seed in range(3)])
    assert found.suspicions() == {}
    twin = msgspec.structs.replace(record(3), curve=record(1).curve)
    found = examined(tmp_path, [record(0), record(1), twin])
    assert found.suspicions().keys() == {record(1).id, twin.id}
    assert "losses equal those of seed 1" in found.suspicions()[twin.id]


def test_entrants_that_coincide_are_said_unless_a_card_says_so(tmp_path: Path) -> None:
    twins = [record(0), record(0, entrant="rlw")]
    others = [
        shifted(record(seed, entrant=entrant), 0.1 * seed + 0.01 * len(entrant)) for seed in (1, 2, 3) for entrant in ("equal", "rlw")
    ]
    found = examined(tmp_path, [*others, *twins])
    assert list(found.copies.coinciding) == [("toy", "equal", "rlw")]
    assert found.suspicions() == {}, "methods may coincide on a problem: only running them again tells"
    assert set(draw(found, 2, seed=0)) == {each.id for each in twins}, "so they come first"


def test_the_first_step_does_not_depend_on_the_method(tmp_path: Path) -> None:
    def begun(entrant: str, loss: float) -> RunRecord:
        one = record(0, entrant=entrant, eval_every=1, steps=1)
        return msgspec.structs.replace(one, curve=[msgspec.structs.replace(one.curve[0], step=1, train_losses=[loss, 2.0])])

    assert examined(tmp_path, [begun("equal", 1.0), begun("rlw", 1.0)]).suspicions() == {}
    found = examined(tmp_path, [begun("equal", 1.0), begun("rlw", 1.5)]).suspicions()
    assert "a is 1.5 in the first step, but 1.0 under equal" in found[begun("rlw", 1.5).id]


@pytest.mark.parametrize("fields", [{"steps": 10**12}, {"eval_every": 0}, {"batch_size": -1}, {"seed": -1}, {"steps": 0}])
def test_numbers_that_no_trial_has_are_said_and_nothing_is_computed_from_them(tmp_path: Path, fields: dict[str, Any]) -> None:
    one = record()
    spec = msgspec.structs.replace(one.spec, **fields)
    found = Examined(Store(tmp_path), here := Here(tasks.Locations()), {}, Copies(here))
    found.look(msgspec.structs.replace(one, spec=spec, id=spec.id), "")
    [(name, value)] = fields.items()
    assert found.condemned[spec.id].startswith(f"{name} is {value}; expected ")


def test_long_curves_that_are_not_there_are_not_listed() -> None:
    spec = msgspec.structs.replace(record().spec, steps=2**31 - 1, eval_every=1)
    assert "expected 2147483647, one every 1 steps" in "; ".join(contradictions(msgspec.structs.replace(record(), spec=spec, id=spec.id)))


def test_lists_of_another_length_are_said_and_go_no_further(tmp_path: Path) -> None:
    one = record()
    short = msgspec.structs.replace(one, curve=[msgspec.structs.replace(point, train_losses=[1.0]) for point in one.curve], trained=[0, 1])
    found = Examined(Store(tmp_path), here := Here(tasks.Locations()), {}, Copies(here))
    found.look(short, "")
    assert "1 train_losses at step 10; expected 2, one a task" in found.condemned[one.id]
