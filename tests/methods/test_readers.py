"""Linear layers by which heads read the trunk are passed together, and give what autograd gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import methods
from methods import graph, readers
from methods.readers import Readers
from tests import linear, nets


class Twice(nn.Module):
    """One weight in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(self.layer(z).tanh())


class Functional(nn.Module):
    """The same with one transposed weight, which autograd sees as one node."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6))

    def forward(self, z: Tensor) -> Tensor:
        transposed = self.weight.t()
        return (z @ transposed).tanh() @ transposed


class Scaled(nn.Module):
    """A bias that is computed, and factors of the two sums."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.layer, self.gain, self.beta = nn.Linear(6, 2), nn.Parameter(torch.rand(2)), beta

    def forward(self, z: Tensor) -> Tensor:
        bias = self.layer.bias if self.beta != 1 else self.layer.bias * self.gain
        return torch.addmm(bias, z, self.layer.weight.t(), beta=self.beta)


class OneNumber(nn.Module):
    """A bias of another shape than the outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(1))

    def forward(self, z: Tensor) -> Tensor:
        return torch.addmm(self.bias, z, self.weight.t())


class Again(nn.Module):
    """Reads the trunk in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, z: Tensor) -> Tensor:
        return self.one(z) * self.other(z)


class Mean(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z.mean(1)


def frozen(head: nn.Module, name: str) -> nn.Module:
    head.get_parameter(name).requires_grad_(False)
    return head


HEADS: dict[str, tuple[Callable[[], Sequence[nn.Module]], bool]] = {
    "one output": (lambda: [nn.Linear(6, 1) for _ in range(4)], True),
    "several outputs": (lambda: [nn.Linear(6, 3) for _ in range(4)], True),
    "different widths": (lambda: [nn.Linear(6, 1), nn.Linear(6, 10), nn.Linear(6, 2, bias=False)], True),
    "no bias": (lambda: [nn.Linear(6, 2, bias=False) for _ in range(3)], True),
    "deep": (lambda: [nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)) for _ in range(3)], True),
    "frozen bias": (lambda: [frozen(nn.Linear(6, 2), "bias"), nn.Linear(6, 2), nn.Linear(6, 2)], True),
    "frozen above": (lambda: [nn.Linear(6, 2), frozen(nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2)), "1.weight")], True),
    "frozen weight": (lambda: [frozen(nn.Linear(6, 2), "weight"), nn.Linear(6, 2)], False),
    "used twice": (lambda: [Twice(), nn.Linear(6, 2)], False),
    "transposed once": (lambda: [Functional(), nn.Linear(6, 2)], False),
    "half the bias": (lambda: [Scaled(0.5), nn.Linear(6, 2)], False),
    "computed bias": (lambda: [Scaled(1), nn.Linear(6, 2)], False),
    "another bias": (lambda: [OneNumber(), nn.Linear(6, 2)], False),
    "read twice": (lambda: [Again(), nn.Linear(6, 2)], False),
    "no layer": (lambda: [Mean(), nn.Linear(6, 2)], False),
    "another function": (lambda: [nn.Sequential(nn.Tanh(), nn.Linear(6, 2)), nn.Linear(6, 2)], False),
}
TRUNKS: dict[str, Callable[[], nn.Module]] = {
    "chain": lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh()),
    "no chain": lambda: nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 6), nn.Softplus()),
}


def build(heads: str, trunk: str = "chain") -> nets.Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = [head.double() for head in HEADS[heads][0]()]
        return nets.Net(TRUNKS[trunk]().double(), made, torch.randn(7, 5, dtype=torch.float64), [])


def losses_of(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Each output is used twice."""
    return [(10.0**t * y).sin().square().mean() + y.exp().mean() for t, y in enumerate(outputs)]


def run(net: nets.Net, path: str, name: str = "upgrad", meddle: Callable[[Sequence[Tensor]], Any] = lambda outputs: None) -> Tensor:
    balancer = methods.create(name, len(net.heads), path=path)
    for _ in range(2):  # the second step adds to what the first one left
        z = net.trunk(net.x)
        outputs = [head(z) for head in net.heads]
        meddle(outputs)
        balancer.backward(losses_of(outputs), shared=net.shared())
    return nets.grads(net.parameters())


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[Readers]:
    """The readers that were passed together."""
    seen: list[Readers] = []
    backward = Readers.backward

    def watched(self: Readers, *given: Any) -> Any:
        seen.append(self)
        return backward(self, *given)

    monkeypatch.setattr(Readers, "backward", watched)
    return seen


@pytest.mark.parametrize("name", ["upgrad", "gradnorm"])
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("heads", HEADS)
def test_gradients_are_those_of_autograd(heads: str, trunk: str, name: str, passed: list[Readers]) -> None:
    found = run(build(heads, trunk), "layers", name)
    assert len(passed) == (2 if HEADS[heads][1] else 0)
    expected = run(build(heads, trunk), "rows", name)
    assert linear.close(found, expected, 1e-10)
    if heads == "frozen bias":
        net = build(heads, trunk)
        run(net, "layers", name)
        assert net.heads[0].get_parameter("bias").grad is None


def halved(outputs: Sequence[Tensor]) -> None:
    for y in outputs:
        y.register_hook(lambda gradient: 0.5 * gradient)


def node_halved(outputs: Sequence[Tensor]) -> None:
    outputs[1].grad_fn.register_hook(lambda inputs, given: tuple(g if g is None else 0.5 * g for g in inputs))


def node_halved_before(outputs: Sequence[Tensor]) -> None:
    outputs[-1].grad_fn.register_prehook(lambda given: tuple(0.5 * g for g in given))


@pytest.mark.parametrize(("meddle", "together"), [(halved, True), (node_halved, False), (node_halved_before, False)])
def test_hooks_are_heard(meddle: Callable[[Sequence[Tensor]], None], together: bool, passed: list[Readers]) -> None:
    found = run(build("several outputs"), "layers", meddle=meddle)
    assert bool(passed) is together
    assert linear.close(found, run(build("several outputs"), "rows", meddle=meddle), 1e-10)
    assert not linear.close(found, run(build("several outputs"), "rows"), 1e-3)


def test_looking_for_hooks_leaves_none() -> None:
    z = torch.randn(4, 3, requires_grad=True)
    calls = []
    y = nn.Linear(3, 2)(z * 1)
    assert not readers._listened(y.grad_fn)
    handle = y.grad_fn.register_hook(lambda *given: calls.append(1))
    assert readers._listened(y.grad_fn)
    y.sum().backward(retain_graph=True)
    assert calls == [1]
    handle.remove()
    assert not readers._listened(y.grad_fn)


def test_outputs_that_keep_their_gradient_get_it(passed: list[Readers]) -> None:
    kept = []
    for path in ("layers", "rows"):
        outputs: list[Tensor] = []

        def meddle(made: Sequence[Tensor], outputs: list[Tensor] = outputs) -> None:
            outputs[:] = made
            for y in made:
                y.retain_grad()

        run(build("several outputs"), path, meddle=meddle)
        assert all(y.grad is not None for y in outputs)
        kept.append(torch.stack([y.grad for y in outputs if y.grad is not None]))
    assert passed
    assert torch.equal(*kept)


def test_a_weight_that_was_changed_since_is_an_error() -> None:
    """As in a plain backward pass."""
    net = build("one output")
    z = net.trunk(net.x)
    losses = losses_of([head(z) for head in net.heads])
    with torch.no_grad():
        net.heads[2].get_parameter("weight").mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        methods.create("upgrad", 4, path="layers").backward(losses, shared=net.shared())
    assert all(p.grad is None for p in net.parameters())


def test_hooks_on_the_representation_see_the_sum_of_what_it_gets() -> None:
    net = build("several outputs")
    z = net.trunk(net.x)
    z.retain_grad()
    seen: list[Tensor] = []
    z.register_hook(lambda gradient: seen.append(gradient.clone()))
    losses = losses_of([head(z) for head in net.heads])
    expected = torch.autograd.grad(sum(losses), z, retain_graph=True)[0]
    z.grad, seen[:] = None, []
    methods.create("upgrad", 4, path="layers").backward(losses, shared=net.shared())
    assert z.grad is not None
    assert linear.close(z.grad, expected, 1e-12)
    assert len(seen) == 1
    assert linear.close(seen[0], expected, 1e-12)


def test_checkpointed_heads_are_computed_again_once(passed: list[Readers]) -> None:
    net, calls = build("several outputs"), []

    def heads(z: Tensor) -> list[Tensor]:
        calls.append(1)
        return [head(z) for head in net.heads]

    z = net.trunk(net.x)
    outputs = checkpoint(heads, z, use_reentrant=False)
    methods.create("upgrad", 4, path="layers").backward(losses_of(outputs), shared=net.shared())
    assert len(calls) == 2
    assert not passed
    found = nets.grads(net.parameters())
    net.clear()
    z = net.trunk(net.x)
    methods.create("upgrad", 4, path="layers").backward(losses_of([head(z) for head in net.heads]), shared=net.shared())
    assert passed
    assert linear.close(nets.grads(net.parameters()), found, 1e-12)


def sparse(y: Tensor) -> Tensor:
    return y.gather(1, torch.tensor([[1], [0], [1], [0], [1], [0], [1]]), sparse_grad=True)


@pytest.mark.parametrize("path", ["layers", "rows"])
def test_a_head_whose_output_gets_a_sparse_gradient(path: str) -> None:
    net = build("no bias")
    z = net.trunk(net.x)
    losses = losses_of([sparse(head(z)) if t else head(z) for t, head in enumerate(net.heads)])
    methods.create("upgrad", 3, path=path).backward(losses, shared=net.shared())
    for t, head in enumerate(net.heads):
        weight = head.get_parameter("weight")
        plain = net.trunk(net.x)
        loss = losses_of([sparse(h(plain)) if i else h(plain) for i, h in enumerate(net.heads)])[t]
        expected = torch.autograd.grad(loss, weight)[0]
        assert weight.grad is not None
        assert linear.close(weight.grad, expected, 1e-12)


class Complex(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.view_as_complex(z.view(-1, 3, 2))


def test_complex_heads_are_left_to_autograd(passed: list[Readers]) -> None:
    found = []
    for path in ("layers", "rows"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            trunk = nn.Sequential(nn.Linear(5, 6), Complex()).double()
            heads = [nn.Linear(3, 2, dtype=torch.complex128) for _ in range(3)]
            x = torch.randn(7, 5, dtype=torch.float64)
        z = trunk(x)
        losses = [(10.0**t * head(z)).abs().square().mean() for t, head in enumerate(heads)]
        methods.create("upgrad", 3, path=path).backward(losses, shared=trunk)
        found.append(nets.flat([torch.view_as_real(p.grad) for head in heads for p in head.parameters()]))
    assert not passed
    assert linear.close(found[0], found[1], 1e-12)


def test_readers_come_in_the_order_of_the_tasks() -> None:
    net = build("several outputs")
    z = net.trunk(net.x)
    outputs = [head(z) for head in net.heads]
    roots = graph.roots_of(losses_of(outputs))
    anatomy = graph.anatomy(roots, net.shared())
    assert anatomy is not None
    found = readers.of(anatomy, 4)
    assert found is not None
    assert [reader.node for reader in found.readers] == [y.grad_fn for y in outputs]
    assert torch.equal(found.inputs, z)
    assert readers.of(anatomy, 5) is None
