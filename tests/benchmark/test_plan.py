"""From a request to trials: prefixes, grids, selection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import UNSET

import methods
import tasks
from benchmark import plan
from benchmark.errors import UsageError
from benchmark.plan import Entrant, Study, choose_entrants, choose_methods, evaluation, parse_value, tuning, with_overrides
from methods.foreign import source


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


def test_where_there_is_a_search_a_default_is_pinned_too() -> None:
    """Else the row of α = 1.5 in a grid over α would be the best of a search over α."""
    entrants = choose_entrants(["gradnorm"], ["gradnorm.alpha=0.12,1.5"], searched=True)
    assert [entrant.label for entrant in entrants] == ["gradnorm(alpha=0.12)", "gradnorm(alpha=1.5)"]


OBJECTS = (
    "import torch\ndef total(losses, power=1.0):\n    return losses.sum() ** power\nclass Needy:\n    def __init__(self, level): ...\n"
)


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Path]:
    known = dict(source._known)
    path = tmp_path / "mine.py"
    path.write_text(OBJECTS, encoding="utf-8")
    yield path
    source._known.clear()
    source._known.update(known)


def test_an_object_of_a_file_takes_part_under_its_name_wherever_the_file_is(objects: Path) -> None:
    asked = study(requested=f"{objects}:total", settings=(f"{objects}:total.power=1,2.5", "mine.py:total.learning_rate=0.5"))
    assert asked.sources == (f"{objects}:total",)
    mine = [spec for spec in evaluation(asked) if spec.method == "mine.py:total"]
    assert {spec.entrant for spec in mine} == {f"mine.py:total(learning_rate=0.5, power={power})" for power in (1, 2.5)}
    assert {spec.release for spec in mine} == {UNSET}
    elsewhere = objects.parent / "elsewhere" / "mine.py"
    elsewhere.parent.mkdir()
    objects.rename(elsewhere)
    source._known.clear()
    again = study(requested=f"{elsewhere}:total", settings=("mine.py:total.power=1,2.5", "mine.py:total.learning_rate=0.5"))
    assert ids(evaluation(again)) == ids(evaluation(asked))


def test_a_release_is_another_trial_and_another_search(objects: Path) -> None:
    before = [spec for spec in evaluation(study(requested=f"{objects}:total")) if spec.method == "mine.py:total"]
    objects.write_text(f"__version__ = '2'\n{OBJECTS}", encoding="utf-8")
    after = [spec for spec in evaluation(study(requested=f"{objects}:total")) if spec.method == "mine.py:total"]
    assert {spec.release for spec in after} == {"2"}
    assert not ids(before) & ids(after)
    assert not {plan.group(spec) for spec in before} & {plan.group(spec) for spec in after}


def test_what_an_object_needs_is_asked_for_before_anything_runs(objects: Path) -> None:
    with pytest.raises(UsageError, match=r"mine.py:Needy needs level: --set mine.py:Needy.level=VALUE, or make the object in a file"):
        study(requested=f"{objects}:Needy")
    assert study(requested=f"{objects}:Needy", settings=("mine.py:Needy.level=3",)).entrants[0].label == "mine.py:Needy(level=3)"
    with pytest.raises(methods.MethodError, match=r"mine.py:Needy has no argument 'lvel'; did you mean 'level'"):
        study(requested=f"{objects}:Needy", settings=("mine.py:Needy.lvel=3",))
    with pytest.raises(methods.MethodError, match="its own scale is not known: expected native or grad_norm"):
        study(requested=f"{objects}:total", settings=("mine.py:total.scale=sum",))


def test_an_object_is_tuned_by_its_learning_rate_alone(objects: Path) -> None:
    mine = [spec for spec in tuning(study(budget=4, requested=f"{objects}:total")) if spec.method == "mine.py:total"]
    assert {tuple(spec.hyperparameters.items()) for spec in mine} == {(("parameters_lr", 0.025),)}
    assert len({spec.learning_rate for spec in mine if spec.problem == "wine"}) == 4


def test_a_pinned_hyperparameter_is_never_tuned_and_a_pinned_rate_is_used() -> None:
    asked = study(budget=6, settings=("gradnorm.alpha=0.5", "gradnorm.learning_rate=0.25"))
    mine = [spec for spec in tuning(asked) if spec.method == "gradnorm"]
    assert {spec.hyperparameters["alpha"] for spec in mine} == {0.5}
    assert {spec.learning_rate for spec in mine} == {0.25}
    assert len({spec.hyperparameters["lr"] for spec in mine}) == 6


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
