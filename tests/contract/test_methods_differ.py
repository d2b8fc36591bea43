"""Every method differs from equal weights and from every other, unless its card says that they coincide."""

import itertools

import pytest
import torch
from torch import Tensor

import methods
from tests import linear
from tests.inputs import gaussian

STEPS = 6
ROWS = torch.tensor([[1.0], [30.0], [0.05]], dtype=torch.float64)
FACTS = {
    "initial_losses": [5.0, 0.7, 40.0],
    "prior_losses": [0.9, 2.0, 11.0],
    "kinds": ["classification", "regression", "regression"],
}

QUICK = {"excess_mtl": {"eta": 1.0}}  # at its default it leaves equal weights so slowly that six steps do not show it


def trajectory(name: str) -> Tensor:
    """Unit directions on an ill-scaled, conflicting problem: the same gradients and losses for every method."""
    balancer = linear.create(name, 3, **FACTS, **QUICK.get(name, {}))
    found = []
    for k in range(STEPS):
        jacobian = (gaussian(3, 5, seed=k) + 2 * gaussian(3, 5, seed=99)) * ROWS
        jacobian[2] -= 0.03 * jacobian[0]
        values = torch.tensor([4.0, 0.3, 60.0], dtype=torch.float64) * 0.9 ** (k * torch.arange(3))
        found.append(linear.unit(linear.step(balancer, jacobian, values)[0]))
    return torch.stack(found)


TRAJECTORIES = {name: trajectory(name) for name in methods.names()}


@pytest.mark.parametrize(("one", "two"), list(itertools.combinations(methods.names(), 2)))
def test_two_methods_are_one_only_where_a_card_says_so(one: str, two: str) -> None:
    apart = bool(((TRAJECTORIES[one] - TRAJECTORIES[two]).norm(dim=1) > 1e-3).any())
    told = two in methods.card(one).coincides or one in methods.card(two).coincides
    assert apart != told
