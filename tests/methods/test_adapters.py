"""Objects of other code as methods: they do what they do at home, and nothing of theirs reaches further than that."""

from __future__ import annotations

import copy
import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods
from methods import registry
from methods.foreign import source, text
from methods.foreign.randomness import standing_in
from tests import linear, nets
from tests.inputs import gaussian


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    known, modules = dict(source._known), set(sys.modules)
    yield
    source._known.clear()
    source._known.update(known)
    for name in set(sys.modules) - modules:
        if name.startswith(("lossbench_method_", "mypackage")):
            del sys.modules[name]


def geometric(losses: Tensor) -> Tensor:
    return losses.prod() ** (1 / len(losses))


class Kendall(nn.Module):
    """Uncertainty weighting as a user would write it."""

    def __init__(self, num_tasks: int, start: float = 0.0) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.full((num_tasks,), start))

    def forward(self, losses: Tensor) -> Tensor:
        return (torch.exp(-self.log_variance) * losses + self.log_variance).sum() / 2


STRAY = nn.Parameter(torch.ones(()))


def train(balancer: methods.Method, steps: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    """All gradients of some steps on a net that moves in between, ``[steps, P]``."""
    net, found = nets.build(dtype=dtype), []
    for _ in range(steps):
        net.clear()
        balancer.backward(net.losses(), shared=net.shared())
        found.append(nets.grads(net.parameters()))
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.01 * (0 if parameter.grad is None else parameter.grad.sign())
        linear.after_step(balancer, net.losses())
    return torch.stack(found)


# -- callables and modules -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"priority": [1, 3, 0.5]}, {"scale": "grad_norm"}], ids=str)
def test_a_function_is_the_method_that_it_is(options: dict[str, Any]) -> None:
    assert linear.close(train(methods.adapt(geometric, 3, **options)), train(methods.create("gls", 3, **options)), 1e-10)


def test_a_function_may_take_losses_one_by_one_and_work_in_place() -> None:
    def total(losses: Tensor) -> Tensor:
        losses *= 1.0
        first, *rest = losses
        return first + sum(rest) + 0 * max(losses)

    assert linear.close(train(methods.adapt(total, 3)), train(methods.create("equal", 3, scale="sum")))


def test_losses_as_a_dict_and_a_grad_scaler() -> None:
    class Scaler:
        def get_scale(self) -> float:
            return 1024.0

    nets_ = nets.build(), nets.build()
    methods.adapt(geometric, 3).backward(dict(zip("abc", nets_[0].losses(), strict=True)), grad_scaler=Scaler())
    methods.create("gls", 3).backward(nets_[1].losses())
    assert linear.close(nets.grads(nets_[0].parameters()), 1024 * nets.grads(nets_[1].parameters()), 1e-10)


def test_the_parameters_of_a_module_are_learned_as_those_of_a_method() -> None:
    mine = methods.adapt(Kendall(3), 3, parameters_lr=0.1)
    theirs = methods.create("uncertainty", 3, coefficient="half", lr=0.1)
    assert linear.close(train(mine, 5), train(theirs, 5), 1e-6)  # both keep their logarithms in float32
    assert torch.allclose(mine.object.log_variance, theirs.log_variance)
    assert mine.object.log_variance.abs().min() > 0.1


def test_frozen_parameters_of_a_module_stay() -> None:
    objective = Kendall(3).requires_grad_(False)
    balancer = methods.adapt(objective, 3)
    train(balancer)
    assert torch.equal(objective.log_variance, torch.zeros(3))
    objective.requires_grad_(True)
    train(balancer)
    assert objective.log_variance.abs().min() > 0


def test_an_object_never_sees_losses_that_are_not_finite() -> None:
    seen = []

    def spy(losses: Tensor) -> Tensor:
        seen.append(losses.detach())
        return losses.sum()

    theta = nn.Parameter(torch.ones(2))
    methods.adapt(spy, 2).backward([theta.sum(), theta.sum() * torch.inf])
    assert seen == []
    assert theta.grad.isnan().all()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda losses: losses, r"returned a torch.float64 tensor of shape \(3,\); expected a scalar tensor"),
        (lambda losses: losses.sum().item(), "returned float; expected a scalar tensor"),
        (lambda losses: None, "returned NoneType; expected a scalar tensor"),
        (lambda losses: losses.detach().sum(), "returned a scalar that does not depend on the losses"),
        (lambda losses: losses.sum() * STRAY, "depends on parameters that it does not own"),
    ],
)
def test_objectives_that_are_none(objective: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(methods.MethodError, match=message):
        train(methods.adapt(objective, 3, name="mine"))


def test_a_warning_of_foreign_code_is_a_warning_and_an_exception_itself() -> None:
    def noisy(losses: Tensor) -> Tensor:
        import warnings

        warnings.warn("be careful", RuntimeWarning, stacklevel=1)
        return losses.sum()

    def broken(losses: Tensor) -> Tensor:
        raise KeyError("no such task")

    with pytest.warns(RuntimeWarning, match="be careful"):
        train(methods.adapt(noisy, 3), 1)
    with pytest.raises(KeyError, match="no such task"):
        train(methods.adapt(broken, 3))


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, r"int is of type int; expected a torchjd aggregator, weighting or scalarizer, or a callable losses -> scalar"),
        (Kendall, r"Kendall is a class; expected an object: methods.adapt\(Kendall\(...\), 3\)"),
        (methods.create("equal", 3), "Equal is a method already"),
    ],
)
def test_what_cannot_be_adapted(thing: Any, message: str) -> None:
    with pytest.raises(methods.MethodError, match=message):
        methods.adapt(thing, 3)


@pytest.mark.parametrize(
    "options", [{"scale": "sum"}, {"scale": "mean"}, {"scale": "maen"}, {"parameters_lr": -1.0}, {"name": "a\nb"}], ids=str
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(methods.MethodError) as error:
        methods.adapt(geometric, 3, **options)
    assert "\n" not in str(error.value)


# -- randomness and state --------------------------------------------------------------------------------------------------------------


class Running:
    """A callable that is no module, and keeps what it knows in attributes."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None
        self.steps, self.history, self.kind = 0, [], torch.float32

    def __call__(self, losses: Tensor) -> Tensor:
        self.mean = losses.detach() if self.mean is None else self.mean + 0.5 * (losses.detach() - self.mean)
        self.steps += 1
        self.history = [*self.history, float(self.mean.sum())][-2:]
        return (losses / self.mean).sum() + losses[self.steps % 3] * self.history[0]


class Lazy(nn.Module):
    """A module that creates its buffer at the first step, in plain attributes what the buffer is for."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None)
        self.register_buffer("scratch", torch.ones(1), persistent=False)
        self.shape: tuple[int, ...] | None = None

    def forward(self, losses: Tensor) -> Tensor:
        if self.shape != tuple(losses.shape):
            self.shape, self.mean = tuple(losses.shape), torch.ones_like(losses)
        self.mean = 0.9 * self.mean + losses.detach()
        return (losses / self.mean).sum() * self.scratch.sum()


def noise(losses: Tensor) -> Tensor:
    return losses @ torch.rand_like(losses)


STATEFUL: dict[str, Callable[[], Any]] = {"noise": lambda: noise, "running": Running, "lazy": Lazy, "kendall": lambda: Kendall(3)}


def resumed(make: Callable[[int], methods.Method]) -> None:
    """A run that is saved, loaded into fresh and used objects, and copied, goes on identically."""
    whole = make(3)
    train(whole, 4)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    fresh, used, twin = make(5), make(6), copy.deepcopy(whole)
    train(used, 2)
    state = torch.load(file, weights_only=True)
    fresh.load_state_dict(state)
    used.load_state_dict(copy.deepcopy(state))
    expected = train(whole, 3)
    for other in (fresh, used, twin):
        assert torch.equal(train(other, 3), expected)


@pytest.mark.parametrize("kind", STATEFUL)
def test_state_is_saved_and_copied(kind: str) -> None:
    resumed(lambda seed: methods.adapt(STATEFUL[kind](), 3, seed=seed))


def test_a_generator_stands_in_and_everything_is_put_back() -> None:
    before = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = torch.rand(5)
    generator = torch.Generator().manual_seed(7)
    drawn: list[Tensor] = []

    def draw(count: int) -> None:
        with standing_in(generator, torch.device("cpu")):
            drawn.append(torch.rand(count))
            raise KeyError

    for count in (2, 3):
        with pytest.raises(KeyError):
            draw(count)
    assert torch.equal(torch.cat(drawn), expected)
    assert torch.equal(torch.get_rng_state(), before)


# -- by name ---------------------------------------------------------------------------------------------------------------------------

MINE = """
from pathlib import Path
import torch
Path(__file__).with_suffix(".ran").touch()
__version__ = 4

def geometric(losses, power=1.0):
    return losses.prod() ** (power / len(losses))

def needy(losses, temperature, *, floor):
    return losses.sum()

class Learned(torch.nn.Module):
    def __init__(self, num_tasks, gain=1.0):
        super().__init__()
        self.gain, self.s = gain, torch.nn.Parameter(torch.rand(num_tasks))

    def forward(self, losses):
        return self.gain * (self.s * losses).sum()

class Counting:
    calls = 0

    def __call__(self, losses):
        self.calls += 1
        return losses.sum() * self.calls

counting = Counting()
number = 3
"""


def write(folder: Path, content: str = MINE, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path that nobody installed; importing any of it leaves a trace."""
    trace = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
    write(tmp_path / "mypackage", trace + "from .losses import geometric as mean\nfrom . import losses\n", "__init__.py")
    write(tmp_path / "mypackage", MINE, "losses.py")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "mypackage"


def test_an_object_of_a_file_is_read_when_it_is_named_and_run_when_it_is_created(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert methods.load(f"{path}:geometric") == ["mine.py:geometric"]
    card = methods.card("mine.py:geometric")
    assert (card.family, card.release, card.claims, card.version) == ("foreign", "4", (), source.VERSION)
    assert not path.with_suffix(".ran").exists()
    assert linear.close(train(methods.create("mine.py:geometric", 3)), train(methods.create("gls", 3)), 1e-10)
    assert path.with_suffix(".ran").exists()


def test_an_object_of_a_module_is_read_without_importing_its_package(package: Path) -> None:
    for name, file in (("mypackage.losses:geometric", "losses.py"), ("mypackage:mean", "losses.py"), ("mypackage:losses", "__init__.py")):
        found = registry.find(name)
        assert found is not None
        assert found.path == package / file
        assert found.origin == name
    assert not list(package.glob("*.ran"))
    assert "mypackage" not in sys.modules
    assert linear.close(train(methods.create("mypackage:mean", 3)), train(methods.create("gls", 3)), 1e-10)


def test_what_is_installed_has_its_version_for_a_release_and_needs_no_loading() -> None:
    found = registry.find("torch.nn.functional:softplus")
    assert found is not None
    assert found.card.release == f"torch {torch.__version__.partition('+')[0]}"
    assert found.origin == ""
    assert found.remedy == f"give the changed {found.card.release} a version of its own"


def test_hyperparameters_are_what_an_object_is_made_with(tmp_path: Path) -> None:
    path = write(tmp_path)
    twice = methods.create(f"{path}:geometric", 3, power=2.0)
    expected = train(methods.adapt(lambda losses: geometric(losses) ** 2, 3))
    assert linear.close(train(twice), expected, 1e-10)
    learned = methods.create(f"{path}:Learned", 3, gain=2.0, parameters_lr=0.0)
    assert learned.parameters_lr == 0.0
    assert learned.object.gain == 2.0
    assert learned.object.s.shape == (3,)  # num_tasks was filled in


def test_what_a_constructor_draws_depends_on_the_seed_alone(tmp_path: Path) -> None:
    path, before = write(tmp_path), torch.get_rng_state()
    made = [methods.create(f"{path}:Learned", 3, seed=seed).object.s for seed in (0, 1, 0)]
    assert torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_object_that_its_module_made_is_copied_for_every_run(tmp_path: Path) -> None:
    path = write(tmp_path)
    first, second = (train(methods.create(f"{path}:counting", 3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("geometrik", {}, "unknown object 'geometrik' in mine.py; did you mean 'geometric'"),
        ("geometric", {"powr": 2.0}, r"mine.py:geometric has no argument 'powr'; did you mean 'power'\? \(it has: power, parameters_lr\)"),
        ("geometric", {"power": float("nan")}, "mine.py:geometric.power is nan; expected a finite number"),
        ("needy", {}, r"mine.py:needy needs temperature, floor: methods.create\('mine.py:needy', 3, temperature=..., floor=...\)"),
        ("counting", {"calls": 3}, "mine.py:counting is an object that is made already; it takes no calls"),
        ("number", {}, "mine.py:number is of type int; expected a torchjd aggregator"),
        ("a b", {}, r"expected MODULE:OBJECT or FILE.py:OBJECT, as in torchjd:UPGrad"),
        ("geometric(power=2)", {}, "what it is made with goes into --set, or methods.create"),
        ("", {}, r"expected MODULE:OBJECT or FILE.py:OBJECT"),
    ],
)
def test_objects_of_a_file_that_cannot_be_used(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    path = write(tmp_path)
    with pytest.raises(methods.MethodError, match=message) as error:
        methods.create(f"{path}:{name}", 3, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing_like_this:f", r"no module 'nothing_like_this' \(install its package, or call from the folder that it is in\)"),
        ("torchJD:UPGrad", "no module 'torchJD'; did you mean 'torchjd'"),
        ("mypackage.loses:geometric", "no module 'mypackage.loses'"),
        ("mypackage.losses:geometrik", "unknown object 'geometrik' in mypackage.losses; did you mean 'geometric'"),
        ("nowhere.py:f", "no such file: .*nowhere.py"),
        ("my package:f", "expected MODULE:OBJECT"),
        ("../mypackage:f", "expected MODULE:OBJECT"),
        (":f", "expected MODULE:OBJECT"),
        ("methods.gls:GLS", "methods.gls:GLS is a method, and needs no adapting"),
    ],
)
def test_names_that_lead_nowhere(package: Path, name: str, message: str) -> None:
    with pytest.raises(methods.MethodError, match=message) as error:
        methods.create(name, 3)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_or_would_be_confused(tmp_path: Path) -> None:
    with pytest.raises(methods.MethodError, match=r"broken.py is not Python"):
        methods.load(f"{write(tmp_path, 'def (', 'broken.py')}:f")
    methods.load(f"{write(tmp_path)}:geometric")
    with pytest.raises(methods.MethodError, match=r"would be known as 'mine.py', but so is .*: choose another file name"):
        methods.load(f"{write(tmp_path / 'other')}:geometric")
    missing = write(tmp_path, "import nothing_like_this\ndef f(losses): ...\n", "missing.py")
    with pytest.raises(methods.MethodError, match=r"missing.py:f cannot be imported: No module named 'nothing_like_this'"):
        methods.create(f"{missing}:f", 3)


def test_an_adapted_object_is_no_class_of_the_registry(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(methods.MethodError, match=r"is no method's class but an object to adapt: methods.create\("):
        methods.get(f"{path}:geometric")
    assert not any(":" in name for name in methods.names())


@pytest.mark.parametrize(
    ("content", "complete"),
    [
        ("x = 1", True),
        ("if True:\n    from os import path as p\nelse:\n    p = 2\ntry:\n    q = 1\nexcept ValueError:\n    q = 2", True),
        ("def f():\n    hidden = 1\n    return globals()", True),
        ("from os import *", False),
        ("globals()['x'] = 1", False),
        ("def __getattr__(name): ...", False),
    ],
)
def test_what_the_text_of_a_module_tells(tmp_path: Path, content: str, complete: bool) -> None:
    path = write(tmp_path, content + "\n_private = 0\n", "some.py")
    if not complete:
        assert text.definition("anything", path) == text.Definition(path, None)
        return
    with pytest.raises(text.Missing) as missing:
        text.definition("hidden", path)
    assert not any(name.startswith("_") for name in missing.value.names)
    for name in missing.value.names:
        assert text.definition(name, path).path.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("def f(losses): ...", ((), (), False)),
        ("def f(losses, a, b=1, *, c, d=2): ...", (("a", "c"), ("a", "b", "c", "d"), False)),
        ("def f(losses, /, a=1, **more): ...", ((), ("a",), True)),
        ("class f:\n    def __init__(self, a, b=1): ...", (("a",), ("a", "b"), False)),
        ("class f:\n    def other(self, a): ...", None),
        ("import functools\n@functools.cache\ndef f(losses, a): ...", None),
        ("import abc\nclass f(metaclass=abc.ABCMeta):\n    def __init__(self, a): ...", None),
        ("f = len", None),
    ],
)
def test_what_the_text_of_an_object_says_that_it_takes(tmp_path: Path, content: str, expected: Any) -> None:
    found = text.definition("f", write(tmp_path, content, "some.py")).arguments
    assert (found and (found.required, found.known, found.open)) == expected


# -- torchjd ---------------------------------------------------------------------------------------------------------------------------

GIVEN: dict[str, dict[str, Any]] = {
    "CAGrad": {"c": 0.5},
    "CAGradWeighting": {"c": 0.5},
    "Constant": {"weights": torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)},
    "ConstantWeighting": {"weights": torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)},
    "COSMOS": {"lambda_": 1.0, "weights": torch.ones(3, dtype=torch.float64)},
    "FairGrad": {"alpha": 1.0},
    "FairGradWeighting": {"alpha": 1.0},
    "Krum": {"n_byzantine": 0},
    "KrumWeighting": {"n_byzantine": 0},
    "PBI": {"theta": 1.0, "weights": torch.ones(3, dtype=torch.float64)},
    "STCH": {"mu": 0.5},
    "TrimmedMean": {"trim_number": 1},
}
"""What the constructors ask for, of the objects that have no defaults."""
REFUSED = {
    "Aggregator": "abstract",
    "Weighting": "abstract",
    "Scalarizer": "abstract",
    "CRMOGMWeighting": "needs weighting",
    "GramianWeightedAggregator": "needs gramian_weighting",
    "WeightedAggregator": "needs weighting",
    "MoDoWeighting": "two independent batches",
    "SDMGradWeighting": "two independent batches",
    "DWA": r"its step\(\) is due at the end of every epoch",
}
HEAVY = ("CAGrad", "CAGradWeighting", "NashMTL")
"""Objects that need cvxpy, which the extra ``bench`` brings and the tests do without."""


def public() -> list[str]:
    if importlib.util.find_spec("torchjd") is None:
        return []
    from torchjd import aggregation, scalarization

    return [f"{module.__name__}:{name}" for module in (aggregation, scalarization) for name in module.__all__]


def at_home(aggregator: Any, steps: int = 3) -> Tensor:
    """What :func:`train` finds, by torchjd alone."""
    from torchjd.autojac import jac_to_grad, mtl_backward

    net, found = nets.build(), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(steps):
            net.clear()
            mtl_backward(net.losses(), features=net.z)
            jac_to_grad(net.shared(), aggregator)
            found.append(nets.grads(net.parameters()))
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.01 * parameter.grad.sign()
    return torch.stack(found)


@pytest.mark.parametrize("name", public())
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem that is not DPP")
def test_every_public_object_of_torchjd_takes_steps_or_says_in_a_line_why_not(name: str) -> None:
    kind = name.partition(":")[2]
    expected = REFUSED.get(kind)
    if kind in HEAVY and importlib.util.find_spec("cvxpy") is None:
        expected = r"requires .*cvxpy.* to be installed\. Install them with: pip install"
    if expected:
        with pytest.raises(methods.MethodError, match=expected) as error:
            methods.create(name, 3, **GIVEN.get(kind, {}))
        assert "\n" not in str(error.value)
        assert name in str(error.value)
        return
    before = torch.get_rng_state()
    found = train(methods.create(name, 3, **GIVEN.get(kind, {})))
    assert found.isfinite().all()
    assert (found.norm(dim=1) > 0).all()
    assert torch.equal(torch.get_rng_state(), before)


AGGREGATORS = ["UPGrad", "Mean", "MGDA", "AlignedMTL", "IMTLG", "ConFIG", "TrimmedMean", "ExcessMTL", "PCD"]
RANDOM = ["PCGrad", "GradVac", "GradDrop", "Random"]


@pytest.mark.parametrize("name", [*AGGREGATORS, *RANDOM])
def test_an_aggregator_does_what_it_does_in_torchjds_own_loop(name: str) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")
    given = GIVEN.get(name, {})
    expected = at_home(getattr(aggregation, name)(**given))
    assert linear.close(train(methods.create(f"torchjd:{name}", 3, **given)), expected, 1e-10)
    assert linear.close(train(methods.adapt(getattr(aggregation, name)(**given), 3)), expected, 1e-10)


@pytest.mark.parametrize("name", ["UPGrad", "DualProj", "Mean", "ExcessMTL", "GradVac"])
def test_a_weighting_does_what_its_aggregator_does_and_says_its_weights(name: str) -> None:
    pytest.importorskip("torchjd")
    weighting = methods.create(f"torchjd:{name}Weighting", 3)
    assert linear.close(train(weighting), train(methods.create(f"torchjd:{name}", 3)), 1e-9)
    of_gramians = name in ("UPGrad", "DualProj", "GradVac")
    assert isinstance(weighting, methods.GramianMethod if of_gramians else methods.JacobianMethod)
    net = nets.build()
    weights = weighting.backward(net.losses(), shared=net.shared()).weights
    assert weighting.card.family == ("gramian" if of_gramians else "jacobian")
    assert (weights is not None) == of_gramians
    if weights is not None:
        assert linear.close(net.update(), weights @ net.jacobian(), 1e-9)


def test_a_scalarizer_does_what_it_does_in_a_plain_loop() -> None:
    scalarization = pytest.importorskip("torchjd.scalarization")
    net = nets.build()
    scalarization.STCH(mu=0.5)(torch.stack(net.losses())).backward()
    taken = nets.build()
    methods.create("torchjd:STCH", 3, mu=0.5).backward(taken.losses())
    assert linear.close(nets.grads(taken.parameters()), nets.grads(net.parameters()), 1e-10)


def test_learned_scalarizers_are_the_methods_of_their_papers() -> None:
    pytest.importorskip("torchjd")
    half = train(methods.create("uncertainty", 3, coefficient="half"), 5)
    assert linear.close(train(methods.create("torchjd:UW", 3), 5), half, 1e-6)
    assert linear.close(train(methods.create("torchjd:IMTLL", 3), 5), train(methods.create("imtl_l", 3), 5), 1e-6)


def test_famo_learns_from_the_losses_after_the_step() -> None:
    pytest.importorskip("torchjd")
    theirs = methods.create("torchjd:FAMO", 3, weight_decay=0.0)
    assert theirs.reforward
    train(theirs, 5)
    assert theirs.object._w.abs().max() > 0.01
    with pytest.raises(methods.MethodError, match="has no step to follow"):
        theirs.after_step(nets.build().losses())


def test_torchjds_dwa_can_be_adapted_by_whoever_calls_its_step(tmp_path: Path) -> None:
    scalarization = pytest.importorskip("torchjd.scalarization")
    path = write(tmp_path, "from torchjd.scalarization import DWA\ndwa = DWA()\n")
    with pytest.raises(methods.MethodError, match=r"mine.py:dwa: its step"):
        methods.create(f"{path}:dwa", 3)
    object_ = scalarization.DWA()
    balancer = methods.adapt(object_, 3)
    for factor in (1.0, 0.5):
        balancer.backward([factor * loss for loss in nets.build().losses()[:2]] + nets.build().losses()[2:])
        object_.step()
    weights = balancer.backward(nets.build().losses()).weights
    assert weights is not None
    assert weights[2] > 1 > weights[0]


def test_smoothed_weights_are_for_what_the_smoothed_ones_are_for() -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")
    for inner, family in ((aggregation.MGDAWeighting, methods.GramianMethod), (aggregation.MeanWeighting, methods.JacobianMethod)):
        adapted = methods.adapt(aggregation.CRMOGMWeighting(inner()), 3)
        assert isinstance(adapted, family)
        assert train(adapted).isfinite().all()


@pytest.mark.parametrize("name", [*RANDOM, "PCGradWeighting", "torchjd.scalarization:Random"])
def test_the_seed_decides_what_foreign_code_draws(name: str) -> None:
    pytest.importorskip("torchjd")
    name = name if ":" in name else f"torchjd:{name}"
    before = torch.get_rng_state()
    first, second, again = (train(methods.create(name, 3, seed=seed)) for seed in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "name", [*RANDOM, "PCD", "ExcessMTL", "GradVacWeighting", "PCDWeighting", "torchjd.scalarization:Random", "UW", "UPGrad"]
)
def test_torchjds_state_is_saved_and_copied(name: str) -> None:
    pytest.importorskip("torchjd")
    resumed(lambda seed: methods.create(name if ":" in name else f"torchjd:{name}", 3, seed=seed))


def test_state_that_cannot_be_saved_is_named_and_starts_anew() -> None:
    pytest.importorskip("torchjd")
    balancer = methods.create("torchjd:FAMO", 3)
    fresh_state = copy.deepcopy(balancer.state_dict())  # nothing is lost before the first step
    train(balancer)
    with pytest.warns(UserWarning, match=r"torchjd:FAMO: state_dict leaves out _optimizer, neither tensors nor plain data"):
        state = balancer.state_dict()
    other = methods.create("torchjd:FAMO", 3)
    other.load_state_dict(state)
    assert torch.equal(other.object._w, balancer.object._w)
    assert train(other).isfinite().all()
    other.load_state_dict(fresh_state)
    assert torch.equal(other.object._w, torch.zeros(3))


def test_foreign_code_gets_fresh_tensors_in_the_dtype_of_the_gradients_and_may_differentiate() -> None:
    aggregation, linalg = pytest.importorskip("torchjd.aggregation"), pytest.importorskip("torchjd.linalg")

    class Keeper(aggregation.Aggregator):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kept: list[Tensor] = []

        def forward(self, matrix: Tensor) -> Tensor:
            self.kept.append(matrix)
            leaf = matrix.clone().requires_grad_()
            leaf.sum().backward()
            assert leaf.grad is not None
            matrix *= 1.0
            return (leaf * leaf.grad).sum(0)

    class Weigher(aggregation.Weighting[linalg.PSDMatrix]):  # type: ignore[misc]
        seen: Tensor

        def forward(self, gramian: Tensor) -> Tensor:
            self.seen = gramian
            return torch.ones(len(gramian))

    keeper = Keeper()
    found = train(methods.adapt(keeper, 3), dtype=torch.float32)
    assert linear.close(found, train(methods.create("equal", 3, scale="sum"), dtype=torch.float32), 1e-5)
    assert keeper.kept[0].dtype == torch.float32
    assert not torch.equal(keeper.kept[0], keeper.kept[1])
    weigher = Weigher()
    net = nets.build(dtype=torch.float32)
    methods.adapt(weigher, 3, priority=[1, 2, 3]).backward(net.losses(), shared=net.shared())
    assert weigher.seen.dtype == torch.float32
    assert linear.close(weigher.seen, linear.gramian(net.jacobian()), 1e-5)


def test_a_weighting_sees_tasks_whose_gradient_is_zero() -> None:
    aggregation, linalg = pytest.importorskip("torchjd.aggregation"), pytest.importorskip("torchjd.linalg")

    class Counted(aggregation.Weighting[linalg.PSDMatrix]):  # type: ignore[misc]
        def forward(self, gramian: Tensor) -> Tensor:
            return torch.arange(1.0, len(gramian) + 1)

    jacobian = gaussian(3, 5)
    jacobian[1] = 0
    _, weights = linear.step(methods.adapt(Counted(), 3), jacobian)
    assert weights is not None
    assert weights.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda matrix: matrix[0][1:], r"mine returned a torch.float64 tensor of shape \(4,\); expected a real tensor of shape \(5,\)"),
        (lambda matrix: 3, r"mine returned int; expected a real tensor of shape \(5,\)"),
    ],
)
def test_aggregators_of_the_wrong_shape(result: Callable[[Tensor], Any], message: str) -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")

    class Wrong(aggregation.Aggregator):  # type: ignore[misc]
        def forward(self, matrix: Tensor) -> Any:
            return result(matrix)

    with pytest.raises(methods.MethodError, match=message):
        linear.step(methods.adapt(Wrong(), 2, name="mine"), gaussian(2, 5))


def test_parameters_that_nothing_could_train_are_refused() -> None:
    aggregation = pytest.importorskip("torchjd.aggregation")

    class Learned(aggregation.Aggregator):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def forward(self, matrix: Tensor) -> Tensor:
            return self.gain * matrix.sum(0)

    with pytest.raises(methods.MethodError, match="Learned has parameters, but no loss depends on them"):
        methods.adapt(Learned(), 2)
    assert linear.close(train(methods.adapt(Learned().requires_grad_(False), 3)), train(methods.create("equal", 3, scale="sum")), 1e-10)


def test_a_missing_torchjd_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "file_of", lambda module: None)
    with pytest.raises(methods.MethodError, match=r"torchjd is not installed: pip install 'lossbench\[bench\]'"):
        methods.create("torchjd:UPGrad", 3)


def test_misspelt_objects_of_torchjd_have_a_suggestion() -> None:
    pytest.importorskip("torchjd")
    with pytest.raises(methods.MethodError, match="unknown object 'UPGard' in torchjd; did you mean 'UPGrad'"):
        methods.create("torchjd:UPGard", 3)
    with pytest.raises(methods.MethodError, match="torchjd:DWA: its step"):
        methods.card("torchjd:DWA")  # before anything is made
    with pytest.raises(methods.MethodError, match=r"torchjd:CAGrad needs c: methods.create\('torchjd:CAGrad', 3, c=...\)"):
        methods.create("torchjd:CAGrad", 3)
    assert methods.card("torchjd:Mean").title != methods.card("torchjd.scalarization:Mean").title
