"""From a request to trials: prefixes, grids, selection."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from test_records import make

import methods
import tasks
from benchmark import plan
from benchmark.errors import UsageError
from benchmark.plan import Entrant, Study, choose, choose_entrants, choose_methods, evaluation, parse_value, tuning, with_overrides
from benchmark.records import Point
from benchmark.search import propose


def study(budget: int = 1, seeds: int = 2, requested: str = "equal,gradnorm", settings: tuple[str, ...] = ()) -> Study:
    suite = with_overrides(tasks.suite("smoke"), seeds=seeds)
    names, sources = choose_methods(requested)
    fingerprints = {entry.problem: "data" for entry in suite.entries}
    return Study(suite, choose_entrants(names, settings), budget, sources, fingerprints)


def ids(specs: list[plan.TrialSpec]) -> set[str]:
    return {spec.id for spec in specs}


def test_more_seeds_budget_or_methods_only_add_trials() -> None:
    assert ids(evaluation(study(seeds=2))) < ids(evaluation(study(seeds=3)))
    assert ids(tuning(study(budget=4))) < ids(tuning(study(budget=8)))
    assert ids(evaluation(study())) < ids(evaluation(study(requested="all")))


def test_every_method_gets_equally_many_tuning_trials() -> None:
    counts: dict[tuple[str, str, object], int] = {}
    for spec in tuning(study(budget=5, requested="all")):
        key = (spec.problem, spec.entrant, spec.hyperparameters.get("task"))
        counts[key] = counts.get(key, 0) + 1
    assert set(counts.values()) == {5}


def test_tuning_seeds_are_not_evaluation_seeds() -> None:
    asked = study(budget=3, seeds=10)
    assert not {spec.seed for spec in tuning(asked)} & {spec.seed for spec in evaluation(asked)}
    assert {spec.role for spec in tuning(asked)} == {"tune"}


def test_a_budget_of_one_tunes_nothing_and_runs_the_published_defaults() -> None:
    assert tuning(study()) == []
    spec = next(spec for spec in evaluation(study()) if spec.method == "gradnorm")
    assert (spec.trial, spec.hyperparameters) == (0, methods.card("gradnorm").resolve({}))


def test_baselines_take_part_and_single_task_is_one_trial_a_task() -> None:
    specs = [spec for spec in evaluation(study(seeds=1, requested="mgda")) if spec.problem == "wine"]
    assert sorted(spec.method for spec in specs) == ["equal", "mgda", "rlw", "single_task", "single_task", "single_task"]
    assert choose_methods("mgda", baselines=False) == (["mgda"], ())


def test_a_grid_makes_one_entrant_a_combination_and_defaults_are_not_pinned() -> None:
    entrants = choose_entrants(["gradnorm", "mgda"], ["gradnorm.alpha=0.12,1.5", "gradnorm.lr=0.1", "mgda.scale=sum"])
    assert [entrant.label for entrant in entrants] == ["gradnorm(alpha=0.12, lr=0.1)", "gradnorm(lr=0.1)", "mgda(scale=sum)"]
    assert choose_entrants(["gradnorm"], ["gradnorm.alpha=1.5"]) == (Entrant(methods.card("gradnorm")),)
    assert choose_entrants(["gradnorm"], ["gradnorm.alpha=1,1.0"])[0].label == "gradnorm(alpha=1.0)"


def test_a_pinned_hyperparameter_is_never_tuned_and_a_pinned_rate_is_used() -> None:
    asked = study(budget=6, settings=("gradnorm.alpha=0.5", "gradnorm.learning_rate=0.25"))
    mine = [spec for spec in tuning(asked) if spec.method == "gradnorm"]
    assert {spec.hyperparameters["alpha"] for spec in mine} == {0.5}
    assert {spec.learning_rate for spec in mine} == {0.25}
    assert len({spec.hyperparameters["lr"] for spec in mine}) == 6


@pytest.mark.parametrize("name", methods.names())
def test_proposals_are_legal_repeat_and_start_with_the_defaults(name: str) -> None:
    card = methods.card(name)
    own = card.resolve({})
    assert propose(card, own, 1e-3, 0) == (own, 1e-3)
    for trial in range(1, 12):
        found, rate = propose(card, own, 1e-3, trial)
        assert (found, rate) == propose(card, own, 1e-3, trial)
        assert card.resolve(dict(found)) == found
        assert 1e-4 <= rate <= 1e-2


def test_the_best_validation_score_within_the_budget_is_chosen() -> None:
    def tuned(trial: int, score: float | None, status: str = "ok") -> plan.RunRecord:
        record = make(role="tune", seed=plan.TUNING_SEED, trial=trial)
        point = Point(step=10, train_losses=[], validation_losses=[], weights=[], score=score, seconds=0.0)
        return replace(record, curve=[point], selected_step=10, status=status, test={})

    records = [tuned(0, 0.9), tuned(1, 0.2, "diverged"), tuned(2, 0.5), tuned(3, None), tuned(4, 0.5), tuned(5, 0.1)]
    key = plan.group(records[0].spec)
    assert choose(records, 5) == {key: 2}
    assert choose(reversed(records), 5) == {key: 2}
    assert choose(records, 6) == {key: 5}
    assert choose(records[:1], 6) == {key: 0}
    assert choose([], 6) == {}


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.5", 0.5), ("1e-3", 1e-3), ("true", True), ("False", False), ("exact", "exact"), ("loss+", "loss+")]
)
def test_values_are_read_as_what_they_look_like(text: str, value: object) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_a_problem_can_be_picked_and_must_exist() -> None:
    suite = tasks.suite("smoke")
    assert [entry.problem for entry in with_overrides(suite, problems=["wine"]).entries] == ["wine"]
    with pytest.raises(UsageError, match="did you mean 'wine'"):
        with_overrides(suite, problems=["wien"])
    assert with_overrides(suite) == suite
