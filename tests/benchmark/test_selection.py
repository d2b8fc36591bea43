"""Which configuration of a search is shown: by validation metrics alone, from the records alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

import methods
from benchmark import budgets, plan
from benchmark.records import BadRecord, MetricInfo, Point, RunRecord, check
from benchmark.selection import Search, choose, group, largest, shown
from tests.made import make

LOSS = "normalised_loss"


def tuned(
    trial: int, loss: float | None, error: float = 1.0, accuracy: float = 0.5, *, entrant: str = "equal", status: str = "ok", **fields: Any
) -> RunRecord:
    """A tuning record of task a's ``error`` (lower is better) and task b's ``accuracy``."""
    record = make(role="tune", seed=plan.TUNING_SEED, trial=trial, entrant=entrant, status=status, **fields)
    point = Point(step=10, train_losses=[], validation_losses=[], weights=[], score=loss, seconds=0.0)
    metrics = {"error": error, "accuracy": accuracy}
    values = {key: value for key, value in metrics.items() if record.metrics[key].task in {record.tasks[t] for t in record.trained}}
    return replace(record, curve=[point], selected_step=10, validation=values)


def single(task: int, trial: int = 0, *, entrant: str = "single_task", **metrics: float) -> RunRecord:
    return tuned(trial, 0.5, entrant=entrant, trained=[task], hyperparameters={"task": task}, **metrics)


BASELINE = [single(0, error=1.0), single(1, accuracy=0.5)]


def picked(records: list[RunRecord], budget: int = 8, **how: Any) -> dict[str, int]:
    chosen = choose(records, Search(budget, **how))
    return {
        choice.record.spec.entrant: choice.record.spec.trial for choice in chosen.values() if choice.record.spec.method != "single_task"
    }


def test_the_lowest_normalised_loss_within_the_budget_is_chosen() -> None:
    records = [tuned(0, 0.9), tuned(1, 0.2, status="diverged"), tuned(2, 0.5), tuned(3, None), tuned(4, 0.5), tuned(5, 0.1)]
    assert picked(records, 5, rule=LOSS) == {"equal": 2}
    assert picked(records[::-1], 5, rule=LOSS) == {"equal": 2}
    assert picked(records, 6, rule=LOSS) == {"equal": 5}
    assert picked(records[:1], 6, rule=LOSS) == {"equal": 0}
    assert picked([], 6, rule=LOSS) == {}


def test_validation_delta_m_weighs_relative_changes_whatever_the_losses_say() -> None:
    records = [tuned(0, 0.1, 1.0, 0.5), tuned(1, 0.2, 0.9, 0.5), tuned(2, 0.3, 1.0, 0.6), tuned(3, 0.4, 0.5, 0.2), *BASELINE]
    assert picked(records, rule=LOSS) == {"equal": 0}
    assert picked(records) == {"equal": 2}  # Δm 0, -5, -10, and (-50 + 60) / 2 = 5
    assert picked(records, 2) == {"equal": 1}
    random.Random(0).shuffle(records)
    assert picked(records) == {"equal": 2}


def test_single_task_training_is_tuned_against_its_own_defaults_task_by_task() -> None:
    records = [*BASELINE, single(0, 1, error=0.8), single(0, 2, error=1.2), single(1, 1, accuracy=0.4)]
    chosen = choose(records, Search(8))
    assert {choice.record.trained[0]: choice.record.spec.trial for choice in chosen.values()} == {0: 1, 1: 0}
    assert {choice.rule for choice in chosen.values()} == {"validation_delta_m"}


@pytest.mark.parametrize(
    "baseline",
    [
        [],
        BASELINE[:1],
        [BASELINE[0], replace(BASELINE[1], status="diverged")],
        [single(0, 1), single(1, 1)],
        [replace(each, spec=replace(each.spec, steps=7)) for each in BASELINE],
        [single(0, error=0.0), single(1, accuracy=0.0)],
    ],
    ids=["none", "one task lacks", "one task failed", "not the defaults", "another protocol", "all zero"],
)
def test_without_a_baseline_the_normalised_loss_decides_and_that_is_said(baseline: list[RunRecord]) -> None:
    records = [tuned(0, 0.2, 0.5), tuned(1, 0.1, 2.0), *baseline]
    chosen = choose(records, Search(8))
    mine = chosen[group(records[0].spec)]
    assert (mine.record.spec.trial, mine.rule) == (1, LOSS)
    _, notes = shown(records, Search(8))
    assert any("digits: equal" in note and "chosen by normalised_loss" in note for note in notes)


def test_a_metric_whose_baseline_is_0_is_left_out_and_one_that_is_not_compared_too() -> None:
    records = [tuned(0, 0.1, 1.0, 0.5), tuned(1, 0.2, 0.9, 0.5), tuned(2, 0.3, 5.0, 0.6), single(0, error=0.0), single(1, accuracy=0.5)]
    assert picked(records) == {"equal": 2}
    metrics = {
        "error": MetricInfo(higher_is_better=False, task="a"),
        "accuracy": MetricInfo(higher_is_better=True, task="b", compared=False),
    }
    whole = [replace(record, metrics=metrics) for record in [*records[:3], *BASELINE]]
    assert picked(whole) == {"equal": 1}


def test_a_finished_run_that_lacks_a_metric_never_wins() -> None:
    records = [tuned(0, 0.9), replace(tuned(1, 0.1), validation={"error": 0.1}), *BASELINE]
    assert picked(records) == {"equal": 0}


def test_selection_never_sees_the_test_split() -> None:
    """Whatever evaluation records hold, the choice is the same; and a tuning record with test metrics is no record."""
    records = [tuned(0, 0.1, 1.0), tuned(1, 0.2, 0.9), tuned(2, 0.3, 1.1), *BASELINE]
    before = choose(records, Search(8))
    for error, accuracy in ((0.0, 1.0), (9.0, 0.0)):
        for validation in ({}, {"error": 0.0, "accuracy": 1.0}):
            seen: list[Mapping[str, float]] = [validation, {"error": error, "accuracy": accuracy}]
            evaluated = [
                replace(make(test=seen[1], entrant=entrant, trial=trial), validation=seen[0])
                for entrant in ("equal", "single_task")
                for trial in range(3)
            ]
            assert choose([*evaluated, *records], Search(8)) == before
    with pytest.raises(BadRecord, match="must not see the test split"):
        check(replace(records[0], test={"error": 0.0, "accuracy": 1.0}))


def test_an_unpinned_baseline_goes_before_a_pinned_one() -> None:
    pinned = [single(task, entrant="single_task(learning_rate=0.1)", error=0.5, accuracy=0.9) for task in (0, 1)]
    records = [tuned(0, 0.1, 1.0, 0.5), tuned(1, 0.2, 0.9, 0.45)]  # Δm 0 and 0 against the one; 72 and 65 against the other
    assert picked([*records, *pinned]) == {"equal": 1}
    assert picked([*pinned, *records, *BASELINE]) == {"equal": 0}


def test_only_the_trials_of_the_search_compete_and_the_defaults_are_in_all() -> None:
    records = [
        tuned(0, 0.5),
        tuned(1, 0.4),
        tuned(1, 0.3, search="grid"),
        tuned(1, 0.2, study_seed=3),
        tuned(2, 0.6, study_seed=3),
    ]
    rates = [choose(records, Search(8, rule=LOSS, **how)).popitem()[1].record for how in ({}, {"kind": "grid"}, {"seed": 3})]
    assert rates == [records[1], records[2], records[3]]
    assert (largest(records).seed, largest(records).budget) == (3, 3)
    assert largest(records, "grid") == Search(2, "grid")
    assert largest(records[:3]) == Search(2)
    assert largest(records[:1]) == Search(1)


def test_a_table_shows_what_its_search_chose_and_says_how() -> None:
    scores = {"error": 0.5, "accuracy": 0.5}
    records = [tuned(0, 0.5, 1.0), tuned(1, 0.4, 0.5), tuned(1, 0.3, 0.5, search="grid"), *BASELINE]
    evaluated = [
        *(make(test=scores, trial=trial, seed=seed) for trial in (0, 1) for seed in (0, 1)),
        make(test=scores, trial=1, search="grid"),
        make(test=scores, entrant="mgda", trial=1),
    ]
    kept, notes = shown([*records, *evaluated], Search(2))
    assert kept == evaluated[2:4]
    assert any("search over up to 2" in note and "validation_delta_m" in note for note in notes)
    assert any("no row for mgda" in note for note in notes)
    assert shown([*records, *evaluated], Search(1))[0] == evaluated[:2]
    assert shown([*records, *evaluated], Search(2, "grid"))[0] == evaluated[4:5]


@pytest.mark.parametrize("kind", ["optuna", "asha"])
def test_what_an_adaptive_search_made_is_in_no_table_of_equal_budgets(kind: str) -> None:
    """However good it is, and even where it is all there is: it is counted and named, and neither chosen nor shown."""
    scores = {"error": 0.1, "accuracy": 0.9}
    fair = [tuned(0, 0.5, 1.0), tuned(1, 0.4, 0.9), *BASELINE]
    found = [tuned(trial, 0.1, 0.1, 0.9, search=kind) for trial in range(1, 20)]
    stopped = tuned(20, 0.01, 0.01, 0.99, search=kind, status="stopped")
    evaluated = [make(test=scores, trial=1), make(test=scores, trial=1, search=kind), make(test=scores, trial=0)]
    records = [*fair, *found, stopped, *evaluated]
    assert largest(records) == Search(2)
    assert picked(records, 100) == {"equal": 1}
    for search in (Search(1), Search(2), Search(100), Search(100, "grid")):
        kept, notes = shown(records, search)
        assert evaluated[1] not in kept
        assert any(note.startswith("21 records of adaptive searches left out") and f"equal ({kind})" in note for note in notes)
    assert largest([*found, stopped]) == Search(1)
    own = Search(100, "optuna" if kind == "optuna" else "asha", rule="normalised_loss")
    assert picked(records, 100, kind=own.kind, rule=own.rule) == {"equal": 1}
    kept, notes = shown(records, own)
    assert kept == evaluated[1:2]
    assert any(
        "not a comparison at equal budgets" in note and f"No leaderboard shows a configuration that {kind}" in note for note in notes
    )


def searched(entrant: str, budget: int, **fields: Any) -> list[RunRecord]:
    """What a search of this budget leaves: its trials, and evaluations of its first and last."""
    scores = {"error": 0.5, "accuracy": 0.5}
    tuning = [tuned(trial, 1.0 - trial / 100, entrant=entrant, **fields) for trial in range(budget)]
    return [*tuning, *(make(test=scores, entrant=entrant, trial=trial, **fields) for trial in sorted({0, budget - 1}))]


def test_by_default_a_table_is_of_the_largest_budget_that_all_who_were_searched_had() -> None:
    records = [*searched("gradnorm", 8), *searched("gradnorm", 2), *searched("pcgrad", 2), *searched("equal", 2), *searched("rlw", 1)]
    records = list({record.id: record for record in records}.values())
    search = budgets.common(records)
    assert search == Search(2)
    kept, _ = shown(records, search)
    assert {record.spec.entrant: record.spec.trial for record in kept} == {"gradnorm": 1, "pcgrad": 1, "equal": 1, "rlw": 0}
    sizes = budgets.sizes(records, search)
    more, never = budgets.notes(sizes, search, kept, asked=False)
    assert "compared: gradnorm; --budget 8 shows" in more
    assert never == "unequal budgets: never searched, shown with the published defaults: rlw"
    asked = Search(8)
    kept, _ = shown(records, asked)
    assert {record.spec.entrant: record.spec.trial for record in kept} == {"gradnorm": 7, "pcgrad": 1, "equal": 1, "rlw": 0}
    fewer, never = budgets.notes(sizes, asked, kept, asked=True)
    assert fewer == "unequal budgets: searched 2 of 8: equal, pcgrad"
    assert budgets.notes(sizes, Search(1), kept, asked=True) == []


def test_equal_budgets_need_no_note_and_one_problem_may_have_had_more() -> None:
    records = [*searched("gradnorm", 4), *searched("equal", 4)]
    assert budgets.common(records) == Search(4)
    assert budgets.notes(budgets.sizes(records, Search(4)), Search(4), records, asked=False) == []
    records += [*searched("equal", 2, problem="wine"), *searched("gradnorm", 2, problem="wine")]
    assert budgets.common(records) == Search(2)
    (note,) = budgets.notes(budgets.sizes(records, Search(2)), Search(2), records, asked=False)
    assert "compared: equal on digits, gradnorm on digits; --budget 4" in note
    assert budgets.common([*searched("gradnorm", 8, search="grid"), *records]) == Search(2)
    assert budgets.common([]) == Search(1)


def test_a_space_with_nothing_left_to_try_has_had_any_budget() -> None:
    """Its trials are fewer than the budget, as what repeats is not run."""
    fixed = "equal(learning_rate=0.001)"
    records = [*searched("gradnorm", 4), *searched(fixed, 1)]
    records = [replace(r, spec=replace(r.spec, method_version=methods.card(r.spec.method).version)) for r in records]
    assert budgets.sizes(records, Search(4)) == {("gradnorm", "digits"): 4, (fixed, "digits"): 4}
    assert budgets.common(records) == Search(4)
