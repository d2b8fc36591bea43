"""Objects of other code as methods: they do what they do at home, and nothing of theirs reaches further than that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods
from methods.foreign.randomness import standing_in
from tests import linear, nets
from tests.methods.foreign.loop import resumed, train


def geometric(losses: Tensor) -> Tensor:
    return losses.prod() ** (1 / len(losses))


class Kendall(nn.Module):
    """Uncertainty weighting as a user would write it."""

    def __init__(self, num_tasks: int, start: float = 0.0) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.full((num_tasks,), start))

    def forward(self, losses: Tensor) -> Tensor:
        return (torch.exp(-self.log_variance) * losses + self.log_variance).sum() / 2


STRAY = nn.Parameter(torch.ones(()))


# -- callables and modules -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"priority": [1, 3, 0.5]}, {"scale": "grad_norm"}], ids=str)
def test_a_function_is_the_method_that_it_is(options: dict[str, Any]) -> None:
    assert linear.close(train(methods.adapt(geometric, 3, **options)), train(methods.create("gls", 3, **options)), 1e-10)


def test_a_function_may_take_losses_one_by_one_and_work_in_place() -> None:
    def total(losses: Tensor) -> Tensor:
        losses *= 1.0
        first, *rest = losses
        return first + sum(rest) + 0 * max(losses)

    assert linear.close(train(methods.adapt(total, 3)), train(methods.create("equal", 3, scale="sum")))


def test_losses_as_a_dict_and_a_grad_scaler() -> None:
    class Scaler:
        def get_scale(self) -> float:
            return 1024.0

    nets_ = nets.build(), nets.build()
    methods.adapt(geometric, 3).backward(dict(zip("abc", nets_[0].losses(), strict=True)), grad_scaler=Scaler())
    methods.create("gls", 3).backward(nets_[1].losses())
    assert linear.close(nets.grads(nets_[0].parameters()), 1024 * nets.grads(nets_[1].parameters()), 1e-10)


def test_the_parameters_of_a_module_are_learned_as_those_of_a_method() -> None:
    mine = methods.adapt(Kendall(3), 3, parameters_lr=0.1)
    theirs = methods.create("uncertainty", 3, coefficient="half", lr=0.1)
    assert linear.close(train(mine, 5), train(theirs, 5), 1e-6)  # both keep their logarithms in float32
    assert torch.allclose(mine.object.log_variance, theirs.log_variance)
    assert mine.object.log_variance.abs().min() > 0.1


def test_frozen_parameters_of_a_module_stay() -> None:
    objective = Kendall(3).requires_grad_(False)
    balancer = methods.adapt(objective, 3)
    train(balancer)
    assert torch.equal(objective.log_variance, torch.zeros(3))
    objective.requires_grad_(True)
    train(balancer)
    assert objective.log_variance.abs().min() > 0


def test_an_object_never_sees_losses_that_are_not_finite() -> None:
    seen = []

    def spy(losses: Tensor) -> Tensor:
        seen.append(losses.detach())
        return losses.sum()

    theta = nn.Parameter(torch.ones(2))
    methods.adapt(spy, 2).backward([theta.sum(), theta.sum() * torch.inf])
    assert seen == []
    assert theta.grad.isnan().all()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda losses: losses, r"returned a torch.float64 tensor of shape \(3,\); expected a scalar tensor"),
        (lambda losses: losses.sum().item(), "returned float; expected a scalar tensor"),
        (lambda losses: None, "returned NoneType; expected a scalar tensor"),
        (lambda losses: losses.detach().sum(), "returned a scalar that does not depend on the losses"),
        (lambda losses: losses.sum() * STRAY, "depends on parameters that it does not own"),
    ],
)
def test_objectives_that_are_none(objective: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(methods.MethodError, match=message):
        train(methods.adapt(objective, 3, name="mine"))


def test_a_warning_of_foreign_code_is_a_warning_and_an_exception_itself() -> None:
    def noisy(losses: Tensor) -> Tensor:
        import warnings

        warnings.warn("be careful", RuntimeWarning, stacklevel=1)
        return losses.sum()

    def broken(losses: Tensor) -> Tensor:
        raise KeyError("no such task")

    with pytest.warns(RuntimeWarning, match="be careful"):
        train(methods.adapt(noisy, 3), 1)
    with pytest.raises(KeyError, match="no such task"):
        train(methods.adapt(broken, 3))


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, r"int is of type int; expected a torchjd aggregator, weighting or scalarizer, or a callable losses -> scalar"),
        (Kendall, r"Kendall is a class; expected an object: methods.adapt\(Kendall\(...\), 3\)"),
        (methods.create("equal", 3), "Equal is a method already"),
    ],
)
def test_what_cannot_be_adapted(thing: Any, message: str) -> None:
    with pytest.raises(methods.MethodError, match=message):
        methods.adapt(thing, 3)


@pytest.mark.parametrize(
    "options", [{"scale": "sum"}, {"scale": "mean"}, {"scale": "maen"}, {"parameters_lr": -1.0}, {"name": "a\nb"}], ids=str
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(methods.MethodError) as error:
        methods.adapt(geometric, 3, **options)
    assert "\n" not in str(error.value)


# -- randomness and state --------------------------------------------------------------------------------------------------------------


class Running:
    """A callable that is no module, and keeps what it knows in attributes."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None
        self.steps, self.history, self.kind = 0, [], torch.float32

    def __call__(self, losses: Tensor) -> Tensor:
        self.mean = losses.detach() if self.mean is None else self.mean + 0.5 * (losses.detach() - self.mean)
        self.steps += 1
        self.history = [*self.history, float(self.mean.sum())][-2:]
        return (losses / self.mean).sum() + losses[self.steps % 3] * self.history[0]


class Lazy(nn.Module):
    """A module that creates its buffer at the first step, in plain attributes what the buffer is for."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None)
        self.register_buffer("scratch", torch.ones(1), persistent=False)
        self.shape: tuple[int, ...] | None = None

    def forward(self, losses: Tensor) -> Tensor:
        if self.shape != tuple(losses.shape):
            self.shape, self.mean = tuple(losses.shape), torch.ones_like(losses)
        self.mean = 0.9 * self.mean + losses.detach()
        return (losses / self.mean).sum() * self.scratch.sum()


def noise(losses: Tensor) -> Tensor:
    return losses @ torch.rand_like(losses)


STATEFUL: dict[str, Callable[[], Any]] = {"noise": lambda: noise, "running": Running, "lazy": Lazy, "kendall": lambda: Kendall(3)}


@pytest.mark.parametrize("kind", STATEFUL)
def test_state_is_saved_and_copied(kind: str) -> None:
    resumed(lambda seed: methods.adapt(STATEFUL[kind](), 3, seed=seed))


def test_a_generator_stands_in_and_everything_is_put_back() -> None:
    before = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = torch.rand(5)
    generator = torch.Generator().manual_seed(7)
    drawn: list[Tensor] = []

    def draw(count: int) -> None:
        with standing_in(generator, torch.device("cpu")):
            drawn.append(torch.rand(count))
            raise KeyError

    for count in (2, 3):
        with pytest.raises(KeyError):
            draw(count)
    assert torch.equal(torch.cat(drawn), expected)
    assert torch.equal(torch.get_rng_state(), before)
