"""Methods that ask for further batches: what they are given, what they leave as it was, whatever happens on the way."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import methods
from tests import linear, nets

SEVERAL = [name for name in methods.names() if methods.get(name).extra_batches]
ALONE = [name for name in methods.names() if name not in SEVERAL]


def build(seed: int = 0) -> tuple[nets.Net, Callable[[int], list[Tensor]]]:
    """A net, and the losses of three batches of its own."""
    net = nets.build(seed=seed)
    generator = torch.Generator().manual_seed(1)
    inputs = [net.x, *(torch.randn(net.x.shape, generator=generator, dtype=net.x.dtype) for _ in range(2))]
    targets = [net.targets, *([torch.randn(y.shape, generator=generator, dtype=y.dtype) for y in net.targets] for _ in range(2))]

    def evaluate(k: int) -> list[Tensor]:
        net.x, net.targets = inputs[k], targets[k]
        return net.losses()

    return net, evaluate


def bits(net: nets.Net) -> list[tuple[int, int, Tensor]]:
    return [(p.data_ptr(), p._version, p.detach().clone().view(torch.int64)) for p in net.parameters()]


def unchanged(net: nets.Net, before: list[tuple[int, int, Tensor]]) -> bool:
    return all(a[:2] == b[:2] and torch.equal(a[2], b[2]) for a, b in zip(bits(net), before, strict=True))


def state(balancer: methods.Method) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in balancer.state_dict().items() if isinstance(value, Tensor)}


@pytest.mark.parametrize("name", SEVERAL)
def test_without_evaluate_the_error_says_what_to_write(name: str) -> None:
    net, evaluate = build()
    with pytest.raises(
        methods.MethodError, match=rf"{name} needs the losses of \d more .*: backward\(losses, .*evaluate=lambda k: "
    ) as error:
        linear.create(name, 3).backward(evaluate(0), shared=net.shared())
    assert "\n" not in str(error.value)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("name", ALONE)
def test_a_method_that_asks_for_none_ignores_evaluate(name: str) -> None:
    net, evaluate = build()
    asked: list[int] = []
    linear.create(name, 3).backward(evaluate(0), shared=net.shared(), evaluate=lambda k: (asked.append(k), evaluate(k))[1])
    assert asked == []


@pytest.mark.parametrize("name", SEVERAL)
def test_every_batch_that_is_asked_for_is_used_and_no_other(name: str) -> None:
    net, evaluate = build()
    balancer = linear.create(name, 3)
    asked: set[int] = set()
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=lambda k: (asked.add(k), evaluate(k))[1])
    assert asked - {0} == set(range(1, 1 + balancer.extra_batches))


@pytest.mark.parametrize("name", SEVERAL)
def test_parameters_keep_their_bits_their_address_and_their_version(name: str) -> None:
    net, evaluate = build()
    balancer, before = linear.create(name, 3), bits(net)
    for _ in range(2):
        balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
        assert unchanged(net, before)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("call", range(1, 7))
def test_an_exception_on_the_way_leaves_everything_as_it_was(name: str, call: int) -> None:
    net, evaluate = build()
    balancer = linear.create(name, 3)
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
    net.clear()
    before, known, calls = bits(net), state(balancer), 0

    def failing(k: int) -> list[Tensor]:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return evaluate(k)

    losses = evaluate(0)
    try:
        balancer.backward(losses, shared=net.shared(), evaluate=failing)
    except KeyboardInterrupt:
        assert calls == call
        assert all(torch.equal(value, known[key]) for key, value in state(balancer).items())
        assert all(p.grad is None for p in net.parameters())
        losses[0].backward()  # the first graph is still what it was
    assert unchanged(net, before)


def row(loss: Tensor, net: nets.Net) -> Tensor:
    return nets.flat(torch.autograd.grad(loss, net.parameters(), retain_graph=True, allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("name", SEVERAL)
def test_the_first_graph_gives_the_gradients_of_where_the_parameters_are(name: str) -> None:
    """On a net that is not linear, with batches that differ: what moved on the way shows in no gradient."""
    net, evaluate = build()
    balancer = linear.create(name, 3)
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
    taken = nets.grads(net.parameters())
    rows = [row(loss, net) for k in range(1 + balancer.extra_batches) for loss in evaluate(k)]
    spanned = torch.linalg.lstsq(torch.stack(rows).T, taken).solution @ torch.stack(rows)
    if name in linear.OBJECTIVE:
        assert linear.close(spanned, taken, 1e-9)
    else:  # heads have their plain gradients: the trunk alone is one weighted sum
        size = sum(p.numel() for p in net.shared())
        trunk = torch.stack(rows)[:, :size]
        assert linear.close(torch.linalg.lstsq(trunk.T, taken[:size]).solution @ trunk, taken[:size], 1e-9)


@pytest.mark.parametrize("name", SEVERAL)
def test_evaluate_runs_in_the_mode_of_the_call(name: str) -> None:
    """With gradients inside no_grad, under the caller's autocast, and without casts of parameters that have moved since."""
    net = nets.build(dtype=torch.float32)
    balancer = linear.create(name, 3)
    modes: set[tuple[bool, torch.dtype]] = set()
    stale: list[float] = []

    def evaluate(k: int) -> list[Tensor]:
        modes.add((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        losses = net.losses()
        expected = nn.functional.linear(net.x.bfloat16(), net.trunk[0].weight.bfloat16(), net.trunk[0].bias.bfloat16())
        stale.append(float((net.trunk[0](net.x) - expected).detach().abs().max()))
        return losses

    with torch.autocast("cpu", dtype=torch.bfloat16):
        balancer.backward(net.losses(), shared=net.shared(), evaluate=evaluate)
        after = net.trunk[0](net.x)
    assert modes == {(True, torch.bfloat16)}
    assert max(stale) == 0.0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(net.trunk[0](net.x), after)
    losses = net.losses()
    with torch.no_grad():
        balancer.backward(losses, shared=net.shared(), evaluate=lambda k: net.losses())


@pytest.mark.parametrize("name", SEVERAL)
def test_losses_of_evaluate_are_checked_like_the_first(name: str) -> None:
    net, evaluate = build()
    for wrong, message in [(lambda k: evaluate(k)[:2], "got 2 losses"), (lambda k: [x.detach() for x in evaluate(k)], "no loss requires")]:
        with pytest.raises(methods.MethodError, match=message):
            linear.create(name, 3).backward(evaluate(0), shared=net.shared(), evaluate=wrong)


@pytest.mark.parametrize("name", SEVERAL)
def test_a_further_batch_that_is_not_finite_leaves_the_state(name: str) -> None:
    net, evaluate = build()
    balancer = linear.create(name, 3)
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
    before, known = bits(net), state(balancer)

    def broken(k: int) -> list[Tensor]:
        losses = evaluate(k)
        return [losses[0], losses[1] * float("nan"), losses[2]] if k else losses

    net.clear()
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=broken)
    assert unchanged(net, before)
    assert all(torch.equal(value, known[key]) for key, value in state(balancer).items())
    update = nets.grads(net.shared())
    assert bool(update.isnan().all()) or balancer.events.get("lookahead_not_finite") == 1


@pytest.mark.parametrize("name", SEVERAL)
def test_the_state_stays_in_float64_on_the_host(name: str) -> None:
    balancer = linear.create(name, 3)
    dtypes = {key: buffer.dtype for key, buffer in balancer.named_buffers()}
    assert torch.float32 not in {dtype for key, dtype in dtypes.items() if not key.endswith("steps")}
    torch.nn.ModuleList([balancer]).half()
    assert {key: buffer.dtype for key, buffer in balancer.named_buffers()} == dtypes
