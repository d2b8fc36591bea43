"""Auto-λ, MOML and FORUM against derivatives taken through the virtual steps by brute force, on a net that is not linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import methods
import methods.auto_lambda
from methods.families.several import BilevelMethod, Lookahead
from methods.solvers import constrained_min_norm, min_norm
from tests import linear, nets
from tests.inputs import gaussian

T = 3


class Pair(nn.Module):
    """A trunk, three heads and two batches; ``evaluate(k)`` gives the losses of batch k, also at other parameters."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        net = nets.build(seed=seed)
        self.trunk, self.heads = net.trunk, nn.ModuleList(net.heads)
        generator = torch.Generator().manual_seed(seed)
        self.x = [torch.randn(12, 5, generator=generator, dtype=torch.float64) for _ in range(2)]
        self.y = [[0.3 * 2.0**t * torch.randn(12, 2, generator=generator, dtype=torch.float64) for t in range(T)] for _ in range(2)]

    def forward(self, k: int) -> list[Tensor]:
        z = self.trunk(self.x[k])
        return [(head(z) - y).square().mean() for head, y in zip(self.heads, self.y[k], strict=True)]

    def evaluate(self, k: int) -> list[Tensor]:
        losses: list[Tensor] = self(k)
        return losses

    def at(self, parameters: dict[str, Tensor], k: int) -> Tensor:
        """Losses ``[T]`` at other parameters, differentiable."""
        return torch.stack(functional_call(self, parameters, (k,)))

    def stepped(self, weights: Tensor, rate: float, start: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Parameters after an SGD step on batch 0, as a differentiable function of the weights."""
        here = start or dict(self.named_parameters())
        gradients = torch.autograd.grad((weights * self.at(here, 0)).sum(), list(here.values()), create_graph=True)
        return {name: p - rate * g for (name, p), g in zip(here.items(), gradients, strict=True)}

    def rows(self, k: int) -> Tensor:
        """Gradients ``[T, P]`` over trunk and heads."""
        own = list(self.parameters())
        return torch.stack([nets.flat(torch.autograd.grad(x, own, retain_graph=True, materialize_grads=True)) for x in self(k)])

    def step(self, balancer: methods.Method, **options: Any) -> methods.Step:
        return balancer.backward(self.evaluate(0), shared=self.trunk, evaluate=self.evaluate, **options)

    def update(self) -> Tensor:
        return nets.grads(list(self.parameters()))


def learned(balancer: methods.Method, net: Pair) -> Tensor:
    """The gradient that the method's Adam is given in one step."""
    found: list[Tensor] = []
    learn = balancer.learn  # type: ignore[attr-defined]
    balancer.learn = lambda adam, value, gradient: (found.append(gradient.clone()), learn(adam, value, gradient))  # type: ignore[attr-defined]
    net.step(balancer)
    return found[0]


def uneven(count: int = T) -> Tensor:
    return torch.linspace(0.2, 0.7, count, dtype=torch.float64)


# -- Auto-λ --------------------------------------------------------------------------------------------------------------------------


def auto_lambda(**options: Any) -> methods.Method:
    balancer = linear.create("auto_lambda", T, **{"virtual_lr": 0.5, **options})
    balancer.shares.copy_(uneven())
    return balancer


def hypergradient(net: Pair, rate: float, primary: int = T) -> Tensor:
    """∂/∂λ of the primary losses on batch 1 after the virtual step, by autograd."""
    weights = uneven().requires_grad_()
    return torch.autograd.grad(net.at(net.stepped(weights, rate), 1)[:primary].sum(), weights)[0]


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_auto_lambda_learns_by_the_hypergradient(primary: int) -> None:
    net = Pair()
    assert linear.close(learned(auto_lambda(primary=primary), net), hypergradient(net, 0.5, primary or T), 1e-4)


def test_the_finite_difference_is_of_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Pair()
    exact, errors = hypergradient(net, 0.5), []
    for reach in (0.04, 0.02, 0.01):
        monkeypatch.setattr(methods.auto_lambda, "REACH", reach)
        errors.append(float((learned(auto_lambda(), net) - exact).norm()))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)


def test_auto_lambda_updates_its_weights_first_and_the_model_follows_the_new_ones() -> None:
    net, balancer = Pair(), auto_lambda(lr=0.05)
    rows = net.rows(0)
    weights = net.step(balancer).weights
    assert linear.close(weights, uneven() - 0.05 * hypergradient(net, 0.5).sign(), 1e-6)  # Adam's first step
    assert torch.equal(weights, balancer.shares)
    assert linear.close(net.update(), weights @ rows)


def test_a_task_that_helps_the_primary_one_gains_weight_and_one_that_hurts_it_loses() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    balancer = linear.create("auto_lambda", 3, primary=1, lr=0.01)
    for _ in range(5):
        linear.step(balancer, rows)
    assert balancer.shares[1] > 0.13
    assert balancer.shares[2] < 0.07


def test_more_primary_tasks_than_tasks_is_an_error() -> None:
    with pytest.raises(methods.MethodError, match=r"auto_lambda.primary is 4; expected a number of tasks, at most 3, or 0 for all"):
        methods.create("auto_lambda", 3, primary=4)


@pytest.mark.parametrize(("name", "rate"), [("auto_lambda", "virtual_lr"), ("moml", "inner_lr")])
def test_a_virtual_step_into_the_blue_teaches_nothing_and_is_counted(name: str, rate: str) -> None:
    net, balancer = nets.build(dtype=torch.float32), linear.create(name, 3)
    setattr(balancer, rate, 1e30)
    before = {key: value.clone() for key, value in balancer.state_dict().items() if isinstance(value, Tensor)}
    weights = linear.backward(balancer, lambda: [loss.square() for loss in net.losses()], shared=net.shared()).weights
    assert bool(weights.isfinite().all())
    assert bool(nets.grads(net.parameters()).isfinite().all())
    assert all(torch.equal(value, before[key]) for key, value in balancer.state_dict().items() if isinstance(value, Tensor))
    assert balancer.events == {"lookahead_not_finite": 1}


# -- MOML ----------------------------------------------------------------------------------------------------------------------------


def test_moml_knows_every_tasks_hypergradient_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    net, balancer = Pair(), linear.create("moml", T, inner_lr=0.5)
    balancer.logits.copy_(uneven())
    logits = uneven().requires_grad_()
    expected = torch.autograd.functional.jacobian(lambda a: net.at(net.stepped(a.softmax(0), 0.5), 1), logits)
    found: list[Tensor] = []
    common = balancer.common  # type: ignore[attr-defined]
    monkeypatch.setattr(balancer, "common", lambda slopes: (found.append(slopes), common(slopes))[1], raising=False)
    gradient = learned(balancer, net)
    assert linear.close(found[0], expected, 1e-9)
    rows = expected / expected.norm(dim=1, keepdim=True)
    assert linear.close(gradient, torch.from_numpy(min_norm(linear.gramian(rows).numpy()).weights) @ rows, 1e-6)


def test_moml_follows_its_new_weights_and_no_task_gets_worse_by_them() -> None:
    net, balancer = Pair(), linear.create("moml", T, inner_lr=0.5, lr=1e-4)
    rows, start = net.rows(0), torch.zeros(T, dtype=torch.float64)
    after = lambda logits: net.at(net.stepped(logits.softmax(0), 0.5), 1).detach()  # noqa: E731
    before = after(start)
    gradient = learned(balancer, net)
    assert linear.close(net.update(), balancer.logits.softmax(0) @ rows)
    assert bool((after(start - 1e-3 * gradient) <= before).all())


def test_equal_gradients_leave_moml_where_it_is() -> None:
    balancer = linear.create("moml", 3)
    linear.step(balancer, gaussian(1, 4).expand(3, 4) * 0.1)
    assert not bool(balancer.logits.any())


# -- FORUM ---------------------------------------------------------------------------------------------------------------------------


def forum(**options: Any) -> methods.Method:
    balancer = linear.create("forum", T, **{"inner_lr": 0.05, **options})
    balancer.logits.copy_(uneven())
    return balancer


def brute_force(net: Pair, phi: float, rate: float, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """(F ``[T, T + P]``, ∇q ``[T + P]``) over (a, θ), F at unit length, and the d of the first step, by projected gradient descent."""
    logits = uneven().requires_grad_()
    own = dict(net.named_parameters())
    there = own
    for _ in range(steps):
        there = {name: p.detach().requires_grad_() for name, p in net.stepped(uneven().softmax(0), rate, there).items()}
    q = logits.softmax(0) @ (net.at(own, 0) - net.at(there, 0).detach())
    gradient = nets.flat(torch.autograd.grad(q, [logits, *own.values()]))
    rows = torch.cat([torch.zeros(T, T, dtype=torch.float64), net.rows(1)], dim=1)
    rows = rows / rows.norm(dim=1, keepdim=True)
    level = phi * gradient.square().sum()
    found = torch.full((T,), 1 / T, dtype=torch.float64)
    for _ in range(4000):  # ∇f(λ) of the convex function that is left when ν(λ) is put in
        nu = (level - gradient @ (found @ rows)).clamp(min=0) / gradient.square().sum()
        found = methods.solvers.project_simplex(found - 0.2 * rows @ (found @ rows + nu * gradient))
    nu = (level - gradient @ (found @ rows)).clamp(min=0) / gradient.square().sum()
    return rows, gradient, found @ rows + nu * gradient


@pytest.mark.parametrize("phi", [0.02, 0.5])
@pytest.mark.parametrize("steps", [1, 4])
def test_forum_is_the_aggregated_gradient_over_weights_and_model(phi: float, steps: int) -> None:
    net, balancer = Pair(), forum(phi=phi, inner_step=steps)
    rows, gradient, expected = brute_force(net, phi, 0.05, steps)
    outer = learned(balancer, net)
    assert balancer.events == {}
    update = torch.cat([outer, net.update()])
    assert linear.close(update, expected, 1e-6)
    assert update @ gradient >= phi * gradient.square().sum() * (1 - 1e-9)  # the value function falls fast enough
    products = rows @ update
    least = products.min()
    assert bool((products[balancer.shares > 1e-9] <= least + 1e-9).all())  # the tasks with weight gain least


def test_forum_hears_what_is_small_beside_a_task_of_the_other_batch() -> None:
    """A loss that is flat on this batch and steep on the other does not make the gradient of this one rounding."""

    def update(slope: float) -> float:
        theta = nn.Parameter(torch.tensor([0.0, 1.0]))

        def evaluate(k: int) -> list[Tensor]:
            return [slope * theta[0] + 1, 3 - theta[1]] if k else [(theta[0] - 5).relu() + 1, 3 + theta[1]]

        methods.create("forum", 2).backward(evaluate(0), shared=[theta], evaluate=evaluate)
        assert theta.grad is not None
        return theta.grad[1].item()

    assert update(1e8) == pytest.approx(update(1.0), rel=1e-4)
    assert update(1.0) > 0


def test_forum_averages_its_weights_over_windows() -> None:
    net, balancer, newest = Pair(), forum(window=2), []
    fresh = balancer.newest  # type: ignore[attr-defined]
    balancer.newest = lambda *given: (newest.append(fresh(*given)), newest[-1])[1]  # type: ignore[attr-defined]
    expected = torch.zeros(T, dtype=torch.float64)
    for step in range(5):
        for heads in net.heads:
            nn.init.normal_(heads.weight, generator=torch.Generator().manual_seed(step))
        net.step(balancer)
        expected = expected + (1 + step // 2) ** -0.75 * (newest[step] - expected)
        assert linear.close(balancer.shares, expected)
    assert not linear.close(newest[3], newest[4], 1e-3)


def test_an_inner_step_that_raises_the_lower_level_is_not_counted_in() -> None:
    net = Pair()
    here = torch.stack(net.evaluate(0)).detach()
    balancer = forum(inner_lr=50.0)
    outer = learned(balancer, net)
    assert balancer.events == {"inner_rise": 1}
    assert not bool(outer.any())  # no better point is known: q = 0 as a function of a
    ahead = Lookahead(balancer, net.evaluate(0), given(net))
    inner = uneven().softmax(0)
    assert torch.equal(balancer.descend(ahead, ahead.gradient(ahead.batch(0), inner), inner), here)  # type: ignore[attr-defined]


def given(net: Pair) -> Any:
    from methods.base import Given

    return Given(None, None, None, None, 1.0, lambda k, graph: net.evaluate(k))


@pytest.mark.parametrize("steps", [1, 5])
def test_forum_counts_its_passes(steps: int) -> None:
    balancer = forum(inner_step=steps)
    Pair().step(balancer)
    assert balancer.backward_passes == T + steps + 2


# -- what they share -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auto_lambda", "moml", "forum"])
def test_heads_are_found_in_the_graph_and_moved_and_frozen_ones_are_not(name: str) -> None:
    net = Pair()
    net.heads[1].bias.requires_grad_(False)
    bare = nn.Parameter(torch.ones(3))  # no loss reaches it
    x = net.x[0].requires_grad_()  # a leaf, but no parameter
    seen: list[set[str]] = []
    start = {key: p.detach().clone() for key, p in net.named_parameters()}

    def evaluate(k: int) -> list[Tensor]:
        seen.append({key for key, p in net.named_parameters() if not torch.equal(p, start[key])})
        return net.evaluate(k)

    before = x.detach().clone()
    linear.create(name, T).backward(net.evaluate(0), shared=[*net.trunk.parameters(), bare], evaluate=evaluate)
    assert set().union(*seen) == {key for key, p in net.named_parameters() if p.requires_grad}
    assert torch.equal(x, before)
    assert bare.grad is None
    assert x.grad is not None  # as after a plain backward


@pytest.mark.parametrize("name", ["auto_lambda", "moml", "forum"])
def test_shared_need_not_be_given(name: str) -> None:
    one, two = Pair(), Pair()
    one.step(linear.create(name, T))
    linear.create(name, T).backward(two.evaluate(0), evaluate=two.evaluate)
    assert torch.equal(one.update(), two.update())


def test_losses_that_reach_no_parameter_are_an_error() -> None:
    tensor = torch.ones(2, requires_grad=True)
    losses: Callable[..., list[Tensor]] = lambda k=0: [tensor.sum(), tensor.square().sum()]  # noqa: E731
    with pytest.raises(methods.MethodError, match="moml: the losses reach no parameter"):
        methods.create("moml", 2).backward(losses(), evaluate=losses)
    methods.create("moml", 2).backward(losses(), shared=[tensor], evaluate=losses)


def test_methods_of_ones_own() -> None:
    """Weights for two batches at once, heads included; wrong shapes."""

    class Both(BilevelMethod):
        card = methods.Card(name="both", version=1, title="", paper="", year=2026, family="several", equation="")

        def weights(self, ahead: Lookahead) -> Tensor:
            return torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.5, 3.0]], dtype=torch.float64)

    class Wrong(Both):
        def weights(self, ahead: Lookahead) -> Tensor:
            return torch.ones(3, 3)

    class Crossed(methods.CrossGramianMethod):
        card = Both.card

        def weights(self, cross: Tensor, norms: Tensor) -> Tensor:
            return norms[:2]

    net = Pair()
    with pytest.raises(
        methods.MethodError, match=r"both: weights\(\) returned shape \(3, 3\) .*; expected .* \(3,\) or \(K, 3\) with K up to 2"
    ):
        net.step(Wrong(T))
    with pytest.raises(
        methods.MethodError, match=r"both: weights\(\) returned shape \(2,\) and .*; expected a real tensor of shape \(3,\)"
    ):
        net.step(Crossed(T))
    net = Pair()
    expected = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64) @ net.rows(0) + torch.tensor(
        [0.0, 0.5, 3.0], dtype=torch.float64
    ) @ net.rows(1)
    taken = net.step(Both(T))
    assert linear.close(net.update(), expected)
    assert taken.weights is not None
    assert taken.weights.tolist() == [1.0, 2.5, 3.0]


def test_the_solver_of_forum_is_certified_on_drawn_problems() -> None:
    draws = np.random.default_rng(0)
    for number in range(300):
        tasks, columns = int(draws.integers(1, 12)), int(draws.integers(1, 20))
        rows = draws.normal(size=(tasks, columns))
        if number % 3 == 1:
            rows = rows[np.arange(tasks) // 2]
        last = (draws.random(tasks) @ rows * (-1) ** number) if number % 3 == 2 else draws.normal(size=columns)
        rows = np.vstack([rows, last])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        level = 10.0 ** draws.uniform(-6, 6)
        found = constrained_min_norm(rows @ rows.T, level)
        assert found.gap <= 1e-10
        assert (found.weights >= 0).all()
        assert found.weights.sum() == pytest.approx(1.0)
        assert rows[-1] @ (found.weights @ rows[:-1] + found.multiplier * rows[-1]) >= level * (1 - 1e-9) - 1e-12
