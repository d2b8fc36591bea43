"""Methods that see every coordinate: reference values, expectations, state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import methods
from methods.graddrop import drop
from methods.solvers import project_simplex
from tests import linear
from tests.inputs import gaussian

# Directions of torchjd 0.18.0, and of an exact evaluation of the formula at U = 0.5.
A = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)
B = torch.tensor([[1.0, 2, 0, -1], [-2, 0.5, 1, 0.5], [0.5, -1.5, 3, 1]], dtype=torch.float64)
D = torch.tensor([[1.0, 0], [0, 2], [1, 1]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("jacobian", "uniform", "expected"),
    [
        (A, [0.970053, 0.70782, 0.459383], [-4.0, 2.0, 2.0]),
        (A, [0.5] * 3, [6.0, 2.0, 2.0]),
        (B, [0.970053, 0.70782, 0.459383, 0.920748], [-2.0, -1.5, 4.0, -1.0]),
        (B, [0.5] * 4, [-2.0, 2.5, 4.0, 1.5]),
        (D, [0.970053, 0.70782], [2.0, 3.0]),
    ],
)
def test_graddrop_for_given_draws(jacobian: Tensor, uniform: list[float], expected: list[float]) -> None:
    assert drop(jacobian, torch.tensor(uniform, dtype=torch.float64), 0.0).tolist() == pytest.approx(expected, rel=1e-6)


def test_graddrop_is_the_sum_on_average_and_with_full_leak_always() -> None:
    balancer = methods.create("graddrop", 3)
    mean = sum(balancer.direction(B, torch.ones(3)) for _ in range(20_000)) / 20_000
    assert linear.close(mean, B.sum(0), 0.03)
    assert linear.close(drop(B, torch.rand(4, dtype=torch.float64), 1.0), B.sum(0))


@pytest.mark.parametrize(("jacobian", "expected"), [(B, [0.5, 0.5, 1.0, 0.5]), (D, [1.0, 1.0])])
def test_trimmed_mean(jacobian: Tensor, expected: list[float]) -> None:
    assert linear.direction("trimmed_mean", jacobian).tolist() == pytest.approx(expected, rel=1e-6)


def test_trimmed_mean_lies_between_the_extremes_of_every_coordinate() -> None:
    jacobian = gaussian(6, 9)
    update = linear.direction("trimmed_mean", jacobian, trim=2)
    assert bool(((update >= jacobian.amin(0)) & (update <= jacobian.amax(0))).all())


def test_excess_mtl_starts_with_the_sum_and_keeps_its_total_weight() -> None:
    balancer = linear.create("excess_mtl", 3, eta=1.0)
    assert linear.close(linear.step(balancer, B)[0], B.sum(0), 1e-6)
    louder = B * torch.tensor([[5.0], [1.0], [1.0]])
    for _ in range(5):
        linear.step(balancer, louder)
    weights = 3 * balancer.log_weights.softmax(0)
    assert weights.sum().item() == pytest.approx(3.0)
    assert weights.argmax().item() == 0


def test_excess_mtl_is_the_formula() -> None:
    """Two steps written out with the [T, P] temporaries that the method avoids."""
    balancer = linear.create("excess_mtl", 3, eta=0.3)
    first, second = B, gaussian(3, 4)
    linear.step(balancer, first)
    update = linear.step(balancer, second)[0]
    start = (first**2 / (first**2 + 1e-7).sqrt()).sum(1)
    excess = (second**2 / (first**2 + second**2 + 1e-7).sqrt()).sum(1)
    weights = torch.exp(0.3 * excess / start)
    assert linear.close(update, 3 * weights / weights.sum() @ second, 1e-9)


def test_moco_with_full_tracking_and_no_decay_is_projected_gradient_descent_on_mgdas_problem() -> None:
    balancer = linear.create("moco", 3, beta=1.0, gamma=0.02, decay=0.0)
    for _ in range(3_000):
        update = linear.step(balancer, B)[0]
    assert linear.close(update, linear.direction("mgda", B), 1e-6)


def test_moco_tracks_gradients_from_zero() -> None:
    balancer = linear.create("moco", 3, beta=0.25, gamma=0.0, decay=0.0)
    assert linear.close(linear.step(balancer, B)[0], 0.25 * B.mean(0), 1e-9)
    assert linear.close(linear.step(balancer, B)[0], (1 - 0.75**2) * B.mean(0), 1e-9)


def test_projection_on_the_simplex_is_the_nearest_point() -> None:
    for seed in range(50):
        point = 3 * gaussian(1, 5, seed)[0]
        nearest = project_simplex(point)
        assert nearest.sum().item() == pytest.approx(1.0)
        assert bool((nearest >= 0).all())
        # Optimality: moving towards any vertex does not bring it nearer.
        slopes = (nearest - point) @ (torch.eye(5, dtype=torch.float64) - nearest).T
        assert bool((slopes >= -1e-12).all())


@pytest.mark.parametrize("point", [[-4.5e16], [1e300, -1e300], [3e17, 3e17, 0.0]])
def test_projection_on_the_simplex_where_1_is_rounding_beside_the_numbers(point: list[float]) -> None:
    largest = [float(value == max(point)) for value in point]
    torch.testing.assert_close(
        project_simplex(torch.tensor(point, dtype=torch.float64)), torch.tensor(largest, dtype=torch.float64) / sum(largest)
    )


def test_a_change_of_shape_begins_anew_with_a_warning() -> None:
    balancer = linear.create("moco", 3)
    linear.step(balancer, B)
    with pytest.warns(UserWarning, match="starts anew"):
        linear.step(balancer, gaussian(3, 7))
