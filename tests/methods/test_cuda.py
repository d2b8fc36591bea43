"""The main path on a GPU: gradients stay there, state follows or stays on the host, nothing else changes."""

import copy
import warnings

import pytest
import torch

import methods
from tests import linear, nets

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
NAMES = methods.names()
FACTS = {"initial_losses": [3.0, 1.0, 50.0], "prior_losses": [2.0, 0.5, 90.0]}


def build(device: str, dtype: torch.dtype = torch.float64) -> nets.Net:
    net = nets.build(dtype=dtype)
    net.trunk.to(device)
    for head in net.heads:
        head.to(device)
    net.x, net.targets = net.x.to(device), [y.to(device) for y in net.targets]
    return net


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("move", [False, True], ids=["left alone", "moved"])
def test_a_gpu_gives_what_the_host_gives(name: str, move: bool) -> None:
    here, there = build("cpu"), build("cuda")
    one, two = linear.create(name, 3, **FACTS), linear.create(name, 3, **FACTS)
    if move:
        two.to("cuda")
    for _ in range(3):
        here.clear()
        there.clear()
        expected = linear.backward(one, here.losses, shared=here.shared())
        taken = linear.backward(two, there.losses, shared=there.shared())
        linear.after_step(one, here.losses())
        linear.after_step(two, there.losses())
        assert taken.losses.device.type == "cuda"
        assert all(p.grad is None or p.grad.device == p.device for p in there.parameters())
        assert linear.close(nets.grads(there.parameters()).cpu(), nets.grads(here.parameters()), 1e-6)
        if expected.weights is not None:
            assert linear.close(taken.weights.cpu(), expected.weights, 1e-6)
    assert one.events == two.events


ADAPTED = ["UPGrad", "UPGradWeighting", "PCD", "MeanWeighting", "UW", "STCH"]


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapted_object_gives_on_a_gpu_what_it_gives_on_the_host(name: str) -> None:
    pytest.importorskip("torchjd")
    given = {"mu": 0.5} if name == "STCH" else {}
    one, two = (methods.create(f"torchjd:{name}", 3, **given) for _ in range(2))
    here, there = build("cpu"), build("cuda")
    for _ in range(3):
        here.clear()
        there.clear()
        one.backward(here.losses(), shared=here.shared())
        two.backward(there.losses(), shared=there.shared())
        assert linear.close(nets.grads(there.parameters()).cpu(), nets.grads(here.parameters()), 1e-6)


@pytest.mark.parametrize("name", ["Random", "GradDrop", "PCGrad", "GradVac", "torchjd.scalarization:Random"])
def test_what_an_adapted_object_draws_on_a_gpu_is_its_own(name: str) -> None:
    pytest.importorskip("torchjd")
    before = torch.get_rng_state(), torch.cuda.get_rng_state()
    found = []
    for seed in (0, 1, 0):
        balancer = methods.create(name if ":" in name else f"torchjd:{name}", 3, seed=seed)
        net = build("cuda")
        for _ in range(2):
            net.clear()
            balancer.backward(net.losses(), shared=net.shared())
        found.append(nets.grads(net.parameters()))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(torch.cuda.get_rng_state(), before[1])


@pytest.mark.parametrize("name", NAMES)
def test_state_saved_on_a_gpu_continues_on_the_host(name: str) -> None:
    net, balancer = build("cuda"), linear.create(name, 3, **FACTS).to("cuda")
    linear.backward(balancer, net.losses, shared=net.shared())
    linear.after_step(balancer, net.losses())
    fresh = linear.create(name, 3, **FACTS)
    fresh.load_state_dict(copy.deepcopy(balancer.state_dict()))
    host = build("cpu")
    linear.backward(fresh, host.losses, shared=host.shared())
    net.clear()
    linear.backward(balancer, net.losses, shared=net.shared())
    assert linear.close(nets.grads(net.parameters()).cpu(), nets.grads(host.parameters()), 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_and_a_grad_scaler(name: str) -> None:
    net, balancer = build("cuda", torch.float32), linear.create(name, 3, **FACTS)
    scaler = torch.amp.GradScaler("cuda", init_scale=64.0)
    scaler.scale(torch.zeros((), device="cuda"))

    def losses() -> list[torch.Tensor]:
        with torch.autocast("cuda", dtype=torch.float16):
            return net.losses()

    linear.backward(balancer, losses, shared=net.shared(), grad_scaler=scaler)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    scaler.step(optimizer)
    scaler.update()
    assert bool(nets.grads(net.parameters()).isfinite().all())


def test_the_gramian_is_not_computed_in_tf32() -> None:
    from methods.jacobian import Rows

    values = torch.randn(3, 4096, device="cuda")
    rows = Rows([torch.zeros(4096, device="cuda")], 3)
    for row, value in enumerate(values):
        rows.fill(row, [value])
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        gramian = rows.gramian()
    finally:
        torch.set_float32_matmul_precision(before)
    assert linear.close(gramian.double(), values.double() @ values.double().T, 1e-6)


def test_the_representation_on_a_gpu() -> None:
    net = build("cuda")
    losses = net.losses()
    weights = methods.create("mgda", 3, on="representation").backward(losses, representation=net.z).weights
    assert linear.close(net.update(), weights @ net.jacobian(), 1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if methods.card(name).family == "loss"])
def test_a_step_of_a_loss_method_never_waits_for_the_gpu(name: str) -> None:
    net, balancer = build("cuda"), linear.create(name, 3, **FACTS)
    for step in range(3):
        losses = net.losses()
        with torch.no_grad():
            again = net.losses()
        torch.cuda.set_sync_debug_mode("error" if step else "default")  # the first step moves the state, and settles L(0)
        try:
            balancer.backward(losses, shared=net.shared())
            linear.after_step(balancer, again)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("path", ["rows", "layers"])
@pytest.mark.parametrize("name", [name for name in NAMES if methods.card(name).family == "gramian"])
def test_a_step_of_a_gramian_method_waits_for_the_gpu_once(name: str, path: str) -> None:
    net, balancer = build("cuda"), linear.create(name, 3, path=path, **FACTS)
    for step in range(3):
        losses = net.losses()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn" if step else "default")
            try:
                balancer.backward(losses, shared=net.shared(), representation=net.z)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        assert sum("synchronizing" in str(warning.message) for warning in caught) == (1 if step else 0)


@pytest.mark.parametrize("path", ["rows", "layers"])
def test_layer_by_layer_on_a_gpu(path: str) -> None:
    net = build("cuda")
    weights = methods.create("upgrad", 3, path=path).backward(net.losses(), shared=net.shared()).weights
    assert linear.close(net.update(), weights @ net.jacobian(), 1e-6)
