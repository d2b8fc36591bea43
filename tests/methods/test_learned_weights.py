"""Uncertainty weighting and AWL: where they rest, what they never do."""

import pytest
import torch

from tests import linear
from tests.inputs import gaussian

LOSSES = torch.tensor([0.05, 1.0, 30.0], dtype=torch.float64)


def rest(name: str, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """(s, weights) after many steps on constant losses."""
    balancer = linear.create(name, 3, lr=0.05, **options)
    for _ in range(1500):
        weights = linear.step(balancer, gaussian(3, 4), LOSSES)[1]
    return balancer.log_variance.detach().double(), weights


def test_uncertainty_rests_at_the_logarithm_of_the_loss() -> None:
    s, weights = rest("uncertainty")
    assert torch.allclose(s, LOSSES.log(), atol=1e-3)
    assert torch.allclose(weights, 1 / (2 * LOSSES), rtol=1e-3)


def test_uncertainty_of_a_classification_rests_at_twice_the_loss_with_the_same_weight() -> None:
    kinds = ["classification", "regression", "objective"]
    s, weights = rest("uncertainty", kinds=kinds)
    assert torch.allclose(s, (torch.tensor([2.0, 1.0, 1.0]) * LOSSES).log(), atol=1e-3)
    assert torch.allclose(weights, 1 / (2 * LOSSES), rtol=1e-3)
    half, _ = rest("uncertainty", kinds=kinds, coefficient="half")
    assert torch.allclose(half, LOSSES.log(), atol=1e-3)


def test_awl_rests_where_liebel_and_koerner_do() -> None:
    s, weights = rest("awl")
    squared = (LOSSES + (LOSSES.square() + 8 * LOSSES).sqrt()) / 4
    assert torch.allclose(s.exp(), squared, rtol=1e-3)
    assert torch.allclose(weights, 1 / (2 * squared), rtol=1e-3)


def test_awl_is_the_published_function_without_its_pole() -> None:
    balancer = linear.create("awl", 3)
    c = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    balancer.log_variance.data = (c.square()).log()
    published = (LOSSES / (2 * c.square()) + torch.log(1 + c.square())).sum()
    assert balancer.objective(LOSSES).item() == pytest.approx(published.item(), rel=1e-9)
    driven = linear.create("awl", 3, lr=0.25)  # c itself would cross zero
    for _ in range(300):
        weights = linear.step(driven, gaussian(3, 4), LOSSES * 1e-3)[1]
        assert bool((weights > 0).all())
        assert bool(weights.isfinite().all())


@pytest.mark.parametrize("name", ["awl", "uncertainty"])
def test_the_learned_parameters_are_stepped_without_a_gradient_left_behind(name: str) -> None:
    balancer = linear.create(name, 3)
    before = balancer.log_variance.detach().clone()
    linear.step(balancer, gaussian(3, 4), LOSSES)
    (parameter,) = balancer.parameters()
    assert parameter.grad is None
    assert not torch.equal(parameter, before)


@pytest.mark.parametrize("name", ["awl", "uncertainty"])
@pytest.mark.parametrize("options", [{"priority": [5, 1, 1]}, {"scale": "mean"}, {"scale": "grad_norm"}], ids=str)
def test_priority_and_scale_leave_what_is_learned_alone(name: str, options: dict[str, object]) -> None:
    plain, changed = linear.create(name, 3), linear.create(name, 3, **options)
    for k in range(5):
        linear.step(plain, gaussian(3, 4, k), LOSSES)
        linear.step(changed, gaussian(3, 4, k), LOSSES)
    assert torch.allclose(plain.log_variance, changed.log_variance, rtol=1e-5)


def test_adam_is_that_of_torch() -> None:
    from methods.adam import Adam

    value, mine = torch.zeros(3, dtype=torch.float64), Adam((3,), 0.1, torch.float64)
    theirs = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.Adam([theirs], lr=0.1)
    for k in range(20):
        gradient = gaussian(1, 3, k)[0] * 10.0 ** (k % 5)
        mine.step(value, gradient)
        theirs.grad = gradient
        optimizer.step()
    assert linear.close(value, theirs.detach(), 1e-9)
