"""A run can be saved, copied and continued in the middle, and its seed alone decides what is drawn."""

import pytest

import methods
from methods.contract import state

NAMES = methods.names()


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_continues_identically_in_a_fresh_object(name: str) -> None:
    state.fresh(name)


@pytest.mark.parametrize("name", NAMES)
def test_loading_into_a_used_object_forgets_what_it_saw(name: str) -> None:
    state.used(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_continues_identically_and_apart(name: str) -> None:
    state.copied(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides(name: str) -> None:
    state.determinism(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_names_is_saved(name: str) -> None:
    state.names(name)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_stays_as_wide_as_it_was_made(name: str) -> None:
    state.stays_wide(name)
