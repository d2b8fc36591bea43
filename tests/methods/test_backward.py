"""What ``backward`` leaves in ``.grad``, and what it takes as losses and shared parameters."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import methods
from tests import linear, nets

NAMES = methods.names()
FAMILY = {name: methods.card(name).family for name in NAMES}
WEIGHTED_HEADS = [name for name in NAMES if name in linear.OBJECTIVE or methods.card(name).where == "last"]
PLAIN_HEADS = [name for name in NAMES if name not in WEIGHTED_HEADS]
FACTS = {"initial_losses": [3.0, 1.0, 50.0], "prior_losses": [2.0, 0.5, 90.0]}


def create(name: str, **options: Any) -> methods.Method:
    return linear.create(name, 3, **{**FACTS, **options})


def updated(name: str, **given: Any) -> nets.Net:
    net = nets.build()
    linear.backward(create(name), net.losses, **{"shared": net.shared(), **given})
    return net


@pytest.mark.parametrize("name", linear.WEIGHTED)
def test_the_trunk_gets_the_weighted_sum(name: str) -> None:
    net = nets.build()
    rows = net.jacobian()
    weights = linear.backward(create(name), net.losses, shared=net.shared()).weights
    assert linear.close(net.update(), weights @ rows, 1e-6)


@pytest.mark.parametrize("name", PLAIN_HEADS)
def test_heads_get_their_plain_gradient(name: str) -> None:
    net = updated(name)
    for task in range(3):
        assert linear.close(nets.grads(net.private(task)), net.plain(task))


class Doubled(torch.autograd.Function):
    """A backward that works on what it is given in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient.mul_(2)


@pytest.mark.parametrize("name", ["graddrop", "pcgrad", "rotograd_scale", "upgrad"])
def test_what_starts_a_backward_pass_is_the_loss_s_own(name: str) -> None:
    """Autograd hands it on as it is, and leaves may keep it as their gradient: it must not be the start of another pass as well."""
    net = nets.build()
    common, own = torch.nn.Parameter(torch.zeros(1)), [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    create(name).backward([loss + common.squeeze() + p.squeeze() for loss, p in zip(net.losses(), own, strict=True)], shared=net.shared())
    assert common.grad == 3
    for p in own:
        assert p.grad is not None
        assert p.grad == 1
        p.grad.mul_(0)  # as clipping does: no other may change with it
    assert common.grad == 3
    plain = nets.build()
    create(name).backward([Doubled.apply(loss) for loss in plain.losses()], shared=plain.shared())
    for task in range(3):
        assert linear.close(nets.grads(plain.private(task)), 2 * plain.plain(task))


@pytest.mark.parametrize("name", WEIGHTED_HEADS)
def test_heads_follow_the_weighted_total(name: str) -> None:
    net = nets.build()
    weights = linear.backward(create(name), net.losses, shared=net.shared()).weights
    for task in range(3):
        assert linear.close(nets.grads(net.private(task)), weights[task] * net.plain(task), 1e-6)


def test_an_untrained_task_has_no_gradient_at_all() -> None:
    net = nets.build()
    create("single_task", task=1).backward(net.losses())
    assert all(p.grad is None for t in (0, 2) for p in net.private(t))
    assert all(p.grad is not None for p in net.private(1))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_accumulate_over_micro_batches(name: str) -> None:
    net, balancer = nets.build(), create(name)
    parts = []
    for batch in range(2):
        net.clear()
        net.x = net.x.roll(batch, 1)
        linear.backward(balancer, net.losses, shared=net.shared())
        linear.after_step(balancer, net.losses())
        parts.append(nets.grads(net.parameters()))
    net, balancer = nets.build(), create(name)
    first: list[torch.Tensor | None] = []
    for batch in range(2):
        net.x = net.x.roll(batch, 1)
        linear.backward(balancer, net.losses, shared=net.shared())
        linear.after_step(balancer, net.losses())
        first = first or [p.grad for p in net.parameters()]
    assert linear.close(nets.grads(net.parameters()), parts[0] + parts[1], 1e-9)
    assert all(p.grad is old for p, old in zip(net.parameters(), first, strict=True))  # in place, as a plain backward accumulates


@pytest.mark.parametrize("name", NAMES)
def test_losses_may_be_a_list_a_tuple_a_dict_or_an_iterator(name: str) -> None:
    expected = updated(name).update()
    for wrap in (tuple, iter, lambda losses: dict(zip("abc", losses, strict=True))):
        net = nets.build()
        linear.backward(create(name), lambda net=net, wrap=wrap: wrap(net.losses()), shared=net.shared())
        assert torch.equal(net.update(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_settles_the_order_of_a_dict(name: str) -> None:
    net, balancer = nets.build(), create(name)
    linear.backward(balancer, lambda: dict(zip("abc", net.losses(), strict=True)), shared=net.shared())
    twin_net, twin = nets.build(), create(name)
    linear.backward(twin, twin_net.losses, shared=twin_net.shared())
    linear.after_step(twin, twin_net.losses())
    linear.after_step(balancer, dict(zip("bca", [net.losses()[t] for t in (1, 2, 0)], strict=True)))
    for given in (net, twin_net):
        given.clear()

    def named() -> dict[str, torch.Tensor]:
        a, b, c = net.losses()
        return {"c": c, "a": a, "b": b}

    linear.backward(balancer, named, shared=net.shared())
    linear.backward(twin, twin_net.losses, shared=twin_net.shared())
    assert torch.equal(net.update(), twin_net.update())


@pytest.mark.parametrize("name", NAMES)
def test_wrong_losses_are_errors_and_forgotten(name: str) -> None:
    net, balancer = nets.build(), create(name)
    a, b, _ = net.losses()
    wrong: list[tuple[Any, str]] = [
        ([a, b], "built for 3 tasks, but got 2 losses"),
        ({"a": a, "b": b}, "built for 3 tasks, but got 2 losses"),
        ([a, b, net.z], "loss 2 is a tensor of shape"),
        ([a, b, 0.5], "loss 2 is float"),
        ([a, b, torch.tensor(3)], "torch.int64"),
        (0.5, "losses are 0.5"),
    ]
    for losses, message in wrong:
        with pytest.raises(methods.MethodError, match=message) as error:
            linear.backward(balancer, lambda losses=losses: losses, shared=net.shared())
        assert "\n" not in str(error.value)
    linear.backward(balancer, lambda: dict(zip("xyz", net.losses(), strict=True)), shared=net.shared())
    with pytest.raises(methods.MethodError, match=r"'w'.*first step named them.*'z'"):
        linear.backward(balancer, lambda: dict(zip("xyw", net.losses(), strict=True)), shared=net.shared())


STACKS: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "stack": torch.stack,
    "cat": lambda losses: torch.cat([loss.reshape(1) for loss in losses]),
    "column": lambda losses: torch.stack([loss.reshape(1) for loss in losses]),
}


@pytest.mark.parametrize("stack", STACKS)
def test_an_untrained_task_of_a_stacked_tensor_has_no_gradient_at_all(stack: str) -> None:
    net = nets.build()
    create("single_task", task=1).backward(STACKS[stack](net.losses()))
    assert all(p.grad is None for t in (0, 2) for p in net.private(t))
    assert linear.close(nets.grads(net.private(1)), net.plain(1))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_stacked_tensor_is_split_back_to_its_parts(name: str, stack: str) -> None:
    net = nets.build()
    walked = []
    for task in range(3):
        net.private(task)[0].register_hook(lambda gradient, task=task: walked.append(task))
    linear.backward(create(name), lambda: STACKS[stack](net.losses()), shared=net.shared())
    assert linear.close(net.update(), updated(name).update(), 1e-12)
    if FAMILY[name] != "several":  # which walk their heads for every batch
        assert all(walked.count(task) <= 1 for task in range(3))


@pytest.mark.parametrize("name", [n for n in NAMES if FAMILY[n] in ("gramian", "jacobian")])
def test_one_tensor_that_cannot_be_split_warns_and_gives_the_same(name: str) -> None:
    net = nets.build()
    with pytest.warns(UserWarning, match="one tensor of losses makes every backward pass walk all T heads") as caught:
        create(name).backward(torch.stack(net.losses()) * 1.0, shared=net.shared(), evaluate=lambda k: torch.stack(net.losses()))
    assert caught[0].filename == __file__
    assert linear.close(net.update(), updated(name).update(), 1e-12)


def test_one_task_needs_no_stack_and_gets_no_warning() -> None:
    net = nets.build(1)
    (loss,) = net.losses()
    methods.create("upgrad", 1).backward(loss * 1.0, shared=net.shared())
    assert linear.close(net.update(), net.jacobian()[0])


@pytest.mark.parametrize("name", NAMES)
def test_losses_of_one_element_count_as_scalars(name: str) -> None:
    net = nets.build()
    linear.backward(create(name), lambda: [loss.reshape(1, 1) for loss in net.losses()], shared=net.shared())
    assert linear.close(net.update(), updated(name).update(), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_shared_may_be_a_module_a_list_or_a_generator(name: str) -> None:
    expected = updated(name).update()
    for wrap in (lambda net: net.trunk, lambda net: net.trunk.parameters(), lambda net: [*net.shared(), *net.shared()]):
        net = nets.build()
        linear.backward(create(name), net.losses, shared=wrap(net))
        assert torch.equal(net.update(), expected)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in linear.OBJECTIVE])
def test_shared_missing_or_empty_is_an_error(name: str) -> None:
    net = nets.build()
    with pytest.raises(methods.MethodError, match="needs the shared parameters"):
        linear.backward(create(name), net.losses)
    with pytest.raises(methods.MethodError, match="no parameter in shared requires a gradient"):
        linear.backward(create(name), net.losses, shared=[])


@pytest.mark.parametrize("name", NAMES)
def test_a_representation_that_is_not_needed_changes_nothing(name: str) -> None:
    net = nets.build()
    net.losses()
    linear.backward(create(name), net.losses, shared=net.shared(), representation=net.z)
    assert torch.equal(net.update(), updated(name).update())


@pytest.mark.parametrize("name", NAMES)
def test_frozen_shared_parameters_stay_without_gradient(name: str) -> None:
    net = nets.build()
    frozen = net.shared()[0].requires_grad_(False)
    linear.backward(create(name), net.losses, shared=net.shared())
    assert frozen.grad is None
    assert all(p.grad is not None for p in net.shared()[1:])


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_freed_like_after_a_plain_backward(name: str) -> None:
    net = nets.build()
    losses = net.losses()
    first = iter([losses])
    linear.backward(create(name), lambda: next(first, None) or net.losses(), shared=net.shared())
    with pytest.raises(RuntimeError, match="second time"):
        losses[0].backward()


@pytest.mark.parametrize("name", NAMES)
def test_inside_no_grad_it_works_like_a_plain_backward(name: str) -> None:
    net = nets.build()
    losses = net.losses()
    first = iter([losses])
    with torch.no_grad():
        linear.backward(create(name), lambda: next(first, None) or net.losses(), shared=net.shared())
    assert torch.equal(net.update(), updated(name).update())


@pytest.mark.parametrize("name", NAMES)
def test_the_step_is_detached_and_counts_its_passes(name: str) -> None:
    net, balancer = nets.build(), create(name)
    taken = linear.backward(balancer, net.losses, shared=net.shared())
    assert taken.losses.requires_grad is False
    assert taken.weights is None or taken.weights.requires_grad is False
    assert torch.equal(taken.losses, torch.stack(net.losses()).detach())
    assert balancer.backward_passes == linear.PASSES.get(name, 1 if name in WEIGHTED_HEADS else 3)


@pytest.mark.parametrize("name", linear.WEIGHTED)
def test_the_buffer_survives_a_change_of_shapes(name: str) -> None:
    balancer = create(name)
    small, large = nets.build(), nets.build(norm=True)
    linear.backward(balancer, small.losses, shared=small.shared())
    linear.after_step(balancer, small.losses())
    weights = linear.backward(balancer, large.losses, shared=large.shared()).weights
    assert linear.close(large.update(), weights @ large.jacobian(), 1e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in linear.OBJECTIVE and methods.card(n).where == "shared"])
def test_shared_that_is_no_parameter_or_not_of_this_model_is_an_error(name: str) -> None:
    theta = torch.nn.Parameter(torch.ones(3))
    z = theta * 2
    with pytest.raises(methods.MethodError, match="output of a computation"):
        linear.backward(linear.create(name, 2), lambda: [z.sum(), (z**2).sum()], shared=[z])
    other = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(methods.MethodError, match="no loss depends on a shared parameter"):
        linear.backward(linear.create(name, 2), lambda: [theta.sum(), (theta**2).sum()], shared=other)
