"""Every check can fail: methods with one fault each, and the check that names it."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import methods
from methods.contract import Broken, checks, cost, examine
from methods.families.several import Lookahead

RUN = {check.name: check.run for check in checks()}
FAULTS: list[tuple[str, str, Callable[[], None]]] = []
Loss, Gramian, Jacobian, Bilevel = methods.LossMethod, methods.GramianMethod, methods.JacobianMethod, methods.BilevelMethod
H = methods.Hyperparameter


def fault(check: str, message: str, kind: type[methods.Method], *hyperparameters: H, **card: Any) -> Callable[[Any], None]:
    """Decorates a namespace whose functions become those of a method, to be registered when the test runs."""
    families = {Loss: "loss", Gramian: "gramian", Jacobian: "jacobian", Bilevel: "several"}

    def take(body: type) -> None:
        fields = {"title": "t", "paper": "p", "year": 2026, "equation": "e", "family": families[kind], **card}

        def register() -> None:
            own = {key: value for key, value in vars(body).items() if key not in ("__dict__", "__weakref__")}
            told = methods.Card(name="faulty", version=1, hyperparameters=hyperparameters, **fields)
            methods.register(told)(type(body.__name__, (kind,), {**own, "faults": []}))

        FAULTS.append((check, message, register))

    return take


class Mean:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return torch.full_like(losses, 1 / len(losses))


class MeanRow:
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        return jacobian.mean(0)


class Sum:
    def objective(self, losses: Tensor) -> Tensor:
        return losses.sum()


fault("card", "equation on its card is empty", Gramian, equation=" ")(Mean)
fault("card", "hyperparameter beta is on its card but never read", Gramian, H("beta", 0.5, "momentum", low=0.0, high=1.0))(Mean)
fault("card", "hyperparameter beta has no meaning on its card", Gramian, H("beta", 0.5, " "))(Mean)
fault("card", "says family='jacobian', but it is no JacobianMethod", Gramian, family="jacobian")(Mean)
fault("card", "expected the reason in deviations", Gramian, coincides=("equal",))(Mean)
fault("needs", "its card needs prior_losses, but its updates are the same", Gramian, needs=("prior_losses",))(Mean)
fault("differs", "differ from those of equal by no more than", Gramian)(Mean)
fault("differs", "coincides='pcgrad' or 'faulty' is on a card, but their directions differ", Jacobian, coincides=("pcgrad", "equal"))(
    MeanRow
)
fault("differs", "coincides with nothing, which no method is called", Jacobian, coincides=("nothing",))(MeanRow)
fault("claims", "non_conflicting: on '.*expected nothing below 0", Gramian, claims=("non_conflicting",))(Mean)


@fault("card", "expected positive_losses=True", Loss)
class Strict:
    def objective(self, losses: Tensor) -> Tensor:
        if bool((losses <= 0).any()):
            raise methods.LossRangeError("losses are to be positive")
        return losses.log().sum()


@fault("card", r"with power=30.0, an end of its sweep, the update is \[.*; expected finite", Loss, H("power", 2.0, "p", sweep=(1.0, 30.0)))
class Bursts:
    power: float

    def objective(self, losses: Tensor) -> Tensor:
        return (losses * 1e12).pow(self.power).sum()


@fault("needs", r"given no facts about its tasks, it raised TypeError", Gramian)
class Undeclared:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return losses / self.facts.initial_losses[0]


@fault("needs", r"expected needs=\('initial_losses',\)", Gramian)
class Peeks:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        known = self.facts.initial_losses
        return losses if known is None else losses / torch.tensor(known).to(losses)[: len(losses)]


@fault("shapes", "raised IndexError", Jacobian)
class TwoColumns:
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        return jacobian.mean(0) * jacobian[0, 1].sign().abs()


@fault("dtypes", "in torch.float32 the update is .*expected finite", Loss)
class Half:
    def objective(self, losses: Tensor) -> Tensor:
        return losses.half().pow(4).sum().to(losses) if losses.dtype == torch.float32 else losses.pow(4).sum()


@fault("tasks", "raised IndexError", Gramian)
class ThreeTasks:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return losses / losses[2]


@fault("finite", "on 'tiny', J of 3 x 5: the update of step 1 is .*expected finite numbers", Gramian)
class Inverts:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return 1 / (gramian.diagonal() > 1e-9).double()


@fault("not_finite", "seen of its state_dict went from", Loss)
class CountsCalls(Sum):
    objective = Sum.objective

    def setup(self) -> None:
        self.register_buffer("seen", torch.zeros(()))

    def backward(self, losses: Any, **given: Any) -> methods.Step:
        self.seen.add_(1)
        return Loss.backward(self, losses, **given)


@fault("not_finite", "expected nan everywhere, for the loop to notice", Gramian)
class Hides:
    weights = Mean.weights

    def backward(self, losses: Any, *, shared: Any, **given: Any) -> methods.Step:
        found = Gramian.backward(self, losses, shared=shared, **given)
        for parameter in shared:
            parameter.grad = parameter.grad.nan_to_num()
        return found


@fault("zero", "with gradients of zero the update is .*expected 0", Jacobian)
class Drifts:
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        return jacobian.mean(0) + 0.1


@fault("unreached", "a shared parameter that no loss reaches got the gradient", Gramian)
class FillsIn:
    weights = Mean.weights

    def backward(self, losses: Any, *, shared: Any, **given: Any) -> methods.Step:
        found = Gramian.backward(self, losses, shared=shared, **given)
        for parameter in shared:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        return found


@fault("inputs_untouched", r"direction\(\) writes into its argument 0", Jacobian)
class Writes:
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        return jacobian.mul_(0.5).sum(0)


@fault("inputs_untouched", "keeps in before the tensor that it was handed", Jacobian)
class Keeps:
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        self.before = jacobian[0]
        return jacobian.mean(0)


@fault("other_gradients", "onto gradients of .*expected .* the sum", Gramian)
class Overwrites:
    weights = Mean.weights

    def backward(self, losses: Any, *, shared: Any, **given: Any) -> methods.Step:
        for parameter in shared:
            parameter.grad = None
        return Gramian.backward(self, losses, shared=shared, **given)


@fault("other_gradients", "parameter 0 of the model is not what it was", Loss)
class StepsItself:
    objective = Sum.objective

    def backward(self, losses: Any, *, shared: Any, **given: Any) -> methods.Step:
        found = Loss.backward(self, losses, shared=shared, **given)
        with torch.no_grad():
            shared[0].add_(1e-3)
        return found


@fault("weights", "but its weights .* make", Gramian)
class Lies:
    weights = Mean.weights

    def backward(self, losses: Any, **given: Any) -> methods.Step:
        found = Gramian.backward(self, losses, **given)
        return replace(found, weights=found.weights * 2)


@fault("determinism", "expected randomised=True on its card", Gramian)
class Draws:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return torch.rand(len(losses), generator=self.generator)


@fault("determinism", "seeds 0 and 1 give the same updates", Gramian, randomised=True)
class DrawsNothing:
    weights = Mean.weights


@fault("determinism", "run beside another object|run a second time", Gramian)
class OneForAll:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        self.faults.append(losses)  # of the class
        return torch.full_like(losses, float(len(self.faults)))


@fault("global_state", "with another seed of torch's global generator|changes torch's random state", Gramian)
class Global:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return torch.rand(len(losses))


@fault("global_state", "with another seed of torch's global generator", Gramian)
class PutsBack:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        before = torch.get_rng_state()
        found = torch.rand(len(losses))
        torch.set_rng_state(before)
        return found


@fault("global_state", "changes numpy's random state", Gramian)
class Numpy:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return torch.from_numpy(np.random.rand(len(losses)))  # noqa: NPY002


@fault("global_state", "changes Python's random state", Gramian)
class Python:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return losses * random.random()


@fault("global_state", "changes the default dtype of the whole program", Gramian)
class Dtype:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return torch.ones(len(losses))


@fault("state", r"changed by steps: steps; make it a buffer\)", Gramian)
class Attribute:
    steps = 0

    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        self.steps += 1
        return torch.full_like(losses, float(self.steps))


class Custom:
    pass


@fault("state", "cannot be read back with torch.load", Gramian)
class Pickles:
    weights = Mean.weights

    def get_extra_state(self) -> dict[str, Any]:
        return {**Gramian.get_extra_state(self), "custom": Custom()}


@fault("batches", "extra_batches is 1, but it evaluates the further batches", Bilevel)
class AsksForNothing:
    def weights(self, ahead: Lookahead) -> Tensor:
        return torch.ones(self.num_tasks)


@fault("batches", "after step 1, parameter 0 of the model is not what it was", Bilevel)
class LeavesMoved:
    def weights(self, ahead: Lookahead) -> Tensor:
        ahead.move(ahead.gradient(ahead.batch(1), torch.ones(self.num_tasks)), 1e-3)
        return torch.ones(self.num_tasks)


@fault("derivatives", r"derivatives\(\) gives .*; expected .*, as autograd of objective\(\)", Loss)
class WrongByHand:
    def objective(self, losses: Tensor) -> Tensor:
        return losses.square().sum()

    def derivatives(self, losses: Tensor) -> tuple[Tensor, Sequence[Tensor | None]]:
        return losses, ()


@fault("events", "on ten well-posed steps it counts gave_up 10 times", Gramian)
class GivesUp:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        self.count("gave_up")
        return torch.ones_like(losses)


@fault("improves", "on convex losses it goes from .* expected all to fall to half or less", Gramian)
class Climbs:
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        return -torch.ones_like(losses)


@fault("improves", "the shortest convex combination of the gradients falls to", Jacobian, claims=("zero_at_pareto_stationarity",))
class MixesCoordinates:
    def direction(self, jacobian: Tensor, losses: Tensor) -> Tensor:
        half = jacobian.shape[1] // 2
        return torch.cat([jacobian[0, :half], jacobian[-1, half:]])


@fault("cost", "took 4 backward passes through the trunk, but it counts 3", Gramian)
class Uncounted:
    weights = Mean.weights

    def backward(self, losses: Any, *, shared: Any, **given: Any) -> methods.Step:
        torch.autograd.grad(losses[0], shared, retain_graph=True)
        return Gramian.backward(self, losses, shared=shared, **given)


@fault("builds", "raised ValueError: not so", Gramian)
class Raises(nn.Module):
    def weights(self, gramian: Tensor, losses: Tensor) -> Tensor:
        raise ValueError("not so")


@pytest.mark.parametrize(("check", "message", "register"), FAULTS, ids=[f"{check}: {message[:40]}" for check, message, _ in FAULTS])
def test_a_fault_is_named_by_its_check(check: str, message: str, register: Callable[[], None], forget: None) -> None:
    register()
    reported = {each.check: each for each in examine("faulty", lambda finding: None, RUN.keys() - {check})}
    assert reported[check].status == "failed", reported[check]
    assert re.search(message, reported[check].message), reported[check]


def test_an_absurd_cost_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "ABSURD", 0.01)
    with pytest.raises(Broken, match="times as long as with equal weights; expected less than"):
        cost.cost("equal")


def test_every_check_but_that_of_a_gpu_has_a_fault_that_it_catches() -> None:
    assert RUN.keys() - {check for check, _, _ in FAULTS} == {"devices"}
