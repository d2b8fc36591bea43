"""The three families, from the side of somebody who writes a method."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods
from methods import registry
from tests import linear, nets
from tests.inputs import gaussian


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    defined = dict(registry._defined)
    yield
    registry._defined.clear()
    registry._defined.update(defined)


def card(name: str, family: Any, *hyperparameters: methods.Hyperparameter, **options: Any) -> methods.Card:
    return methods.Card(
        name=name, version=1, title="", paper="", year=2026, family=family, equation="", hyperparameters=hyperparameters, **options
    )


def total() -> None:
    @methods.register(card("total", "jacobian"))
    class Total(methods.JacobianMethod):
        def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
            return jacobian.sum(0)


def trimmed() -> None:
    @methods.register(card("trimmed", "jacobian", native_scale="mean"))
    class Trimmed(methods.JacobianMethod):
        calls = 0

        def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
            self.calls += 1
            return jacobian.sort(0).values[1:-1].mean(0)


def test_a_jacobian_method_writes_its_direction_and_plain_heads() -> None:
    trimmed()
    net = nets.build()
    rows = net.jacobian()
    taken = linear.create("trimmed", 3).backward(net.losses(), shared=net.shared())
    assert taken.weights is None
    assert linear.close(net.update(), rows.sort(0).values[1])
    assert all(linear.close(nets.grads(net.private(t)), net.plain(t)) for t in range(3))


@pytest.mark.parametrize("other", [torch.float64, torch.bfloat16])
def test_a_jacobian_method_over_blocks_of_mixed_dtypes(other: torch.dtype) -> None:
    total()
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3, dtype=other)), nn.Parameter(torch.ones(1))]
    losses = [sum(k * p.float().sum() for k, p in enumerate(parameters, 1)), parameters[1].float().square().sum()]
    linear.create("total", 2).backward(losses, shared=parameters)
    assert [p.grad.tolist() for p in parameters] == [[1.0, 1.0], [4.0, 4.0, 4.0], [3.0]]
    assert [p.grad.dtype for p in parameters] == [torch.float32, other, torch.float32]


@pytest.mark.parametrize("options", [{"priority": [1, 3]}, {"priority": [0, 1]}, {"scale": "mean"}, {"scale": "grad_norm"}], ids=str)
def test_the_sum_as_a_jacobian_method_is_the_sum_as_a_loss_method(options: dict[str, Any]) -> None:
    total()
    jacobian = gaussian(2, 5)
    mine = linear.direction("total", jacobian, **options)
    expected = linear.direction("equal", jacobian, **{"scale": "sum", **options})
    if options.get("scale") == "grad_norm":
        assert mine.norm().item() == pytest.approx(jacobian.mean(0).norm().item())
    assert linear.close(linear.unit(mine), linear.unit(expected))
    if "priority" in options:
        assert linear.close(mine, expected)


def test_a_jacobian_method_never_sees_what_is_not_finite() -> None:
    trimmed()
    balancer = linear.create("trimmed", 3)
    update, _ = linear.step(balancer, gaussian(3, 4), torch.tensor([float("nan"), 1.0, 1.0], dtype=torch.float64))
    assert bool(update.isnan().all())
    assert balancer.calls == 0


def test_a_jacobian_method_under_a_grad_scaler() -> None:
    total()

    class Scaler:
        def get_scale(self) -> float:
            return 8.0

    jacobian = gaussian(2, 5)
    assert linear.close(linear.step(linear.create("total", 2), jacobian, grad_scaler=Scaler())[0], 8.0 * jacobian.sum(0))


def test_a_direction_or_weights_of_the_wrong_shape_are_errors() -> None:
    @methods.register(card("short", "jacobian"))
    class Short(methods.JacobianMethod):
        def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
            return jacobian.sum(0)[:-1]

    @methods.register(card("flat", "gramian"))
    class Flat(methods.GramianMethod):
        def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
            return losses.sum()

    with pytest.raises(methods.MethodError, match=r"short: direction\(\) returned shape \(4,\); expected \(5,\)"):
        linear.direction("short", gaussian(2, 5))
    with pytest.raises(methods.MethodError, match=r"flat: weights\(\) returned shape \(\) and .*; expected a real tensor of shape \(2,\)"):
        linear.direction("flat", gaussian(2, 5))


def test_learned_parameters_without_learn_are_an_error() -> None:
    @methods.register(card("forgetful", "loss"))
    class Forgetful(methods.LossMethod):
        def setup(self) -> None:
            self.gain = nn.Parameter(torch.ones(self.num_tasks))

        def objective(self, losses: Tensor) -> Tensor:
            return (losses * self.gain).sum()

    with pytest.raises(methods.MethodError, match=r"forgetful has parameters of its own but no learn\(\) to step them"):
        linear.direction("forgetful", gaussian(2, 5))


def test_an_objective_that_ignores_a_loss_gives_it_weight_zero() -> None:
    @methods.register(card("first_only", "loss"))
    class FirstOnly(methods.LossMethod):
        def objective(self, losses: Tensor) -> Tensor:
            return losses[0]

    update, weights = linear.step(linear.create("first_only", 2), gaussian(2, 5))
    assert weights.tolist() == [1.0, 0.0]
    assert linear.close(update, gaussian(2, 5)[0])


@pytest.mark.parametrize(
    "name", ["forward", "training", "priority", "num_tasks", "seed", "backward", "objective", "events", "generator", "tasks"]
)
def test_a_hyperparameter_that_hides_something_is_refused(name: str) -> None:
    @methods.register(card("hiding", "loss", methods.Hyperparameter(name, 1.0, "")))
    class Hiding(methods.LossMethod):
        def objective(self, losses: Tensor) -> Tensor:
            return losses.sum()

    with pytest.raises(methods.MethodError, match=f"hiding: hyperparameter '{name}' would hide .*: rename it"):
        methods.get("hiding")(2)


def test_a_method_that_is_differentiated_answers_where_gradients_are_off() -> None:
    @methods.register(card("product", "loss"))
    class Product(methods.LossMethod):
        def objective(self, losses: Tensor) -> Tensor:
            return losses.prod()

    @methods.register(card("flattest", "gramian"))
    class Flattest(methods.GramianMethod):
        def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
            w = torch.full_like(losses, 0.5, requires_grad=True)
            (slope,) = torch.autograd.grad(w @ gramian @ w, w)
            return slope

    losses, gramian = torch.tensor([2.0, 3.0]), torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    with torch.no_grad():
        by_losses = methods.create("product", 2).weigh(losses)  # type: ignore[attr-defined]
        by_gramian = methods.create("flattest", 2).weigh(gramian, losses)  # type: ignore[attr-defined]
    assert by_losses.tolist() == [3.0, 2.0]
    assert by_gramian.tolist() == [2.0, 1.0]
    assert not by_losses.requires_grad
    assert not by_gramian.requires_grad
