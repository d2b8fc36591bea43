"""L / sg(L): the gradient of Σ log L, without its traps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import linear
from tests.inputs import gaussian


@given(values=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5))
def test_the_gradient_is_that_of_the_sum_of_logarithms(values: list[float]) -> None:
    jacobian = gaussian(len(values), 4)
    theta, losses = linear.losses_of(jacobian, torch.tensor(values, dtype=torch.float64))
    expected = torch.autograd.grad(sum(loss.log() for loss in losses), theta)[0]
    actual = linear.direction("realtime_loss", jacobian, torch.tensor(values, dtype=torch.float64))
    assert linear.close(actual, expected, 1e-9, scale=(jacobian.norm(dim=1) / torch.tensor(values)).max())


def test_a_zero_loss_is_clamped_and_counted() -> None:
    balancer = linear.create("realtime_loss", 2)
    for _ in range(3):
        update, weights = linear.step(balancer, gaussian(2, 3), torch.tensor([0.0, 2.0], dtype=torch.float64))
    assert bool(update.isfinite().all())
    assert weights.tolist() == pytest.approx([1e8, 0.5])
    assert balancer.events == {"clamped_loss": 3}


def test_a_negative_loss_is_not_climbed() -> None:
    jacobian, values = gaussian(2, 3), torch.tensor([-4.0, 2.0], dtype=torch.float64)
    update, weights = linear.step(linear.create("realtime_loss", 2), jacobian, values)
    assert weights.tolist() == [0.25, 0.5]
    assert linear.close(update, jacobian[0] / 4 + jacobian[1] / 2)


def test_the_total_is_the_number_of_tasks() -> None:
    assert linear.create("realtime_loss", 3).objective(torch.tensor([3.0, 1e-3, 50.0])).item() == pytest.approx(3.0)
