"""Methods that ask for further batches: what they are given, what they leave as it was, whatever happens on the way."""

import pytest

import methods
from methods.contract import batches

SEVERAL = [name for name in methods.names() if methods.get(name).extra_batches]
ALONE = [name for name in methods.names() if name not in SEVERAL]


@pytest.mark.parametrize("name", SEVERAL)
def test_without_evaluate_the_error_says_what_to_write(name: str) -> None:
    batches.asks(name)


@pytest.mark.parametrize("name", ALONE)
def test_a_method_that_asks_for_none_ignores_evaluate(name: str) -> None:
    batches.ignores(name)


@pytest.mark.parametrize("name", SEVERAL)
def test_every_batch_that_is_asked_for_is_used_and_no_other(name: str) -> None:
    batches.uses(name)


@pytest.mark.parametrize("name", SEVERAL)
def test_parameters_keep_their_bits_their_address_and_their_version(name: str) -> None:
    batches.keeps_parameters(name)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("call", range(1, 1 + batches.CALLS))
def test_an_exception_on_the_way_leaves_everything_as_it_was(name: str, call: int) -> None:
    batches.survives(name, call)


@pytest.mark.parametrize("name", SEVERAL)
def test_the_first_graph_gives_the_gradients_of_where_the_parameters_are(name: str) -> None:
    batches.spans(name)


@pytest.mark.parametrize("name", SEVERAL)
def test_evaluate_runs_in_the_mode_of_the_call(name: str) -> None:
    batches.keeps_mode(name)


@pytest.mark.parametrize("name", SEVERAL)
def test_losses_of_evaluate_are_checked_like_the_first(name: str) -> None:
    batches.checks_losses(name)


@pytest.mark.parametrize("name", SEVERAL)
def test_a_further_batch_that_is_not_finite_leaves_the_state(name: str) -> None:
    batches.further_not_finite(name)


@pytest.mark.parametrize("name", SEVERAL)
def test_the_state_is_in_float64(name: str) -> None:
    batches.is_wide(name)
