"""Every weighted gradient has the same norm, or one in proportion to the training rate."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

import methods
from tests import linear
from tests.inputs import gaussian, jacobians, scaled

KAPPA = {
    "unit": lambda norms: 1.0,
    "mean": lambda norms: sum(norms) / len(norms),
    "max": max,
    "min": min,
    "median": lambda norms: (sorted(norms)[(len(norms) - 1) // 2] + sorted(norms)[len(norms) // 2]) / 2,
}


@pytest.mark.parametrize("kappa", KAPPA)
@given(jacobian=jacobians())
def test_weighted_gradients_have_the_norm_kappa(kappa: str, jacobian: Tensor) -> None:
    weights = linear.step(linear.create("grad_normalize", len(jacobian), kappa=kappa), jacobian)[1]
    norms = jacobian.norm(dim=1)
    expected = torch.full_like(norms, float(KAPPA[kappa](norms.tolist())))
    assert torch.allclose(weights * norms, expected, rtol=1e-9, atol=0)


@given(jacobian=jacobians(2, 2, ill_scaled=False))
def test_two_tasks_never_conflict(jacobian: Tensor) -> None:
    update = linear.unit(linear.direction("grad_normalize", jacobian))
    cosine = torch.nn.functional.cosine_similarity(jacobian[0], jacobian[1], dim=0)
    if cosine > -1 + 1e-6:
        assert bool((jacobian @ update >= 0).all())


@pytest.mark.parametrize(("kappa", "degree"), [("unit", 0), ("mean", 1), ("max", 1), ("min", 1), ("median", 1)])
def test_degree(kappa: str, degree: int) -> None:
    jacobian = scaled(gaussian(4, 6))
    plain, big = (linear.direction("grad_normalize", jacobian * s, kappa=kappa) for s in (1.0, 1e4))
    assert linear.close(big, plain * 1e4**degree)


def test_unit_norms_do_not_feel_the_scale_of_a_loss() -> None:
    jacobian, factors = gaussian(4, 6), torch.tensor([[1e-3], [1.0], [20.0], [1e5]])
    plain, rescaled = (linear.direction("grad_normalize", given, kappa="unit") for given in (jacobian, jacobian * factors))
    assert linear.close(rescaled, plain)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.5])
def test_rates_multiply_equal_norms(alpha: float) -> None:
    jacobian, norms = gaussian(3, 6), gaussian(3, 6).norm(dim=1)
    start, now = torch.tensor([4.0, 1.0, 2.0]), torch.tensor([1.0, 0.9, 2.0])
    balancer = linear.create("grad_normalize_rate", 3, alpha=alpha, initial="theory", initial_losses=start.tolist())
    weights = linear.step(balancer, jacobian, now.double())[1]
    progress = (now / start).double()
    assert linear.close(weights * norms, norms.mean() * (progress / progress.mean()) ** alpha, 1e-6)


def test_rates_are_kept_in_bounds() -> None:
    balancer = linear.create("grad_normalize_rate", 2, alpha=1.0, initial="theory")
    jacobian = gaussian(2, 4)
    weights = linear.step(balancer, jacobian, torch.tensor([0.0, 1.0], dtype=torch.float64))[1]
    shares = weights * jacobian.norm(dim=1)
    assert (shares[0] / shares[1]).item() == pytest.approx(1e-3 / 2.0)


@pytest.mark.parametrize("name", ["gradnorm", "grad_normalize_rate"])
def test_a_negative_loss_is_an_error(name: str) -> None:
    balancer = linear.create(name, 2)
    linear.step(balancer, gaussian(2, 4))
    before = {key: value.clone() for key, value in balancer.named_buffers()}
    with pytest.raises(methods.LossRangeError, match=f"{name} compares training rates.*task 0 is -1; expected >= 0"):
        linear.step(balancer, gaussian(2, 4), torch.tensor([-1.0, 1.0], dtype=torch.float64))
    assert all(torch.equal(value, before[key]) for key, value in balancer.named_buffers())
