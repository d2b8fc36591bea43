"""What a step must cost at least: its components timed on their own, and added up."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from steps_models import Session
from torch import nn

Seconds = tuple[float, float]
"""CPU time of this process, wall time."""
Pair = tuple[Seconds, Seconds]
"""What a step took, and what it is compared with."""


def clocked(act: Callable[[], object], count: int, device: str) -> Seconds:
    """What one of ``count`` calls takes."""
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronize()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        act()
    synchronize()
    return (time.process_time() - cpu) / count, (time.perf_counter() - wall) / count


def floors(session: Session, optimizer: torch.optim.Optimizer, count: int, device: str) -> dict[str, Pair]:
    """By name: (a floor, one plain step), each by clock; of forward, heads, trunk and optimizer, timed on their own."""
    batch, shared = session.batch(0), session.shared()
    heads = [parameter for head in session.model.heads for parameter in head.parameters()]
    forward = clocked(lambda: session.losses(batch), count, device)
    losses, z = session.losses(batch)
    dz, *of_heads = torch.autograd.grad(losses, [z, *heads], retain_graph=True)
    head = clocked(lambda: torch.autograd.grad(losses, [z, *heads], retain_graph=True), count, device)
    gradients = torch.autograd.grad(z, shared, dz, retain_graph=True)
    trunk = clocked(lambda: torch.autograd.grad(z, shared, dz, retain_graph=True), count, device)
    with torch.no_grad():
        again = clocked(lambda: session.losses(batch), count, device)
    for parameter, gradient in zip([*shared, *heads], [*gradients, *of_heads], strict=True):
        parameter.grad = gradient
    step = clocked(optimizer.step, count, device)
    optimizer.zero_grad()
    once = _sum(forward, head, step)
    plain = _sum(once, trunk)
    found = {"floor": (_sum(once, *[trunk] * session.cell.tasks), plain), "floor, two forwards": (_sum(plain, again), plain)}
    if session.cell.model == "mlp":
        found["floor, by layers"] = (_sum(once, clocked(by_layers(session), count, device)), plain)
    return found


def _sum(*parts: Seconds) -> Seconds:
    cpu, wall = zip(*parts, strict=True)
    return sum(cpu), sum(wall)


def by_layers(session: Session) -> Callable[[], None]:
    """The bare products of T gradients in a chain of linear layers and ReLUs, into memory that is kept: down the chain, G, Σ w_t g_t."""
    samples, tasks, device = session.cell.batch, session.cell.tasks, session.device
    layers = [layer for layer in session.model.trunk if isinstance(layer, nn.Linear)]
    inputs = [torch.randn(samples, layer.in_features, device=device) for layer in layers]
    outputs = [torch.randn(samples, layer.out_features, device=device) for layer in layers]
    signals = [torch.randn(tasks, samples, layer.out_features, device=device) for layer in layers]
    seen = [torch.empty_like(signal) for signal in signals]
    matrices = [layer.weight.detach() for layer in layers]
    weights = torch.rand(tasks, device=device)
    relu = torch.ops.aten.threshold_backward.grad_input

    def act() -> None:
        for i in reversed(range(len(layers))):
            relu(signals[i], outputs[i].expand_as(signals[i]), 0, grad_input=signals[i])
            torch.bmm((inputs[i] @ inputs[i].T).expand(tasks, -1, -1), signals[i], out=seen[i])
            torch.mm(seen[i].view(tasks, -1), signals[i].view(tasks, -1).T)
            if i:
                torch.mm(signals[i].flatten(0, 1), matrices[i], out=signals[i - 1].flatten(0, 1))
        for signal, x in zip(signals, inputs, strict=True):
            torch.mm(torch.mv(signal.view(tasks, -1).T, weights).view(samples, -1).T, x)

    act()
    return act
