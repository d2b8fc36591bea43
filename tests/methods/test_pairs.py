"""The gradients of two or three tasks left where they are give what a buffer of them gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods
from methods import jacobian, pairs
from methods.pairs import Pairs
from tests import linear, nets

GRAMIAN = [name for name in methods.names() if issubclass(methods.get(name), methods.GramianMethod)]
FACTS = {"initial_losses": [3.0, 1.0, 50.0], "prior_losses": [2.0, 0.5, 90.0]}
SHAPES = ((130, 130), (130,), (70, 4, 3, 3), (), (5000,))


def drawn(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) + 0.3 for shape in SHAPES]


def both(tensors: Sequence[Tensor], rows: Sequence[Sequence[Tensor | None]]) -> tuple[Pairs, jacobian.Rows]:
    taken = Pairs(tensors, len(rows)), jacobian.Rows(tensors, len(rows))
    for row, gradients in enumerate(rows):
        for each in taken:
            each.fill(row, gradients)
    return taken


def flat(pieces: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([(torch.zeros(shape) if p is None else p).flatten().double() for p, shape in zip(pieces, SHAPES, strict=True)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_products_and_sums_are_those_of_a_buffer(tasks: int, dtype: torch.dtype) -> None:
    tensors, rows = drawn(0, dtype), [drawn(1 + task, dtype) for task in range(tasks)]
    few, buffer = both(tensors, rows)
    matrix = torch.stack([flat(row) for row in rows])
    eps = torch.finfo(dtype).eps
    assert linear.close(torch.tensor(few.gramian(), dtype=torch.float64), matrix @ matrix.T, 20 * eps)
    weights = torch.randn(tasks, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    combined = dict(few.pieces(few.combine(weights), tensors))
    expected = dict(buffer.pieces(buffer.combine(weights), tensors))
    for index, tensor in enumerate(tensors):
        assert combined[index].shape == tensor.shape
        assert combined[index].stride() == expected[index].stride()
        assert combined[index].dtype == dtype
        assert linear.close(combined[index], expected[index], 20 * eps)


def test_what_a_loss_does_not_reach_counts_as_zeros() -> None:
    tensors, full = drawn(0), drawn(1)
    partly: list[Tensor | None] = [None, *full[1:3], None, full[4]]
    few, _ = both(tensors, [full, partly, full])
    few.clear(2)
    matrix = torch.stack([flat(full), flat(partly), 0 * flat(full)])
    assert linear.close(torch.tensor(few.gramian(), dtype=torch.float64), matrix @ matrix.T, 1e-5)
    assert linear.close(
        flat(few.combine(torch.tensor([2.0, -3.0, 5.0]))), torch.tensor([2.0, -3.0, 5.0], dtype=torch.float64) @ matrix, 1e-5
    )


def test_gradients_come_as_autograd_makes_them() -> None:
    """Expanded, transposed, sparse."""
    tensors = [torch.zeros(130, 130), torch.zeros(130), torch.zeros(40, 3)]
    sparse = torch.sparse_coo_tensor([[1, 1, 4]], torch.ones(3, 3), (40, 3), check_invariants=True)
    rows = [[torch.randn(130, 130).T, torch.ones(()).expand(130), sparse], [torch.randn(130, 130), torch.randn(130), torch.ones(40, 3)]]
    few, buffer = both(tensors, rows)
    assert linear.close(torch.tensor(few.gramian()), buffer.gramian(), 1e-5)
    weights = torch.tensor([0.5, -2.0])
    for (_, piece), (_, expected) in zip(
        few.pieces(few.combine(weights), tensors), buffer.pieces(buffer.combine(weights), tensors), strict=True
    ):
        assert linear.close(piece, expected, 1e-5)
        assert piece.stride() == expected.stride()


@pytest.mark.parametrize("first", [True, False], ids=["one alone", "one among several"])
def test_the_sum_is_in_memory_of_its_own(first: bool) -> None:
    tensors, rows = drawn(0), [drawn(1), drawn(2)]
    few, _ = both(tensors, rows[:1] if first else rows)
    before = [g.clone() for row in rows for g in row]
    for piece in few.combine(torch.ones(1 if first else 2)):
        piece.fill_(torch.nan)
    assert all(torch.equal(g, b) for g, b in zip([g for row in rows for g in row], before, strict=True))


@pytest.mark.parametrize(
    ("tensors", "tasks", "expected"),
    [
        ([torch.zeros(128, 128)], 2, True),
        ([torch.zeros(128, 128)], 3, True),
        ([torch.zeros(128, 128, dtype=torch.float64)], 3, True),
        ([torch.zeros(128, 128)], 4, False),
        ([torch.zeros(128, 127)], 2, False),
        ([torch.zeros(128, 128, dtype=torch.bfloat16)], 2, False),
        ([torch.zeros(128, 128), torch.zeros(3, dtype=torch.float64)], 2, False),
        ([torch.zeros(128, 128, device="meta")], 2, False),
        ([torch.zeros(128, 128, 3, 3).to(memory_format=torch.channels_last)], 2, False),
    ],
)
def test_who_suits(tensors: list[Tensor], tasks: int, expected: bool) -> None:
    assert pairs.suit(tensors, tasks) is expected


def losses_of(net: nets.Net, how: str) -> Callable[[], Any]:
    def stacked() -> Tensor:
        return torch.stack(list(net.losses()))

    def unreached() -> list[Tensor]:
        first, second, _ = net.losses()
        return [first, second, torch.tensor(3.0, dtype=first.dtype)]

    return {"stacked": stacked, "unreached": unreached}.get(how, net.losses)


@pytest.mark.parametrize("name", GRAMIAN)
@pytest.mark.parametrize("how", ["as they are", "stacked", "unreached", "priority", "untrained"])
def test_a_step_is_the_same(name: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every method that may take them; the gradients of three steps, and what is there already is added to."""
    options = {"priority": [1.0, 2.0, 3.0]} if how == "priority" else {"priority": [1.0, 0.0, 2.0]} if how == "untrained" else {}
    found = []
    for least in (0, 10**9):
        monkeypatch.setattr(pairs, "LEAST", least)
        monkeypatch.setattr(pairs, "SMALL", 5)
        net = nets.build()
        balancer = linear.create(name, 3, **FACTS, **options)
        kept = []
        monkeypatch.setattr(Pairs, "fill", watched(Pairs.fill, kept))
        for _ in range(3):
            linear.backward(balancer, losses_of(net, how), shared=net.shared())
        monkeypatch.undo()
        found.append((nets.grads(net.parameters()), bool(kept)))
    (few, used), (buffer, unused) = found
    assert used is (methods.card(name).where != "representation")
    assert not unused
    assert linear.close(few, buffer, 1e-6)


def watched(fill: Callable[..., None], seen: list[int]) -> Callable[..., None]:
    def act(self: Pairs, row: int, gradients: Sequence[Tensor | None]) -> None:
        seen.append(row)
        fill(self, row, gradients)

    return act


@pytest.mark.parametrize("form", ["views", "stacked", "transposed"])
def test_a_gradient_whose_memory_another_leaf_has_too_is_copied(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd gives both leaves of such a sum one memory, and adds the second task's gradient to the leaf that is not shared."""
    found = []
    for least in (0, 10**9):
        monkeypatch.setattr(pairs, "LEAST", least)
        generator = torch.Generator().manual_seed(0)
        weight, other = (nn.Parameter(torch.randn(8, 8, generator=generator)) for _ in range(2))
        total = {
            "views": lambda w, o: (w[None] + o[None])[0],
            "stacked": lambda w, o: torch.stack([w, o]).sum(0),
            "transposed": lambda w, o: (w.t() + o.t()).t(),
        }[form](weight, other)
        z = torch.tanh(torch.randn(5, 8, generator=generator) @ total)
        losses = [(10.0**t * z[:, t]).square().mean() + z[:, 3].exp().mean() for t in range(3)]
        step = methods.create("upgrad", 3, path="rows").backward(losses, shared=[weight])
        assert step.weights is not None
        found.append(nets.flat([step.weights, weight.grad.flatten(), other.grad.flatten()]))
    assert linear.close(found[0], found[1], 1e-5)


@pytest.mark.parametrize("shape", [(1_000_000,), (1000, 2003)])
def test_products_of_long_gradients_are_exact(shape: tuple[int, ...]) -> None:
    """Of one sign, heavy-tailed."""
    rows = [[torch.empty(shape).log_normal_(generator=torch.Generator().manual_seed(task))] for task in range(2)]
    few, _ = both(rows[0], rows)
    exact = torch.stack([row[0].double().flatten() for row in rows])
    assert linear.close(torch.tensor(few.gramian(), dtype=torch.float64), exact @ exact.T, 50 * torch.finfo(torch.float32).eps)


def test_what_the_dtype_cannot_hold_is_infinite() -> None:
    """Also where its parts are finite: who sees G in that dtype would see it."""
    rows: list[list[Tensor]] = [[torch.full((20000,), 1.2e17) for _ in range(3)], [torch.ones(20000) for _ in range(3)]]
    few, _ = both(rows[0], rows)
    (first, cross), (_, second) = few.gramian()
    assert (first, second) == (float("inf"), 60000.0)
    assert 0 < cross < float("inf")
    large, small = few.combine(torch.tensor([0.0, 1e39], dtype=torch.float64))[0][0], few.combine(torch.tensor([0.0, 2.0]))[0][0]
    assert large.isinf()
    assert small == 2.0


def in_a_buffer_of_its_own(p: nn.Parameter, buffer: Tensor) -> None:
    assert p.grad is not None
    p.grad = buffer.copy_(p.grad)


def test_where_hooks_see_gradients_they_are_copied() -> None:
    """A hook may put every task's gradient into the same memory."""
    found = []
    for hooked in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trunk, heads = nn.Linear(200, 200), [nn.Linear(200, 1) for _ in range(2)]
            x = torch.randn(300, 200)
        if hooked:
            buffer = torch.empty(200, 200)
            trunk.weight.register_post_accumulate_grad_hook(lambda p, buffer=buffer: in_a_buffer_of_its_own(p, buffer))
        methods.create("mgda", 2).backward([(head(trunk(x).tanh()) - t).square().mean() for t, head in enumerate(heads)], shared=trunk)
        found.append(nets.grads(list(trunk.parameters())))
    assert linear.close(found[0], found[1], 1e-5)
