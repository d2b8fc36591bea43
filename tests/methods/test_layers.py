"""The Gramian taken layer by layer is the one of T backward passes, on every kind of trunk, and so is the update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import methods
from methods import graph, layers, layerwise
from tests import linear, nets


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Twice(nn.Module):
    """One weight in two places."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.tanh(self.layer(x)))


class Scaled(nn.Module):
    """Parameters that are no layer's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain, self.matrix = nn.Parameter(torch.rand(width) + 0.5), nn.Parameter(torch.randn(width, width) / width)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.gain) @ self.matrix


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.query(x) @ self.key(x).transpose(1, 2), -1) @ self.value(x)


def conv(**options: Any) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, **options), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 2, bias=False), nn.Flatten(), nn.LazyLinear(6)
    )


TRUNKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh()), (7, 5)),
    "one layer": (lambda: nn.Linear(5, 6), (7, 5)),
    "no bias": (lambda: nn.Sequential(nn.Linear(5, 8, bias=False), nn.SiLU(), nn.Linear(8, 6, bias=False)), (7, 5)),
    "elementwise": (
        lambda: nn.Sequential(
            nn.Linear(5, 6), nn.Sigmoid(), nn.GELU(), nn.Linear(6, 7), nn.LeakyReLU(0.3), nn.Linear(7, 6), nn.GELU("tanh")
        ),
        (7, 5),
    ),
    "softplus": (lambda: nn.Sequential(nn.Linear(5, 6), nn.Softplus(), nn.Linear(6, 6)), (7, 5)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.Linear(6, 6)), (7, 5)),
    "batch norm": (lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6)), (7, 5)),
    "dropout": (lambda: nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5), nn.Linear(6, 6)), (7, 5)),
    "residual": (lambda: nn.Sequential(nn.Linear(5, 6), Residual(6), nn.ReLU()), (7, 5)),
    "in place": (lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 6), nn.ReLU(inplace=True)), (7, 5)),
    "a layer twice": (lambda: nn.Sequential(nn.Linear(5, 6), Twice(6), nn.Linear(6, 6)), (7, 5)),
    "other parameters": (lambda: nn.Sequential(nn.Linear(5, 6), Scaled(6), nn.Tanh(), nn.Linear(6, 6)), (7, 5)),
    "frozen bias": (lambda: _frozen(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6)), "bias"), (7, 5)),
    "frozen weight": (lambda: _frozen(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6)), "0.weight"), (7, 5)),
    "sequences": (lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6, bias=False), nn.Tanh()), (3, 4, 5)),
    "attention": (lambda: nn.Sequential(nn.Linear(5, 6), Attention(6), nn.Linear(6, 6)), (3, 4, 5)),
    "convolution": (conv, (3, 2, 6, 6)),
    "convolution, strided": (lambda: conv(stride=2, padding=1, dilation=1), (3, 2, 7, 6)),
    "convolution, circular": (lambda: conv(padding=1, padding_mode="circular"), (3, 2, 5, 5)),
    "weight norm": (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 6)), nn.ReLU(), nn.Linear(6, 6)), (7, 5)),
}


def _frozen(trunk: nn.Module, what: str) -> nn.Module:
    for name, parameter in trunk.named_parameters():
        parameter.requires_grad_(not name.endswith(what))
    return trunk


@dataclass
class Model:
    trunk: nn.Module
    heads: list[nn.Module]
    x: Tensor

    def losses(self) -> list[Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)  # the same dropout mask every time
            z = self.trunk(self.x)
        return [(10.0**t * head(z)).sin().square().mean() for t, head in enumerate(self.heads)]

    def shared(self) -> list[nn.Parameter]:
        return [p for p in self.trunk.parameters() if p.requires_grad]

    def parameters(self) -> list[nn.Parameter]:
        return [*self.shared(), *(p for head in self.heads for p in head.parameters())]


def build(kind: str, tasks: int = 3, dtype: torch.dtype = torch.float64) -> Model:
    make, shape = TRUNKS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        trunk = make()
        x = torch.randn(shape, dtype=dtype)
        trunk(x.float())  # lazy layers take their shapes
        return Model(trunk.to(dtype), [nn.Linear(6, 1).to(dtype) for _ in range(tasks)], x)


def update(model: Model, path: str, name: str = "upgrad", **options: Any) -> tuple[Tensor, methods.Method]:
    balancer = methods.create(name, len(model.heads), path=path, **options)
    balancer.backward(model.losses(), shared=model.shared())
    return nets.grads(model.parameters()), balancer


@pytest.mark.parametrize("name", ["upgrad", "nash_mtl", "mgda"])
@pytest.mark.parametrize("kind", TRUNKS)
def test_all_paths_agree(kind: str, name: str) -> None:
    expected, _ = update(build(kind), "rows", name)
    found, balancer = update(build(kind), "layers", name)
    assert linear.close(found, expected, 1e-9)
    (path,) = balancer.paths
    assert path.startswith("layers: ")


@pytest.mark.parametrize("tasks", [2, 3, 10, 40])
@pytest.mark.parametrize("kind", ["linear", "layer norm", "convolution"])
def test_the_gramian_is_that_of_the_jacobian(kind: str, tasks: int) -> None:
    model = build(kind, tasks)
    jacobian = torch.stack([nets.flat(torch.autograd.grad(loss, model.shared(), retain_graph=True)) for loss in model.losses()])
    for forced in (True, False):
        roots = graph.roots_of(model.losses())
        plan = layers.plan(roots, model.shared(), forced) if forced else _rows_of(layers.plan(roots, model.shared(), True))
        assert plan is not None
        gradients = layerwise.Layerwise(plan, model.shared(), tasks, layerwise.Scratch())
        gradients.backward([root for root in roots if root is not None], [1.0] * tasks)
        gramian, _ = gradients.gramian()
        assert linear.close(gramian, linear.gramian(jacobian), 1e-12)
        weights = torch.linspace(-1, 1, tasks, dtype=torch.float64)
        pieces = dict(gradients.combine(weights))
        assert linear.close(nets.flat([pieces[i] for i in range(len(pieces))]), weights @ jacobian, 1e-12)


def _rows_of(plan: layers.Plan | None) -> layers.Plan:
    """The same layers, each by rows of its own."""
    assert plan is not None
    return replace(plan, layers=tuple(replace(layer, kind="rows") for layer in plan.layers))


@pytest.mark.parametrize(("samples", "pooled", "apart"), [(4, 1, True), (512, 1, False), (4, 128, True)])
def test_too_many_samples_are_seen_without_taking_the_graph_apart(
    samples: int, pooled: int, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless they are pooled before the heads: then each layer is counted, and the rows are taken all the same."""
    taken = []
    monkeypatch.setattr(graph, "anatomy", lambda *given, take=graph.anatomy: taken.append(given) or take(*given))
    trunk = nn.Sequential(nn.Linear(128, 256), nn.Tanh(), nn.Linear(256, 256))
    heads = [nn.Linear(256, 1, bias=bool(task)) for task in range(10)]
    z = trunk(torch.randn(samples, pooled, 128)).mean(1)
    losses = [nn.functional.mse_loss(head(z), torch.zeros(samples, 1)) for head in heads]
    balancer = methods.create("upgrad", 10)
    balancer.backward(losses, shared=trunk)
    assert bool(taken) is apart
    assert ("rows" in balancer.paths) is (samples * pooled > 4)


def test_looking_for_the_samples_unpacks_nothing() -> None:
    """Memory that was moved to the host, or is to be computed again, is fetched by the backward passes alone."""
    model, fetched = build("linear", 4), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: fetched.append(x) or x):
        losses = model.losses()
    assert layers.plan(graph.roots_of(losses), model.shared()) is None
    assert not fetched


@pytest.mark.parametrize("tasks", [2, 3, 40])
def test_an_empty_batch_gives_zeros(tasks: int) -> None:
    model = build("linear", tasks)
    model.x = model.x[:0]
    z = model.trunk(model.x)
    methods.create("upgrad", tasks, path="layers").backward([head(z).sum() for head in model.heads], shared=model.shared())
    assert not nets.grads(model.shared()).any()


@pytest.mark.parametrize("tasks", [3, 10, 13, 41])
@pytest.mark.parametrize("at_once", [1, 100, 500, 10**6])
def test_many_tasks_are_taken_in_parts(tasks: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layerwise, "SEEN_AT_ONCE", at_once)
    model = build("linear", tasks)
    jacobian = torch.stack([nets.flat(torch.autograd.grad(loss, model.shared(), retain_graph=True)) for loss in model.losses()])
    roots = graph.roots_of(model.losses())
    plan = layers.plan(roots, model.shared(), forced=True)
    assert plan is not None
    gradients = layerwise.Layerwise(plan, model.shared(), tasks, layerwise.Scratch())
    gradients.backward([root for root in roots if root is not None], [1.0] * tasks)
    gramian, _ = gradients.gramian()
    assert linear.close(gramian, linear.gramian(jacobian), 1e-12)


def test_what_is_cheaper_is_counted() -> None:
    # 2 samples of 10 inputs and 10 outputs, 3 tasks: 4 (10 + 30) + 9 * 20 = 340 multiplications against 3 * 200 + 9 * 100 = 1500
    assert layers.choose(3, 2, 10, 10) == ("samples", 1160)
    assert layers.choose(3, 100, 10, 10) == ("rows", 0)


@pytest.mark.parametrize(("batch", "path"), [(8, "layers: 2 by samples"), (64, "layers: 1 by samples, 1 by rows"), (512, "rows")])
def test_every_layer_gets_what_is_cheaper_for_it(batch: int, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "WORTH", 1)
    found = []
    for way in ("auto", "rows"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trunk = nn.Sequential(nn.Linear(60, 80), nn.ReLU(), nn.Linear(80, 200), nn.ReLU()).double()
            model = Model(trunk, [nn.Linear(200, 1).double() for _ in range(4)], torch.randn(batch, 60, dtype=torch.float64))
        gradient, balancer = update(model, way)
        found.append(gradient)
        assert next(iter(balancer.paths)).startswith(path if way == "auto" else "rows")
    assert linear.close(found[0], found[1], 1e-9)


def test_a_small_network_is_not_worth_taking_apart() -> None:
    _, balancer = update(build("linear"), "auto")
    assert balancer.paths == {"rows": 1}


def test_gradients_of_samples_that_cancel_are_summed_first() -> None:
    """In float32, x xᵀ and δ δᵀ leave nothing of gradients that are 1e-5 of those of the samples; the update is still that of the rows."""

    def losses(trunk: nn.Module) -> list[Tensor]:
        z = trunk(torch.ones(2, 3))
        return [z[0, 0] - (1 - 1e-4) * z[1, 0] + 1e-4 * z[1, 1], (1 - 1e-4) * z[0, 0] - z[1, 0] + 3e-4 * z[0, 1]]

    found = []
    for path in ("layers", "rows"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trunk = nn.Linear(3, 2)
        balancer = methods.create("nash_mtl", 2, path=path)
        balancer.backward(losses(trunk), shared=trunk)
        found.append(nets.grads(list(trunk.parameters())))
        assert balancer.events == ({"layers_cancelled": 1} if path == "layers" else {})
    assert linear.close(found[0], found[1], 1e-4)


class Scales(nn.Module):
    """Heads that read the trunk in three places, one below the other, not each task in all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> list[Tensor]:
        low = torch.tanh(self.first(x))
        high = torch.tanh(self.second(low))
        return [low.sum(1).sin().mean(), (low * high).square().mean(), 10 * high[:, 0].square().mean() + low[:, 1].exp().mean()]


@pytest.mark.parametrize("name", ["upgrad", "nash_mtl"])
def test_heads_may_read_the_trunk_in_several_places(name: str) -> None:
    found = []
    for path in ("layers", "rows"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trunk, x = Scales().double(), torch.randn(7, 5, dtype=torch.float64)
        balancer = methods.create(name, 3, path=path)
        balancer.backward(trunk(x), shared=trunk)
        found.append(nets.grads(list(trunk.parameters())))
    assert linear.close(found[0], found[1], 1e-10)


def entangled(kind: str) -> Callable[[Model], list[Tensor]]:
    """Losses of a graph with no clean cut between heads and trunk."""

    def losses(model: Model) -> list[Tensor]:
        a, b, c = model.losses()
        weight = model.shared()[0]
        return {
            "a head uses a shared parameter": [a + weight.square().sum(), b, c],
            "a loss is part of another": [a, a + b, c],
            "the same loss twice": [a, a, c],
            "a head of two tasks": [a, b, c + sum(p.sum() for p in model.heads[0].parameters())],
            "a loss without a graph": [a, b, c.detach()],
            "one loss alone": [a, b.detach(), c.detach()],
        }[kind]

    return losses


ENTANGLED = [
    *("a head uses a shared parameter", "a loss is part of another", "the same loss twice"),
    *("a head of two tasks", "a loss without a graph", "one loss alone"),
]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("kind", ENTANGLED)
def test_what_cannot_be_taken_apart_is_walked_task_by_task(kind: str, every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "WORTH", 1)
    found = []
    for path in ("auto", "rows"):
        model = build("linear")
        balancer = methods.create("config", 3, path=path, every=every)
        for _ in range(2):
            balancer.backward(entangled(kind)(model), shared=model.shared())
        found.append(nets.grads(model.parameters()))
    assert linear.close(found[0], found[1], 1e-12)
    if every == 1:
        with pytest.raises(methods.MethodError, match="path is 'layers', but these losses cannot be taken so"):
            methods.create("config", 3, path="layers").backward(entangled(kind)(build("linear")), shared=model.shared())


class Checkpointed(nn.Module):
    def __init__(self, inner: nn.Module, reentrant: bool) -> None:
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)  # type: ignore[no-any-return]


@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints(reentrant: bool, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "WORTH", 1)
    expected, _ = update(build("linear"), "rows")
    model = build("linear")
    parameters = model.parameters()
    if where == "trunk":
        first, *rest = model.trunk.children()  # a reentrant checkpoint has no gradient where its input has none
        model.trunk = nn.Sequential(first, Checkpointed(nn.Sequential(*rest), reentrant))
    else:
        model.heads = [Checkpointed(head, reentrant) for head in model.heads]
    _, balancer = update(model, "auto")
    assert linear.close(nets.grads(parameters), expected, 1e-10)
    assert balancer.paths == {"rows": 1}


def hooked_parameter(model: Model, z: Tensor) -> None:
    model.shared()[0].register_hook(lambda gradient: 0.5 * gradient)


def hooked_head(model: Model, z: Tensor) -> None:
    def triple(parameter: Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad *= 3.0

    next(model.heads[0].parameters()).register_post_accumulate_grad_hook(triple)


def hooked_representation(model: Model, z: Tensor) -> None:
    z.register_hook(lambda gradient: 0.5 * gradient)


def kept_representation(model: Model, z: Tensor) -> None:
    z.retain_grad()


@pytest.mark.parametrize("hook", [hooked_parameter, hooked_head, hooked_representation, kept_representation])
def test_hooks_that_can_be_seen_are_heard(hook: Callable[[Model, Tensor], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "WORTH", 1)
    found = []
    for path in ("auto", "rows"):
        model = build("linear")
        z = model.trunk(model.x)
        hook(model, z)
        losses = [(10.0**t * head(z)).sin().square().mean() for t, head in enumerate(model.heads)]
        balancer = methods.create("upgrad", 3, path=path)
        balancer.backward(losses, shared=model.shared(), representation=z)
        found.append(nets.grads(model.parameters()))
        assert balancer.paths == {"rows": 1}
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("where", ["tensor", "node", "before the node"])
def test_hooks_on_what_heads_send_to_the_trunk_are_heard(where: str) -> None:
    """A user's clamp at a head acts on the trunk too, however the trunk is passed."""
    found = []
    for path in ("layers", "rows"):
        model = build("linear")
        z = model.trunk(model.x)
        outputs = [head(z) for head in model.heads]
        for output in outputs:
            if where == "tensor":
                output.register_hook(lambda g: g.clamp(-1e-3, 1e-3))
            elif where == "node":
                output.grad_fn.register_hook(lambda inputs, given: tuple(g if g is None else 2 * g for g in inputs))
            else:
                output.grad_fn.register_prehook(lambda given: tuple(g.clamp(-1e-3, 1e-3) for g in given))
        balancer = methods.create("upgrad", 3, path=path)
        balancer.backward([10.0**t * output.sin().square().mean() for t, output in enumerate(outputs)], shared=model.shared())
        found.append(nets.grads(model.parameters()))
    assert linear.close(found[0], found[1], 1e-10)


CHAINS = ("linear", "one layer", "no bias", "elementwise", "in place", "frozen bias")


@pytest.mark.parametrize("kind", TRUNKS)
def test_a_chain_of_linear_layers_and_elementwise_functions_is_passed_without_autograd(kind: str) -> None:
    model = build(kind)
    plan = layers.plan(graph.roots_of(model.losses()), model.shared(), forced=True)
    assert plan is not None
    assert (plan.links is not None) == (kind in CHAINS)


def test_what_cannot_pass_several_gradients_at_once_is_a_clear_error_and_changes_nothing() -> None:
    model = build("linear")
    first, *rest = model.trunk.children()
    y = first(model.x)
    y.register_hook(lambda gradient: gradient * gradient.norm().item())
    z = nn.functional.softplus(nn.Sequential(*rest)(y))
    losses = [(10.0**t * head(z)).sin().square().mean() for t, head in enumerate(model.heads)]
    with pytest.raises(methods.MethodError, match=r"the trunk cannot pass several gradients at once .*path='rows'") as error:
        methods.create("upgrad", 3, path="layers").backward(losses, shared=model.shared())
    assert "\n" not in str(error.value)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    "options", [{"priority": [1.0, 5.0, 0.5]}, {"priority": [1.0, 0.0, 2.0]}, {"scale": "grad_norm"}, {"scale": "sum"}]
)
def test_priority_and_scale_are_those_of_rows(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "WORTH", 1)
    for name in ("imtl_g", "mgda", "cagrad"):
        found, _ = update(build("linear"), "auto", name, **options)
        expected, _ = update(build("linear"), "rows", name, **options)
        assert linear.close(found, expected, 1e-10)


def test_gradients_accumulate_in_place_and_batches_may_change_their_size() -> None:
    found = []
    for path in ("layers", "rows"):
        model = build("layer norm")
        balancer = methods.create("upgrad", 3, path=path)
        for batch in (7, 3, 5):
            losses = Model(model.trunk, model.heads, model.x[:batch]).losses()
            before = [p.grad for p in model.parameters()]
            balancer.backward(losses, shared=model.shared())
            assert batch == 7 or all(p.grad is old for p, old in zip(model.parameters(), before, strict=True))
        found.append(nets.grads(model.parameters()))
    assert linear.close(found[0], found[1], 1e-10)


def test_a_loss_that_is_not_finite_makes_nan() -> None:
    model = build("linear")
    a, b, c = model.losses()
    methods.create("upgrad", 3, path="layers").backward([a, b * torch.inf, c], shared=model.shared())
    assert all(p.grad is not None and p.grad.isnan().all() for p in model.shared())


def test_the_update_has_the_strides_of_its_parameter() -> None:
    model = build("convolution")
    model.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    update(model, "layers")
    assert all(p.grad is not None and p.grad.stride() == p.stride() for p in model.shared())


def test_path_and_every_are_for_gramian_methods() -> None:
    for option in ({"path": "rows"}, {"every": 2}):
        for name in ("equal", "graddrop"):
            with pytest.raises(methods.MethodError, match="every and path are for methods that solve for weights"):
                methods.create(name, 3, **option)  # type: ignore[arg-type]
    with pytest.raises(methods.MethodError, match=r"path is 'layer'.*did you mean 'layers'"):
        methods.create("mgda", 3, path="layer")
    with pytest.raises(methods.MethodError, match="every is 0; expected a whole number of 1 or more"):
        methods.create("mgda", 3, every=0)


@pytest.mark.parametrize("options", [{}, {"priority": [1.0, 5.0, 0.0]}, {"scale": "mean"}])
@pytest.mark.parametrize("kind", TRUNKS)
def test_the_last_layer_is_looked_at_on_the_way_of_one_pass(kind: str, options: dict[str, Any]) -> None:
    found, traces = [], []
    for path in ("layers", "rows"):
        model = build(kind)
        balancer = methods.create("gradnorm", 3, path=path, lr=0.5, **options)
        for _ in range(3):
            step = balancer.backward(model.losses(), shared=model.shared())
        assert step.weights is not None
        assert balancer.backward_passes == 3
        found.append(nets.grads(model.parameters()))
        traces.append(step.weights)
        (way,) = balancer.paths
        assert way.startswith("last, layers: " if path == "layers" else "last")
    assert not linear.close(traces[0], torch.ones(3), 1e-3)
    assert linear.close(traces[0], traces[1], 1e-9)
    assert linear.close(found[0], found[1], 1e-9)


@pytest.mark.parametrize("kind", ENTANGLED)
def test_where_heads_and_trunk_are_entangled_the_last_layer_is_walked_to_task_by_task(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "FEW", 0)
    found = []
    for path in ("auto", "rows"):
        model = build("linear")
        balancer = methods.create("gradnorm", 3, path=path)
        balancer.backward(entangled(kind)(model), shared=model.shared())
        found.append(nets.grads(model.parameters()))
        assert balancer.paths == {"last": 1}
    assert torch.equal(found[0], found[1])
    with pytest.raises(methods.MethodError, match="path is 'layers', but these losses cannot be taken so"):
        methods.create("gradnorm", 3, path="layers").backward(entangled(kind)(build("linear")), shared=model.shared())


def test_a_few_tasks_pass_their_heads_twice_for_the_last_layer() -> None:
    once = "last, layers: 1 by samples, 0 by rows, 0 other parameters"
    for tasks, samples, way in ((layers.FEW, 2, "last"), (layers.FEW + 1, 2, once), (layers.FEW + 1, 7, "last")):
        model = build("linear", tasks)
        assert update(Model(model.trunk, model.heads, model.x[:samples]), "auto", "gradnorm")[1].paths == {way: 1}


def test_a_scaled_loss_leaves_the_weights_of_the_last_layer_alone() -> None:
    found = []
    for scale in (1.0, 1024.0):
        model = build("linear")
        balancer = methods.create("gradnorm", 3, path="layers")
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        scaler.scale(torch.ones(()))
        balancer.backward(model.losses(), shared=model.shared(), grad_scaler=scaler)
        step = balancer.backward(model.losses(), shared=model.shared(), grad_scaler=scaler)
        found.append((step.weights, nets.grads(model.parameters()) / scale))
    assert linear.close(found[0][0], found[1][0], 1e-12)
    assert linear.close(found[0][1], found[1][1], 1e-12)


def test_heads_that_read_the_trunk_in_several_places_pass_it_once_for_the_last_layer() -> None:
    found = []
    for path in ("layers", "rows"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trunk, x = Scales().double(), torch.randn(7, 5, dtype=torch.float64)
        balancer = methods.create("gradnorm", 3, path=path)
        for _ in range(2):
            balancer.backward([loss + 1 for loss in trunk(x)], shared=trunk)
        found.append(nets.grads(list(trunk.parameters())))
        (way,) = balancer.paths
        assert way.startswith("last, layers: " if path == "layers" else "last")
    assert linear.close(found[0], found[1], 1e-10)
