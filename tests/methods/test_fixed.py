"""Weights set by hand: what they do, and every way to write them wrongly."""

import pytest
import torch

import methods
import tasks
from benchmark import plan
from benchmark.errors import UsageError
from tests import linear
from tests.inputs import gaussian


def test_the_update_is_the_weighted_sum_of_the_gradients() -> None:
    jacobian = gaussian(4, 6, seed=1)
    update, weights = linear.step(linear.create("fixed", 4, weights="1/10/5/200"), jacobian, torch.tensor([0.1, 3.0, 7.0, 1e-4]))
    assert weights is not None
    assert weights.tolist() == [1, 10, 5, 200]
    assert torch.allclose(update, torch.tensor([1.0, 10, 5, 200], dtype=jacobian.dtype) @ jacobian)


def test_the_default_is_the_sum() -> None:
    jacobian = gaussian(3, 6, seed=1)
    update, weights = linear.step(linear.create("fixed", 3), jacobian, torch.ones(3))
    assert weights is not None
    assert weights.tolist() == [1, 1, 1]
    assert torch.allclose(update, 3 * linear.step(linear.create("equal", 3), jacobian, torch.ones(3))[0])


def test_a_task_may_be_left_out() -> None:
    assert linear.step(linear.create("fixed", 2, weights="0/1e-3"), gaussian(2, 3, seed=0), torch.ones(2))[1].tolist() == [0, 1e-3]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("1/10/5", "fixed.weights is '1/10/5': 3 weights; expected 4, one a task"),
        ("1/10/5/200/1", "5 weights; expected 4, one a task"),
        ("1,10,5,200", "fixed.weights is '1,10,5,200'; expected numbers between slashes, as 1/10/5/200, or equal"),
        ("1/ten/5/200", "expected numbers between slashes"),
        ("1//5/200", "expected numbers between slashes"),
        ("", "expected numbers between slashes"),
        ("1/-10/5/200", "expected finite numbers of at least 0, one of them above 0"),
        ("1/nan/5/200", "expected finite numbers of at least 0"),
        ("1/inf/5/200", "expected finite numbers of at least 0"),
        ("0/0/0/0", "one of them above 0"),
    ],
)
def test_what_is_not_a_list_of_weights_is_refused(weights: str, said: str) -> None:
    with pytest.raises(methods.MethodError) as caught:
        methods.create("fixed", 4, weights=weights)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_is_no_list() -> None:
    with pytest.raises(methods.MethodError, match=r"fixed\.weights is 2; expected a word"):
        methods.create("fixed", 1, weights=2)


def test_weights_can_be_set_on_the_command_line() -> None:
    entrants = plan.choose_entrants(["fixed"], ["fixed.weights=equal,1/10/5/200"])
    assert [entrant.label for entrant in entrants] == ["fixed", "fixed(weights=1/10/5/200)"]


def test_weights_survive_a_state_dict() -> None:
    made, empty = (methods.create("fixed", 2, weights=weights) for weights in ("3/4", "equal"))
    empty.load_state_dict(made.state_dict())
    theta = torch.nn.Parameter(torch.ones(2))
    empty.backward([theta[0], theta[1]], shared=[theta])
    assert theta.grad is not None
    assert theta.grad.tolist() == [3, 4]


@pytest.mark.parametrize("given", ["1/two", "1/-1", "0/0"])
def test_what_cannot_be_weights_is_refused_before_anything_runs(given: str) -> None:
    with pytest.raises(methods.MethodError, match=r"fixed\.weights"):
        plan.choose_entrants(["fixed"], [f"fixed.weights={given}"])


def test_weights_of_another_number_of_tasks_are_refused_with_the_tasks() -> None:
    (entrant,) = plan.choose_entrants(["fixed"], ["fixed.weights=1/2"])
    with pytest.raises(
        UsageError, match=r"problem digits: fixed\.weights is '1/2': 2 weights; expected 3, one a task \(identity/ink/slant\)"
    ):
        plan.check_tasks([entrant], tasks.problem("digits").card)
    plan.check_tasks([entrant], tasks.problem("gradnorm_toy").card)
    plan.check_tasks(plan.choose_entrants(["fixed", "equal"], []), tasks.problem("digits").card)
