"""Autocast, loss scaling, mixed dtypes, memory formats and sparse gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

import methods
from methods import jacobian
from methods.jacobian import Rows
from tests import linear, nets

NAMES = methods.names()
GRADIENT = [name for name in NAMES if methods.card(name).family != "loss"]
WHOLE = [name for name in GRADIENT if methods.card(name).where != "last" and name in linear.WEIGHTED]
FACTS = {"initial_losses": [3.0, 1.0, 50.0], "prior_losses": [2.0, 0.5, 90.0]}


class Scaler:
    """What is used of a GradScaler."""

    def get_scale(self) -> float:
        return 1024.0


def create(name: str, **options: Any) -> methods.Method:
    return linear.create(name, 3, **FACTS, **options)


@pytest.mark.parametrize("name", linear.WEIGHTED)
@pytest.mark.parametrize("inside", [False, True], ids=["after autocast", "inside autocast"])
def test_autocast_changes_the_forward_pass_only(name: str, inside: bool) -> None:
    net, twin = nets.build(dtype=torch.float32), nets.build(dtype=torch.float32)
    balancer, other = create(name), create(name)

    def autocast(net: nets.Net) -> Callable[[], list[torch.Tensor]]:
        def losses() -> list[torch.Tensor]:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return net.losses()

        return losses

    if inside:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            weights = linear.backward(balancer, net.losses, shared=net.shared()).weights
    else:
        weights = linear.backward(balancer, autocast(net), shared=net.shared()).weights
    assert torch.equal(linear.backward(other, autocast(twin), shared=twin.shared()).weights, weights)
    assert torch.equal(nets.grads(net.parameters()), nets.grads(twin.parameters()))
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in net.parameters())


def random_rows(dtype: torch.dtype = torch.float32) -> tuple[Rows, torch.Tensor]:
    values = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0)) * 300
    rows = Rows([torch.zeros(1000, dtype=dtype)], 3)
    for row, value in enumerate(values.to(dtype)):
        rows.fill(row, [value])
    return rows, values.to(dtype).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_the_gramian_is_exact_whatever_the_matmul_precision(precision: str, dtype: torch.dtype) -> None:
    rows, values = random_rows(dtype)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16), jacobian.plain_mode(torch.device("cpu")):
            gramian = rows.gramian()
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert gramian.dtype == torch.float32
    assert linear.close(gramian.double(), values @ values.T, 1e-6)


@pytest.mark.parametrize("columns", [8191, 16384, 1_000_003])
def test_the_gramian_of_long_rows_is_rounded_as_that_of_short_ones(columns: int) -> None:
    values = torch.randn(3, columns, generator=torch.Generator().manual_seed(0)) + 0.3  # a sum of one sign loses most
    rows = Rows([torch.zeros(columns)], 3)
    rows.blocks[0].copy_(values)
    expected = values.double() @ values.double().T
    scale = expected.diagonal().sqrt()
    error = (rows.gramian() - expected).abs() / (scale * scale[:, None])
    assert error.max() < 20 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("product", [lambda rows: rows.gramian(), lambda rows: rows.combine(torch.ones(3))], ids=["gramian", "combine"])
def test_products_are_taken_at_the_highest_precision(product: Callable[[Rows], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The host may have no faster, coarser product to show the difference."""
    seen = []

    @contextmanager
    def watched() -> Iterator[None]:
        with exact():
            seen.append(torch.get_float32_matmul_precision())
            yield

    exact = jacobian.exact_matmul
    monkeypatch.setattr(jacobian, "exact_matmul", watched)
    torch.set_float32_matmul_precision("medium")
    try:
        product(random_rows()[0])
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"]


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch < 2.9")
def test_precision_set_by_backend_is_respected_and_restored() -> None:
    backend = torch.backends.cuda.matmul
    before = backend.fp32_precision
    backend.fp32_precision = "tf32"
    try:
        rows, values = random_rows()
        assert linear.close(rows.gramian().double(), values @ values.T, 1e-6)
        assert backend.fp32_precision == "tf32"
    finally:
        backend.fp32_precision = before


@pytest.mark.parametrize("name", linear.WEIGHTED)
@pytest.mark.parametrize("options", [{}, {"priority": [1, 2, 3]}, {"scale": "grad_norm"}, {"scale": "sum"}], ids=str)
def test_a_grad_scaler_scales_gradients_and_nothing_else(name: str, options: dict[str, Any]) -> None:
    plain, scaled = nets.build(), nets.build()
    balancer, other = create(name, **options), create(name, **options)
    for _ in range(2):
        weights = linear.backward(balancer, plain.losses, shared=plain.shared()).weights
        scaled_weights = linear.backward(other, scaled.losses, shared=scaled.shared(), grad_scaler=Scaler()).weights
        linear.after_step(balancer, plain.losses())
        linear.after_step(other, scaled.losses())
    assert linear.close(scaled_weights, weights, 1e-6)
    assert linear.close(nets.grads(scaled.parameters()), 1024.0 * nets.grads(plain.parameters()), 1e-6)


def test_a_real_grad_scaler() -> None:
    plain, scaled = nets.build(dtype=torch.float32), nets.build(dtype=torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    optimizer = torch.optim.SGD(scaled.parameters(), lr=0.0)
    scaler.scale(torch.zeros(()))  # its scale exists from the first use on
    create("pcgrad").backward(plain.losses(), shared=plain.shared())
    create("pcgrad").backward(scaled.losses(), shared=scaled.shared(), grad_scaler=scaler)
    scaler.unscale_(optimizer)
    assert linear.close(nets.grads(scaled.parameters()), nets.grads(plain.parameters()), 1e-5)
    scaler.step(optimizer)
    scaler.update()


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("other", [torch.float64, torch.bfloat16, torch.float16])
def test_shared_parameters_of_mixed_dtypes(name: str, other: torch.dtype) -> None:
    one, two = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([3.0, -1.0], dtype=other))

    def losses() -> list[torch.Tensor]:
        total = two.float().sum()
        return [one.square().sum() + total, (one.sum() - two.float().square().sum()).abs(), 2.0 * one[0] + 0 * total]

    rows = [torch.cat([g.float() for g in torch.autograd.grad(loss, [one, two], retain_graph=True)]) for loss in losses()]
    weights = linear.backward(create(name), losses, shared=[one, two]).weights
    assert (one.grad.dtype, two.grad.dtype) == (torch.float32, other)
    assert linear.close(torch.cat([one.grad, two.grad.float()]), weights @ torch.stack(rows), 1e-5 if other == torch.float64 else 1e-2)


@pytest.mark.parametrize("name", WHOLE)
def test_half_precision_parameters_whose_gramian_would_overflow(name: str) -> None:
    theta = nn.Parameter(torch.zeros(4, dtype=torch.float16))
    losses = lambda: [1.0 + factor * theta[t].float() for t, factor in enumerate((1000.0, 2000.0, 500.0))]  # noqa: E731
    weights = linear.backward(create(name), losses, shared=[theta]).weights
    assert bool(weights.isfinite().all())
    assert bool(theta.grad.isfinite().all())


@pytest.mark.parametrize("name", linear.WEIGHTED)
def test_losses_of_mixed_dtypes(name: str) -> None:
    theta = nn.Parameter(torch.ones(2, dtype=torch.float64))
    taken = linear.backward(create(name), lambda: [theta.sum().float(), theta.square().sum(), theta.sum().bfloat16()], shared=[theta])
    assert taken.losses.dtype == theta.grad.dtype == torch.float64
    assert linear.close(theta.grad, taken.weights @ torch.tensor([[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]], dtype=torch.float64), 1e-2)


@pytest.mark.parametrize("name", WHOLE)
def test_gradients_of_channels_last_weights_have_their_strides(name: str) -> None:
    """A fused optimizer pairs the elements of a weight and of its gradient by their addresses."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        image = torch.randn(2, 3, 5, 5).to(memory_format=torch.channels_last)

    def losses() -> list[torch.Tensor]:
        output = convolution(image)
        return [output.square().mean(), output.mean() + 1.0, output.abs().mean()]

    rows = [torch.autograd.grad(loss, convolution.weight, retain_graph=True)[0] for loss in losses()]
    weights = linear.backward(create(name), losses, shared=convolution).weights
    gradient = convolution.weight.grad
    assert gradient.stride() == convolution.weight.stride()
    assert linear.close(gradient, sum(w * row for w, row in zip(weights, rows, strict=True)), 1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_a_sparse_embedding_in_the_trunk(name: str) -> None:
    def build(sparse: bool) -> nn.Embedding:
        return nn.Embedding(6, 3, sparse=sparse, _weight=torch.arange(18.0).reshape(6, 3) / 10)

    def step(embedding: nn.Embedding) -> torch.Tensor:
        def losses() -> list[torch.Tensor]:
            found = embedding(torch.tensor([1, 1, 4]))
            return [found.square().mean(), found.sum(), (found - 1.0).square().sum()]

        linear.backward(create(name), losses, shared=embedding)
        gradient = embedding.weight.grad
        return gradient.to_dense() if gradient.is_sparse else gradient

    expected = step(build(False))
    if name in linear.OBJECTIVE:  # a plain backward pass of the weighted losses, which leaves sparse gradients sparse
        assert linear.close(step(build(True)), expected, 1e-6)
    else:
        assert torch.equal(step(build(True)), expected)
    embedding = build(True)
    embedding(torch.tensor([0])).sum().backward()  # a sparse gradient is there already
    gradient = step(embedding)
    assert linear.close(gradient[1:], expected[1:], 1e-6)
    assert gradient[0].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_without_dimensions(name: str) -> None:
    gain = nn.Parameter(torch.tensor(2.0))
    shift = nn.Parameter(torch.tensor([1.0, -1.0]))
    losses = lambda: [(gain * shift).square().sum(), gain * 3.0, (gain + shift).square().sum()]  # noqa: E731
    linear.backward(create(name), losses, shared=[gain, shift])
    assert gain.grad.shape == ()
    assert bool(gain.grad.isfinite())
