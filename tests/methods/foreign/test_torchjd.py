"""What torchjd has, as methods: beside its own loop."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import methods
from methods.foreign import text
from tests import linear, nets
from tests.inputs import gaussian
from tests.methods.foreign.loop import resumed, train

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
    path = tmp_path / "mine.py"
    path.write_text("from torchjd.scalarization import DWA\ndwa = DWA()\n", encoding="utf-8")
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
