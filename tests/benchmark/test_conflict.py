"""Cosines of the task gradients: what is computed, who has them, and that nothing else changes."""

from __future__ import annotations

import math

import msgspec
import pytest
import torch
from msgspec import UNSET

import methods
from benchmark.conflict import conflict
from benchmark.records import Point


def test_it_is_the_mean_cosine_of_all_pairs_and_steps_and_the_share_of_negative_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    jacobians = [torch.randn(4, 7, generator=generator, dtype=torch.float64) for _ in range(5)]
    expected = [torch.cosine_similarity(j[a], j[b], dim=0).item() for j in jacobians for a in range(4) for b in range(a)]
    found = conflict([j @ j.T for j in jacobians])
    assert found is not None
    assert found[0] == pytest.approx(sum(expected) / len(expected), abs=1e-14)
    assert found[1] == sum(each < 0 for each in expected) / len(expected)


def test_a_gradient_of_zero_has_no_angle() -> None:
    gramian = torch.tensor([[1.0, -2.0, 0.0], [-2.0, 4.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert conflict([gramian]) == (-1.0, 1.0)
    assert conflict([torch.zeros(3, 3, dtype=torch.float64)]) is None
    assert conflict([torch.ones(1, 1, dtype=torch.float64)]) is None
    assert conflict([]) is None


@pytest.mark.parametrize("path", ["rows", "layers"])
def test_a_step_of_a_gramian_method_shows_the_gramian_without_priorities(path: str) -> None:
    torch.manual_seed(0)
    trunk, heads = torch.nn.Linear(5, 4), [torch.nn.Linear(4, 1) for _ in range(3)]
    z = torch.tanh(trunk(torch.randn(6, 5)))
    losses = [head(z).square().mean() for head in heads]
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(trunk.parameters()), retain_graph=True)]) for loss in losses]
    expected = (torch.stack(rows) @ torch.stack(rows).T).double()
    step = methods.create("mgda", num_tasks=3, priority=[1.0, 2.0, 3.0], path=path).backward(losses, shared=trunk.parameters())
    assert step.gramian is not None
    assert torch.allclose(step.gramian, expected, rtol=1e-5, atol=1e-12)


def test_held_weights_and_loss_methods_show_none() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    seen = []
    for balancer in (methods.create("mgda", num_tasks=2, every=2), methods.create("equal", num_tasks=2)):
        for _ in range(2):
            losses = [(weight * torch.tensor(direction)).sum().square() for direction in ([1.0, 0.5], [0.2, 1.0])]
            seen.append(balancer.backward(losses, shared=[weight]).gramian is not None)
    assert seen == [True, False, False, False]


def test_a_method_that_overwrites_its_gramian_does_not_change_what_is_shown() -> None:
    class Vandal(type(methods.create("mgda", num_tasks=2))):  # type: ignore[misc]
        def weights(self, gramian: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
            gramian.fill_(math.pi)
            return torch.ones_like(losses)

    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    step = Vandal(2).backward([weight[0] * 2, weight[1] * 3], shared=[weight])
    assert step.gramian is not None
    assert step.gramian.tolist() == [[4.0, 0.0], [0.0, 9.0]]


def test_points_from_before_can_be_read_and_points_without_look_as_before() -> None:
    old = b'{"step":1,"train_losses":[1.0],"validation_losses":[1.0],"weights":[],"score":1.0,"seconds":0.1}'
    point = msgspec.json.decode(old, type=Point)
    assert point.cosine is UNSET
    assert msgspec.json.encode(point) == old
