"""What a search tries: legal, repeatable, and prefixes of one another."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from test_plan import ids, study

import methods
from benchmark import plan
from benchmark.search import KINDS, RATE, Axis, Kind, grid, propose, space

GRADNORM = methods.card("gradnorm")
NAMES = st.sampled_from(methods.names())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", methods.names())
def test_proposals_are_legal_repeat_and_start_with_the_defaults(name: str, kind: Kind) -> None:
    card = methods.card(name)
    own = card.resolve({})
    assert propose(card, own, 1e-3, 0, kind=kind) == (own, 1e-3)
    for trial in range(1, 12):
        found, rate = propose(card, own, 1e-3, trial, kind=kind)
        assert (found, rate) == propose(card, own, 1e-3, trial, kind=kind)
        assert card.resolve(dict(found)) == found
        assert 1e-4 <= rate <= 1e-2


def test_the_configurations_of_published_records_stay_what_they_were() -> None:
    """Ids of recorded trials hang on these numbers."""
    own = GRADNORM.resolve({})
    tried = [propose(GRADNORM, own, 1e-3, trial) for trial in (1, 2, 7)]
    assert [(found["alpha"], found["lr"], rate) for found, rate in tried] == [
        (1.5, 0.0403, 0.000683),
        (0.499, 0.101, 0.00683),
        (1.83, 0.211, 0.000121),
    ]
    assert propose(GRADNORM, own, 1e-3, 7, pinned=frozenset({RATE})) == (tried[2][0], 1e-3)


@given(name=NAMES, kind=st.sampled_from(KINDS), seed=st.integers(0, 3), trial=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_a_trial_depends_on_space_seed_and_index_alone(name: str, kind: Kind, seed: int, trial: int) -> None:
    card = methods.card(name)
    own = card.resolve({})
    alone = propose(card, own, 1e-3, trial, kind=kind, seed=seed)
    for other in (1, trial + 5, 2):  # in whatever order trials are asked for
        propose(card, own, 1e-3, other, kind=kind, seed=seed)
    assert propose(card, own, 1e-3, trial, kind=kind, seed=seed) == alone


def test_a_study_seed_is_another_sequence_for_quasi_random_and_nothing_for_a_grid() -> None:
    own = GRADNORM.resolve({})
    rates = [{propose(GRADNORM, own, 1e-3, trial, seed=seed)[1] for trial in range(1, 9)} for seed in range(4)]
    assert all(not a & b for a, b in itertools.combinations(rates, 2))
    assert propose(GRADNORM, own, 1e-3, 5, kind="grid", seed=1) == propose(GRADNORM, own, 1e-3, 5, kind="grid")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 3])
def test_a_budget_of_8_is_a_prefix_of_16_and_5_seeds_of_10(kind: Kind, seed: int) -> None:
    def asked(budget: int, seeds: int = 2) -> plan.Study:
        return replace(study(budget=budget, seeds=seeds, requested="gradnorm,aligned_mtl,single_task"), kind=kind, seed=seed)

    small, large = plan.tuning(asked(8)), plan.tuning(asked(16))
    assert ids(small) < ids(large)
    assert [spec for spec in large if spec.trial < 8] == small
    assert ids(plan.evaluation(asked(8, 5))) < ids(plan.evaluation(asked(8, 10)))


def test_the_spec_says_what_proposed_it_and_the_defaults_are_everyones() -> None:
    first, quasi, seeded, gridded = (plan.tuning(replace(study(budget=3), **how)) for how in ({}, {}, {"seed": 7}, {"kind": "grid"}))
    assert ids(first) == ids(quasi)
    for specs, search, seed in ((first, UNSET, UNSET), (seeded, UNSET, 7), (gridded, "grid", UNSET)):
        assert {(spec.search, spec.study_seed) for spec in specs if spec.trial} == {(search, seed)}
        assert {(spec.search, spec.study_seed) for spec in specs if not spec.trial} == {(UNSET, UNSET)}
        assert ids([spec for spec in specs if not spec.trial]) == ids([spec for spec in first if not spec.trial])
    assert not ids([spec for spec in first if spec.trial]) & ids([spec for spec in seeded if spec.trial])


def test_a_grid_looks_along_every_axis_first_then_at_every_combination() -> None:
    axes = (Axis("a", 0.5, 0.0, 2.0), Axis("word", "x", words=("x", "y")), Axis("rate", 1e-3, 1e-4, 1e-2, log=True))
    points = list(itertools.islice(grid(axes), 200))
    assert points[0] == (0.5, "x", 1e-3)
    changed = [sum(value != axis.default for value, axis in zip(point, axes, strict=True)) for point in points]
    assert changed[:6] == [0, 1, 1, 1, 1, 1]
    assert {point[0] for point in points[:6]} == {0.5, 0.0, 2.0}
    full = set(itertools.product((0.5, 0.0, 2.0), ("x", "y"), (1e-3, 1e-4, 1e-2)))
    assert set(points[:18]) == full
    assert len(set(points)) == len(points)


@given(budgets=st.tuples(st.integers(1, 150), st.integers(1, 150)), whole=st.integers(2, 40))
@settings(max_examples=25, deadline=None)
def test_a_larger_grid_holds_the_smaller(budgets: tuple[int, int], whole: int) -> None:
    axes = (Axis("n", 2, 1.0, float(whole)), Axis("c", 0.4, 0.1, 1.0))
    small, large = (list(itertools.islice(grid(axes), budget)) for budget in sorted(budgets))
    assert large[: len(small)] == small


def test_a_grid_of_few_values_ends_and_nothing_is_tried_twice() -> None:
    axes = (Axis("n", 3, 1.0, 5.0), Axis("word", "x", words=("x", "y", "z")))
    assert set(grid(axes)) == set(itertools.product(range(1, 6), "xyz"))
    card = methods.card("aligned_mtl")
    asked = study(budget=8, requested="aligned_mtl", settings=("aligned_mtl.learning_rate=0.01",))
    for kind in KINDS:
        mine = [s for s in plan.tuning(replace(asked, kind=kind)) if s.method == "aligned_mtl" and s.problem == "wine"]
        assert Counter(str(s.hyperparameters["sigma"]) for s in mine) == {"min": 1, "median": 1, "rmse": 1}
        assert mine[0].hyperparameters == card.resolve({})


def test_what_has_nothing_to_search_is_tuned_once() -> None:
    asked = study(budget=8, requested="equal", settings=("equal.learning_rate=0.01",))
    assert len([spec for spec in plan.tuning(asked) if spec.method == "equal" and spec.problem == "wine"]) == 1


def test_a_space_is_the_rate_and_what_the_card_declares_less_what_is_pinned() -> None:
    own = GRADNORM.resolve({})
    assert [axis.name for axis in space(GRADNORM, own, 1e-3)] == [RATE, "alpha", "lr"]
    assert [axis.name for axis in space(GRADNORM, own, 1e-3, frozenset({"alpha", RATE}))] == ["lr"]
