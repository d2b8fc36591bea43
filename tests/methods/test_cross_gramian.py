"""SDMGrad and MoDo: gradients of one batch multiplied with those of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import methods
from methods.solvers import nearest_definite, project_simplex
from tests import linear, nets
from tests.inputs import gaussian

B = torch.tensor([[1.0, 2, 0, -1], [-2, 0.5, 1, 0.5], [0.5, -1.5, 3, 1]], dtype=torch.float64)


def step(balancer: methods.Method, *jacobians: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """(direction ``[P]``, weights ``[T]``) where every batch has a Jacobian of its own."""
    theta = nn.Parameter(torch.zeros(jacobians[0].shape[1], dtype=jacobians[0].dtype))
    losses = [linear.losses_at(theta, jacobian) for jacobian in jacobians]
    weights = balancer.backward(losses[0], shared=[theta], evaluate=lambda k: losses[k], **options).weights
    assert weights is not None
    return theta.grad, weights


def seen(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Tensor]:
    """Every A that the method is given from now on."""
    kind, found = methods.get(name), []
    weights = kind.weights  # type: ignore[attr-defined]

    def spy(self: methods.Method, cross: Tensor, norms: Tensor) -> Tensor:
        found.append(cross.clone())
        result: Tensor = weights(self, cross, norms)
        return result

    monkeypatch.setattr(kind, "weights", spy)
    return found


@pytest.mark.parametrize("name", ["sdmgrad", "modo"])
def test_the_two_factors_come_from_two_batches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public code fills all of its Jacobians from one buffer, so that its double sampling is a single batch."""
    found = seen(monkeypatch, name)
    jacobians = [gaussian(3, 4, seed) for seed in range(3 if name == "sdmgrad" else 2)]
    update, weights = step(linear.create(name, 3), *jacobians)
    assert torch.allclose(found[0], jacobians[-2] @ jacobians[-1].T)
    followed = jacobians[0] if name == "sdmgrad" else (jacobians[0] + jacobians[1]) / 2
    assert linear.close(update, weights @ followed)


@pytest.mark.parametrize("name", ["sdmgrad", "modo"])
def test_the_cross_gramian_is_unbiased_where_that_of_one_batch_is_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, draws, spread = seen(monkeypatch, name), 300, 2.0
    generator, balancer = torch.Generator().manual_seed(0), linear.create(name, 3)
    for draw in range(2 * draws):
        noisy = [B + spread * torch.randn(B.shape, generator=generator, dtype=B.dtype) for _ in range(3)]
        step(balancer, *(noisy if draw < draws else [noisy[0]] * 3))
    two, one = torch.stack(found).split(draws)
    bias = spread**2 * B.shape[1] * torch.eye(3, dtype=B.dtype)
    error = 4 * two.std(0).max() / draws**0.5
    assert bool(((two.mean(0) - B @ B.T).abs() < error).all())
    assert bool(((one.mean(0) - B @ B.T - bias).abs() < 3 * error).all())
    assert bias[0, 0] > 3 * error


@pytest.mark.parametrize("name", ["sdmgrad", "modo"])
@pytest.mark.parametrize("options", [{"priority": [1, 2, 0]}, {"scale": "grad_norm"}, {"scale": "sum"}], ids=str)
def test_priority_and_scale_on_batches_that_differ(name: str, options: dict[str, Any]) -> None:
    jacobians = [gaussian(3, 4, seed) for seed in range(3)]
    followed = jacobians[0] if name == "sdmgrad" else (jacobians[0] + jacobians[1]) / 2
    _, native = step(linear.create(name, 3), *jacobians)
    update, weights = step(linear.create(name, 3, **options), *jacobians)
    assert linear.close(update, weights @ followed)
    if options.get("scale") == "grad_norm":
        assert update.norm().item() == pytest.approx(followed.mean(0).norm().item())
        assert linear.close(linear.unit(weights), linear.unit(native))
    else:
        assert linear.close(weights, native * torch.tensor(options.get("priority", [3.0] * 3), dtype=native.dtype))


@pytest.mark.parametrize("name", ["sdmgrad", "modo"])
def test_heads_get_the_plain_gradient_of_the_batches_that_are_followed(name: str) -> None:
    net, other = nets.build(), nets.build(seed=1)
    mine = [net.plain(task) for task in range(3)]
    x, targets = net.x, net.targets
    net.x, net.targets = other.x, other.targets
    theirs = [net.plain(task) for task in range(3)]
    further = net.losses()
    net.x, net.targets = x, targets
    linear.create(name, 3).backward(net.losses(), shared=net.shared(), evaluate=lambda k: further)
    for task in range(3):
        expected = mine[task] if name == "sdmgrad" else (mine[task] + theirs[task]) / 2
        assert linear.close(nets.grads(net.private(task)), expected)


def test_modo_by_hand() -> None:
    """J₁ = [[1], [2]], J₂ = [[3], [1]]: A = [[3, 1], [6, 2]], λ = (1/2, 1/2) - γ (2 + ρ/2, 4 + ρ/2) projected, γ = 1/10, ρ = 1."""
    first, second = (torch.tensor(rows, dtype=torch.float64)[:, None] for rows in ([1.0, 2.0], [3.0, 1.0]))
    balancer = linear.create("modo", 2, gamma=0.1, rho=1.0)
    update, weights = step(balancer, first, second)
    assert weights.tolist() == pytest.approx([0.6, 0.4])  # (0.25, 0.05) + 0.35
    assert update.tolist() == pytest.approx([0.6 * 2.0 + 0.4 * 1.5])  # the update follows the new weights
    _, weights = step(balancer, first, second)  # A λ = (2.2, 4.4): (0.6, 0.4) - 0.1 (2.8, 4.8) = (0.32, -0.08), + 0.38
    assert weights.tolist() == pytest.approx([0.7, 0.3])


def test_modo_follows_mgda_through_noise_where_one_batch_is_pulled_to_equal_weights() -> None:
    """Over many small steps λ goes to the min-norm weights of the true gradients; noise in one batch adds σ² P I to their Gramian."""
    generator = torch.Generator().manual_seed(3)
    true = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    found = []
    for batches in (2, 1):
        balancer = linear.create("modo", 2, gamma=5e-3, rho=0.0)
        mean = torch.zeros(2, dtype=torch.float64)
        for k in range(800):
            noisy = [true + 2 * torch.randn(2, 2, generator=generator, dtype=torch.float64) for _ in range(batches)]
            _, weights = step(balancer, noisy[0], noisy[-1])
            mean += weights * (k >= 200) / 600
        found.append(mean[0].item())
    assert found[0] == pytest.approx(0.9, abs=0.05)  # (9, 1) / 10
    assert found[1] == pytest.approx(17 / 26, abs=0.05)  # with 8 on the diagonal


@pytest.mark.parametrize("seed", range(20))
def test_sdmgrad_on_two_tasks_is_its_closed_form(seed: int) -> None:
    rows, lam = gaussian(2, 3, seed), 0.2 * seed
    (a, b), (_, c) = linear.gramian(rows).tolist()
    x = min(max((1 + lam) * (c - b) / (a + c - 2 * b) - lam / 2, 0.0), 1.0)
    expected = torch.tensor([x + lam / 2, 1 - x + lam / 2], dtype=torch.float64) / (1 + lam)
    assert linear.close(step(linear.create("sdmgrad", 2, lam=lam), *[rows] * 3)[1], expected)


def test_sdmgrad_lies_between_mgda_and_the_mean() -> None:
    rows = gaussian(4, 6)
    assert linear.close(linear.direction("sdmgrad", rows, lam=0.0), linear.direction("mgda", rows))
    assert linear.close(linear.direction("sdmgrad", rows, lam=1e6), rows.mean(0), 1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_sdmgrad_solves_its_problem_for_the_definite_part_of_noise(seed: int) -> None:
    """Stationary on the simplex for the nearest matrix, where A itself has negative eigenvalues; in whatever order the tasks come."""
    jacobians, lam = [gaussian(4, 2, 10 * seed + k) for k in range(3)], 0.6
    cross = jacobians[1] @ jacobians[2].T
    assert torch.linalg.eigvalsh(cross + cross.T)[0] < 0
    balancer = linear.create("sdmgrad", 4, lam=lam)
    w = (1 + lam) * step(balancer, *jacobians)[1] - lam / 4
    norms = ((jacobians[1].square() + jacobians[2].square()).sum(1) / 2).sqrt()
    gramian = torch.from_numpy(nearest_definite(cross.numpy(), norms.numpy()))
    slopes = gramian @ (w + lam / 4)
    assert bool((w >= -1e-12).all())
    assert float(w @ slopes - slopes.min()) <= 1e-12 * float(gramian.abs().max())
    assert balancer.events == {}
    order = [2, 0, 3, 1]
    assert linear.close(step(balancer, *(rows[order] for rows in jacobians))[1], step(balancer, *jacobians)[1][order], 1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_no_gramian_is_farther_from_the_nearest_definite_matrix_than_from_the_noisy_one(seed: int) -> None:
    true, noise = gaussian(5, 3, seed), [3 * gaussian(5, 3, 100 + 2 * seed + k) for k in range(2)]
    cross = ((true + noise[0]) @ (true + noise[1]).T).numpy()
    norms = np.linspace(1.0, 3.0, 5)
    nearest = nearest_definite(cross, norms)
    relative = [matrix / np.outer(norms, norms) for matrix in (nearest, (cross + cross.T) / 2, cross, linear.gramian(true).numpy())]
    assert np.linalg.eigvalsh(relative[0])[0] >= -1e-12
    assert np.linalg.norm(relative[0] - relative[3]) < np.linalg.norm(relative[1] - relative[3]) < np.linalg.norm(relative[2] - relative[3])
    gramian = linear.gramian(gaussian(3, 5, seed)).numpy()
    assert np.array_equal(nearest_definite(gramian, np.ones(3)), (gramian + gramian.T) / 2)  # what is definite stays


def test_the_official_inner_loop_goes_on_from_the_weights_before_and_does_not_settle() -> None:
    balancer = linear.create("sdmgrad", 3, inner="official", lam=0.3)
    scaled = linear.gramian(B) / linear.gramian(B).diagonal().sqrt().mean() ** 2
    w = torch.full((3,), 1 / 3, dtype=torch.float64)
    for _ in range(3):
        velocity = torch.zeros(3, dtype=torch.float64)
        for _ in range(20):
            velocity = 0.5 * velocity + scaled @ (w + 0.1)
            w = project_simplex(w - 10 * velocity)
        assert linear.close(step(balancer, B, B, B)[1], (w + 0.1) / 1.3)
    exact = step(linear.create("sdmgrad", 3, lam=0.3), B, B, B)[0]
    assert (w + 0.1) @ linear.gramian(B) @ (w + 0.1) > 1.05 * 1.3**2 * exact @ exact


@pytest.mark.parametrize("name", ["sdmgrad", "modo"])
def test_a_task_may_be_silent_on_one_batch_or_on_all(name: str) -> None:
    silent = B.clone()
    silent[1] = 0.0
    for batches in ([silent, B, B], [B, silent, B], [B, B, silent], [silent] * 3):
        update, weights = step(linear.create(name, 3), *batches)
        assert bool(update.isfinite().all())
        assert weights.sum().item() == pytest.approx(1.0)
    assert name == "modo" or weights[1] == 0
