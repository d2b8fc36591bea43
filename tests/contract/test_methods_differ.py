"""Every method differs from equal weights and from every other, unless its card says that they coincide."""

import itertools
from functools import cache

import pytest
import torch
from torch import Tensor

import methods
from tests import linear
from tests.inputs import gaussian

STEPS = 30
QUICK = {"window": 1, "lr": 0.1, "eta": 1.0, "selected": 2}
LOSSES = torch.tensor([4.0, 0.3, 60.0], dtype=torch.float64)
ROWS = (torch.tensor([1.0, 30.0, 0.05], dtype=torch.float64), LOSSES)
"""Sizes of the gradients: at odds with the losses, and in proportion to them, where methods that divide by the losses are told apart."""
FACTS = {
    "initial_losses": [5.0, 0.7, 40.0],
    "prior_losses": [0.9, 2.0, 11.0],
    "kinds": ["classification", "regression", "regression"],
}


@cache
def trajectory(name: str) -> Tensor:
    """Unit directions on two ill-scaled, conflicting problems: the same gradients and losses for every method, all of them quick."""
    quick = {h.name: QUICK[h.name] for h in methods.card(name).hyperparameters if h.name in QUICK}
    found = []
    for sizes in ROWS:
        balancer = linear.create(name, 3, **FACTS, **quick)
        for k in range(STEPS):
            jacobian = (gaussian(3, 5, seed=k) + 2 * gaussian(3, 5, seed=99)) * sizes[:, None]
            jacobian[2] -= 0.03 * jacobian[0]
            found.append(linear.unit(linear.step(balancer, jacobian, LOSSES * 0.9 ** (k * torch.arange(3)))[0]))
    return torch.stack(found)


@pytest.mark.parametrize(("one", "two"), list(itertools.combinations(methods.names(), 2)))
def test_two_methods_are_one_only_where_a_card_says_so(one: str, two: str) -> None:
    apart = bool(((trajectory(one) - trajectory(two)).norm(dim=1) > 1e-3).any())
    told = two in methods.card(one).coincides or one in methods.card(two).coincides
    assert apart != told
