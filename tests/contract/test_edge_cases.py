"""The contract for edge cases, method by method: one task, zero gradients, values that are not finite, parameters out of reach."""

import pytest

import methods
from methods.contract import edges
from tests import linear

NAMES = methods.names()
GRADIENT = [name for name in NAMES if edges.of_gradients(name)]
PLAIN = [name for name in GRADIENT if name not in linear.OBJECTIVE]
ZERO_ROW = {
    "mgda": "stops",  # the shortest convex combination with a zero gradient is zero
    "cr_mogm": "stops",  # its default base is mgda
    "cagrad": "counts",  # g_0 is the mean over all tasks
    **dict.fromkeys(("gradnorm", "moco", "modo"), "keeps its weight"),  # T weights of a fixed sum; gradnorm's drive the heads too
}
"""What a task whose gradient is zero is expected to do, where it is not as if it were absent."""


@pytest.mark.parametrize("name", NAMES)
def test_the_update_is_finite_on_every_named_input(name: str) -> None:
    edges.stays_finite(name)


@pytest.mark.parametrize("name", NAMES)
def test_one_task(name: str) -> None:
    edges.one_task(name)


@pytest.mark.parametrize("name", PLAIN)
def test_a_zero_row_is_an_absent_task(name: str) -> None:
    assert edges.zero_row(name) == ZERO_ROW.get(name, "absent")


@pytest.mark.parametrize("name", NAMES)
def test_all_rows_zero(name: str) -> None:
    edges.all_zero(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", edges.BAD)
def test_a_loss_that_is_not_finite_makes_nan_and_leaves_the_state(name: str, bad: float) -> None:
    edges.loss_not_finite(name, bad)


@pytest.mark.parametrize("name", GRADIENT)
def test_a_gradient_that_is_not_finite_makes_nan_and_leaves_the_state(name: str) -> None:
    edges.gradient_not_finite(name)


@pytest.mark.parametrize("name", NAMES)
def test_unused_parameters_are_zeros_and_unreached_ones_keep_none(name: str) -> None:
    edges.reach(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_gradient_of_an_unreached_parameter_stays(name: str) -> None:
    edges.existing_gradient(name)


@pytest.mark.parametrize("name", NAMES)
def test_tasks_that_share_no_parameter(name: str) -> None:
    edges.nothing_shared(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_without_a_graph_counts_as_zeros(name: str) -> None:
    edges.loss_without_graph(name)


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_with_a_graph_is_an_error(name: str) -> None:
    edges.no_graph(name)
