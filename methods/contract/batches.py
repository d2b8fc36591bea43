"""Methods that ask for further batches: what they are given, what they leave as it was, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import methods
from methods.contract import linear, nets
from methods.contract.edges import by_losses, expects, same, snapshot
from methods.contract.inputs import show
from methods.contract.outcome import Broken

CALLS = 6
"""An exception is raised in so many calls of ``evaluate``, one after the other."""


class Stopped(Exception):
    """Stands in for whatever ends an evaluation."""


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


def unchanged(net: nets.Net, before: list[tuple[int, int, Tensor]], when: str) -> None:
    """Raises Broken where a parameter has not its bits, its address and its version."""
    for index, (now, old) in enumerate(zip(bits(net), before, strict=True)):
        if now[:2] != old[:2] or not torch.equal(now[2], old[2]):
            raise Broken(f"{when}, parameter {index} of the model is not what it was; expected the same bits, address and version")


def asks(name: str) -> None:
    """Without ``evaluate`` the error says what to write."""
    net, evaluate = build()
    balancer = linear.create(name, 3)
    expects(f"{name} needs the losses of {balancer.extra_batches} more", lambda: balancer.backward(evaluate(0), shared=net.shared()))
    if any(p.grad is not None for p in net.parameters()):
        raise Broken("without evaluate it raises an error, but writes gradients first")


def noting(evaluate: Callable[[int], list[Tensor]]) -> tuple[list[int], Callable[[int], list[Tensor]]]:
    """(the batches asked for so far, ``evaluate`` that notes them)."""
    asked: list[int] = []

    def noted(k: int) -> list[Tensor]:
        asked.append(k)
        return evaluate(k)

    return asked, noted


def ignores(name: str) -> None:
    """A method that asks for no further batch does not look at any."""
    net, evaluate = build()
    asked, noted = noting(evaluate)
    linear.create(name, 3).backward(evaluate(0), shared=net.shared(), evaluate=noted)
    if asked:
        raise Broken(f"extra_batches is 0, but it evaluates batches {asked}")


def uses(name: str) -> None:
    """Every batch that is asked for is used, and no other."""
    net, evaluate = build()
    balancer = linear.create(name, 3)
    asked, noted = noting(evaluate)
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=noted)
    further = sorted({*asked} - {0})
    if further != list(range(1, 1 + balancer.extra_batches)):
        raise Broken(f"extra_batches is {balancer.extra_batches}, but it evaluates the further batches {further}")


def keeps_parameters(name: str) -> None:
    net, evaluate = build()
    balancer, before = linear.create(name, 3), bits(net)
    for step in (1, 2):
        balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
        unchanged(net, before, f"after step {step}")


def survives(name: str, call: int) -> None:
    """An exception in that call of ``evaluate`` leaves everything as it was."""
    net, evaluate = build()
    balancer = linear.create(name, 3)
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
    net.clear()
    before, known, calls = bits(net), snapshot(balancer), 0

    def failing(k: int) -> list[Tensor]:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Stopped
        return evaluate(k)

    losses = evaluate(0)
    when = f"after an exception in call {call} of evaluate"
    try:
        balancer.backward(losses, shared=net.shared(), evaluate=failing)
    except Stopped as stopped:
        same(known, balancer)
        if any(p.grad is not None for p in net.parameters()):
            raise Broken(f"{when} some gradients are written; expected none") from stopped
        torch.autograd.backward(losses[0])  # the first graph is still what it was
    else:
        if calls >= call:
            raise Broken(f"an exception in call {call} of evaluate was swallowed; expected it to reach the caller")
    unchanged(net, before, when)


def row(loss: Tensor, net: nets.Net) -> Tensor:
    return nets.flat(torch.autograd.grad(loss, net.parameters(), retain_graph=True, allow_unused=True, materialize_grads=True))


def spans(name: str) -> None:
    """The update is made of gradients where the parameters are, on a net that is not linear: what moved on the way shows in none."""
    net, evaluate = build()
    balancer = linear.create(name, 3)
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
    taken = nets.grads(net.parameters())
    rows = torch.stack([row(loss, net) for k in range(1 + balancer.extra_batches) for loss in evaluate(k)])
    if not by_losses(name):  # heads have their plain gradients: the trunk alone is one weighted sum
        size = sum(p.numel() for p in net.shared())
        rows, taken = rows[:, :size], taken[:size]
    spanned = torch.linalg.lstsq(rows.T, taken).solution @ rows
    if not linear.close(spanned, taken, 1e-9):
        raise Broken(f"its update is no weighted sum of the batches' gradients: {show(taken)}, and the nearest is {show(spanned)}")


def keeps_mode(name: str) -> None:
    """``evaluate`` runs with gradients inside no_grad, under the caller's autocast, without casts of parameters that have moved since."""
    net = nets.build(dtype=torch.float32)
    balancer = linear.create(name, 3)
    modes: set[tuple[bool, torch.dtype]] = set()
    stale: list[float] = []
    first = next(net.trunk.children())
    assert isinstance(first, nn.Linear)

    def evaluate(k: int) -> list[Tensor]:
        modes.add((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        losses = net.losses()
        expected = nn.functional.linear(net.x.bfloat16(), first.weight.bfloat16(), first.bias.bfloat16())
        stale.append(float((first(net.x) - expected).detach().abs().max()))
        return losses

    with torch.autocast("cpu", dtype=torch.bfloat16):
        balancer.backward(net.losses(), shared=net.shared(), evaluate=evaluate)
        after = first(net.x)
    if modes != {(True, torch.bfloat16)}:
        raise Broken(f"evaluate ran in the modes (autocast, dtype) {modes}; expected that of the call, bfloat16")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if max(stale) != 0.0 or not torch.equal(first(net.x), after):
            raise Broken("under autocast, evaluate used casts of parameters from before they were moved")
    losses = net.losses()
    with torch.no_grad():
        balancer.backward(losses, shared=net.shared(), evaluate=lambda k: net.losses())


def checks_losses(name: str) -> None:
    """Losses of ``evaluate`` are checked like the first."""
    net, evaluate = build()

    def given(wrong: Callable[[int], list[Tensor]]) -> Callable[[], methods.Step]:
        return lambda: linear.create(name, 3).backward(evaluate(0), shared=net.shared(), evaluate=wrong)

    expects("got 2 losses", given(lambda k: evaluate(k)[:2]))
    expects("no loss requires", given(lambda k: [x.detach() for x in evaluate(k)]))


def further_not_finite(name: str) -> None:
    """A further batch that is not finite leaves the state."""
    net, evaluate = build()
    balancer = linear.create(name, 3)
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=evaluate)
    before, known = bits(net), snapshot(balancer)

    def broken(k: int) -> list[Tensor]:
        losses = evaluate(k)
        return [losses[0], losses[1] * float("nan"), losses[2]] if k else losses

    net.clear()
    balancer.backward(evaluate(0), shared=net.shared(), evaluate=broken)
    unchanged(net, before, "after a further batch with a loss of nan")
    same(known, balancer)
    update = nets.grads(net.shared())
    if not bool(update.isnan().all()) and balancer.events.get("lookahead_not_finite") != 1:
        raise Broken(f"with a loss of nan in a further batch the update is {show(update)}; expected nan, or a counted lookahead_not_finite")


def is_wide(name: str) -> None:
    """The state is in float64; that it stays so is for the check of the state."""
    for key, buffer in linear.create(name, 3).named_buffers():
        if buffer.dtype == torch.float32 and not key.endswith("steps"):
            raise Broken(f"{key} of its state is float32; expected float64, as what is solved from it")


def batches(name: str) -> str:
    if not linear.create(name, 3).extra_batches:
        ignores(name)
        return ""
    for check in (asks, uses, keeps_parameters, spans, keeps_mode, checks_losses, further_not_finite, is_wide):
        check(name)
    for call in range(1, 1 + CALLS):
        survives(name, call)
    return ""
