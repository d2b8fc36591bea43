"""What a method is handed stays as it is, and it adds to the gradients that are its business."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import methods
from methods.contract import linear, nets
from methods.contract.batches import bits, unchanged
from methods.contract.edges import by_losses
from methods.contract.inputs import show
from methods.contract.outcome import Broken
from methods.contract.state import create, sequence

HANDED = ("objective", "weights", "direction", "derivatives", "observe")
"""What the families call with tensors."""


def watch(balancer: methods.Method, name: str, seen: list[Tensor]) -> None:
    """Lets a method's function be called as before, and raises Broken where it writes into what it is handed."""
    called = getattr(balancer, name)

    def watched(*given: Any) -> Any:
        handed = [each for each in given if isinstance(each, Tensor)]
        before = [each.detach().clone() for each in handed]
        found = called(*given)
        for index, (each, old) in enumerate(zip(handed, before, strict=True)):
            if not torch.equal(each.detach(), old):
                raise Broken(f"{name}() writes into its argument {index}: {show(old)} became {show(each)}; work on a copy")
        seen.extend(handed)
        return found

    vars(balancer)[name] = watched


def storages(thing: Any) -> set[int]:
    """Where the memory of the tensors in some value is."""
    if isinstance(thing, Tensor):
        return {thing.untyped_storage().data_ptr()} if thing.numel() else set()
    if isinstance(thing, dict):
        thing = list(thing.values())
    return set().union(*map(storages, thing)) if isinstance(thing, (list, tuple)) else set()


def inputs_untouched(name: str) -> str:
    balancer = create(name)
    seen: list[Tensor] = []
    for called in HANDED:
        if callable(getattr(balancer, called, None)):
            watch(balancer, called, seen)
    inner = {key for key in vars(balancer) if key.startswith("_")} | set(HANDED)
    for jacobian, values in sequence(0, 3):
        theta, losses = linear.losses_of(jacobian, values)
        before = [loss.detach().clone() for loss in losses]
        balancer.backward(losses, shared=[theta], evaluate=linear.evaluate(balancer, theta, jacobian, values))
        if not all(torch.equal(loss.detach(), old) for loss, old in zip(losses, before, strict=True)):
            raise Broken(f"the losses were {show(torch.stack(before))} and are {show(torch.stack(losses))}; expected them to stay")
        linear.after_step(balancer, [loss.detach() * 0.9 for loss in losses])
        handed = storages(seen)
        own = {**dict(balancer.named_buffers()), **{key: value for key, value in vars(balancer).items() if key not in inner}}
        for key, value in own.items():
            if storages(value) & handed:
                raise Broken(f"keeps in {key} the tensor that it was handed, which the next step writes over; keep a copy: .clone()")
    return ""


def taken(name: str, net: nets.Net) -> None:
    nets.backward(linear.create(name, 3, initial_losses=[3.0, 1.0, 50.0], prior_losses=[2.0, 0.5, 90.0]), net)


def adds(name: str) -> None:
    """To what is in ``.grad`` already, as any backward pass does."""
    net = nets.build()
    taken(name, net)
    update = nets.grads(net.parameters())
    for index, parameter in enumerate(net.parameters()):
        parameter.grad = torch.full_like(parameter, 1.0 + index)
    there = nets.grads(net.parameters())
    taken(name, net)
    found = nets.grads(net.parameters())
    if not linear.close(found, there + update, 1e-9):
        raise Broken(f"onto gradients of {show(there)} its update makes {show(found)}; expected {show(there + update)}, the sum")


def leaves_others(name: str) -> None:
    """Values of parameters, frozen parameters, and parameters of another model."""
    net = nets.build()
    frozen = net.shared()[0].requires_grad_(False)
    other = torch.nn.Parameter(torch.ones(2))
    other.grad = gradient = torch.full((2,), 5.0)
    before, flags = bits(net), [p.requires_grad for p in net.parameters()]
    taken(name, net)
    unchanged(net, before, "after a step")
    if [p.requires_grad for p in net.parameters()] != flags:
        raise Broken("it changes which parameters require a gradient")
    if frozen.grad is not None:
        raise Broken(f"a frozen parameter got the gradient {show(frozen.grad)}; expected none")
    if other.grad is not gradient or gradient.tolist() != [5.0, 5.0]:
        raise Broken(f"the gradient of a parameter of another model became {other.grad}; expected it to stay")


def plain_heads(name: str) -> None:
    """Of a method that does not follow weighted losses to the end: each head its own task's gradient."""
    net = nets.build()
    taken(name, net)
    for task in range(3):
        found, expected = nets.grads(net.private(task)), net.plain(task)
        if not linear.close(found, expected, 1e-9):
            raise Broken(f"the head of task {task} got the gradient {show(found)}; expected its own, {show(expected)}")


def other_gradients(name: str) -> str:
    leaves_others(name)
    adds(name)
    if not by_losses(name) and linear.card(name).where != "last":
        plain_heads(name)
    return ""
