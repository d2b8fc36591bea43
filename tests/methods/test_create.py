"""What can be wrong when a method is created; every message is one line with the value, what was expected and the fix."""

from typing import Any

import numpy as np
import pytest

import methods

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("pcgrd", {}, "unknown method 'pcgrd'; did you mean 'pcgrad'"),
    ("zzzz", {}, "unknown method 'zzzz' .*list"),
    ("gradnorm", {"alfa": 1.0}, r"gradnorm has no hyperparameter 'alfa'; did you mean 'alpha'\? \(it has: alpha, lr, initial, batches\)"),
    ("pcgrad", {"alpha": 1.0}, r"pcgrad has no hyperparameter 'alpha' \(it has: none\)"),
    ("gradnorm", {"alpha": "1.5"}, "gradnorm.alpha is '1.5'; expected a finite number"),
    ("gradnorm", {"alpha": True}, "gradnorm.alpha is True; expected a finite number"),
    ("gradnorm", {"alpha": float("nan")}, "gradnorm.alpha is nan; expected a finite number"),
    ("gradnorm", {"alpha": -1.0}, r"gradnorm.alpha is -1.0; expected a number in \[0, 10\]"),
    ("gradnorm", {"batches": 2.5}, "gradnorm.batches is 2.5; expected a whole number"),
    ("gradnorm", {"batches": 0}, r"gradnorm.batches is 0; expected a number in \[1, inf\]"),
    ("gradnorm", {"initial": "frist"}, r"gradnorm.initial is 'frist'; expected one of first, batches, theory; did you mean 'first'\?"),
    ("mgda", {"normalize": 3}, "mgda.normalize is 3; expected one of none, l2, loss, loss"),
    ("mgda", {"kinds": ["regresion", "regression"]}, "kinds has 'regresion'; expected one of .*did you mean 'regression'"),
    ("mgda", {"kinds": ["regression"]}, "mgda: kinds has 1 entries; expected one for each of the 2 tasks"),
    ("prior_loss", {}, r"prior_loss needs prior_losses: methods.create\('prior_loss', 2, prior_losses=\[...\]\)"),
    ("prior_loss", {"prior_losses": [1.0]}, "prior_losses has 1 entries; expected one for each of the 2 tasks"),
    ("prior_loss", {"prior_losses": [1.0, 0.0]}, "that of task 1 is 0; expected a finite number > 0"),
    ("prior_loss", {"prior_losses": [float("inf"), 1.0]}, "that of task 0 is inf; expected a finite number > 0"),
    ("initial_loss", {"initial": "theory"}, r"initial_loss\(initial='theory'\) needs initial_losses"),
    ("initial_loss", {"initial": "theory", "initial_losses": [1.0, -2.0]}, "that of task 1 is -2; expected a finite number > 0"),
    ("gradnorm", {"initial": "theory", "initial_losses": [1.0, float("nan")]}, "that of task 1 is nan"),
    ("single_task", {"task": 2}, r"single_task.task is 2; expected a task in 0..1"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_wrong_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(methods.MethodError, match=message) as error:
        methods.create(name, 2, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "3", None])
def test_wrong_numbers_of_tasks(wrong: Any) -> None:
    with pytest.raises(methods.MethodError, match=r"num_tasks is .*; expected a whole number of 1 or more"):
        methods.create("equal", wrong)


def test_an_int_given_for_a_float_becomes_one() -> None:
    assert isinstance(methods.create("gradnorm", 2, alpha=1).alpha, float)
    assert isinstance(methods.create("gradnorm", 2, batches=4.0).batches, int)


@pytest.mark.parametrize("name", methods.names())
def test_the_text_of_a_balancer_names_its_settings(name: str) -> None:
    balancer = methods.create(name, 2, prior_losses=[1.0, 1.0])
    shown = repr(balancer)
    assert name in shown
    assert all(f"{h.name}={h.default!r}" in shown for h in methods.card(name).hyperparameters)


def test_numbers_of_numpy_are_numbers_and_become_pythons() -> None:
    made = methods.create("gradnorm", 2, alpha=np.float32(0.5), batches=np.int64(3))
    assert (made.alpha, made.batches) == (0.5, 3)
    assert (type(made.alpha), type(made.batches)) == (float, int)
