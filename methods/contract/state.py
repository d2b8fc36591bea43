"""A run can be saved, copied and continued in the middle; its seed alone decides what is drawn, and no two runs know of each other."""

from __future__ import annotations

import copy
import io
from typing import Any

import torch
from torch import Tensor

import methods
from methods.contract import linear
from methods.contract.inputs import gaussian, show
from methods.contract.outcome import Broken

FACTS = {"initial_losses": [3.0, 1.0, 0.2], "prior_losses": [2.0, 0.5, 1.0]}


def sequence(start: int, stop: int) -> list[tuple[Tensor, Tensor]]:
    """J ``[3, 5]`` and losses ``[3]``, another pair at every step."""
    return [(gaussian(3, 5, seed=k), 0.1 + gaussian(1, 3, seed=1000 + k)[0].abs()) for k in range(start, stop)]


def run(balancer: methods.Method, start: int, stop: int) -> Tensor:
    """Updates ``[steps, P]``."""
    return torch.stack([linear.step(balancer, *given)[0] for given in sequence(start, stop)])


def create(name: str, seed: int = 3) -> methods.Method:
    return linear.create(name, 3, seed=seed, **FACTS)


def equal(found: Tensor, expected: Tensor, what: str) -> None:
    """Raises Broken at the first step where the updates differ in any bit."""
    for step, (one, other) in enumerate(zip(found, expected, strict=True), 1):
        if not torch.equal(one, other):
            raise Broken(f"{what}: the update of step {step} is {show(one)}; expected {show(other)}")


def plain_attributes(balancer: methods.Method) -> dict[str, Any]:
    """Numbers, words and tensors that lie beside buffers and parameters, where no state_dict sees them."""
    kinds = (bool, int, float, str, Tensor, list, tuple, dict)
    ours = {key for base in type(balancer).__mro__[1:] for key in vars(base)} | {"backward_passes"}
    return {k: value for k, value in vars(balancer).items() if not k.startswith("_") and k not in ours and isinstance(value, kinds)}


def forgotten(name: str) -> str:
    """Which attributes a few steps change that a state_dict does not hold; for the message."""
    balancer = create(name)
    before = {key: copy.deepcopy(value) for key, value in plain_attributes(balancer).items()}
    run(balancer, 0, 5)
    found = [key for key, value in plain_attributes(balancer).items() if repr(value) != repr(before.get(key))]
    return f" (not in state_dict, but changed by steps: {', '.join(found)}; make it a buffer)" if found else ""


def fresh(name: str) -> None:
    """A saved state continues identically in a fresh object, and is read back without running code."""
    whole = create(name)
    run(whole, 0, 5)
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    expected = run(whole, 5, 10)
    file.seek(0)
    try:
        saved = torch.load(file, weights_only=True)
    except Exception as error:
        kind = type(error).__name__
        raise Broken(
            f"its state_dict cannot be read back with torch.load(..., weights_only=True): {kind}; keep tensors and plain data"
        ) from error
    continued = create(name, seed=99)
    continued.load_state_dict(saved)
    equal(run(continued, 5, 10), expected, "saved after 5 steps and continued in a fresh object" + forgotten(name))


def used(name: str) -> None:
    """Loading into a used object forgets what it saw."""
    whole, other = create(name), create(name, seed=4)
    run(whole, 0, 5)
    run(other, 20, 23)
    other.load_state_dict(whole.state_dict())
    equal(run(other, 5, 10), run(whole, 5, 10), "loaded into an object that had seen other steps" + forgotten(name))


def copied(name: str) -> None:
    """A copy continues identically and apart."""
    whole = create(name)
    run(whole, 0, 5)
    twin = copy.deepcopy(whole)
    expected = run(whole, 5, 10)
    equal(run(twin, 5, 10), expected, "copied after 5 steps")


def names(name: str) -> None:
    """The order in which the first step named the losses is part of the state."""
    jacobian, values = sequence(0, 1)[0]

    def named(balancer: methods.Method, order: list[int]) -> Tensor:
        theta, losses = linear.losses_of(jacobian, values)

        def losses_now() -> dict[str, Tensor]:
            now = linear.losses_at(theta, jacobian, values)
            return {f"task {t}": now[t] for t in order}

        linear.backward(balancer, losses_now, shared=[theta])
        linear.after_step(balancer, {f"task {t}": losses[t] for t in order})
        assert theta.grad is not None
        return theta.grad

    balancer = create(name)
    named(balancer, [0, 1, 2])
    state = copy.deepcopy(balancer.state_dict())
    expected = named(balancer, [2, 0, 1])
    balancer = create(name)
    balancer.load_state_dict(state)
    equal(named(balancer, [1, 2, 0])[None], expected[None], "saved, and continued with the losses named in another order")


def stays_wide(name: str) -> None:
    """A method that is part of a model keeps its state in the precision that it was made in when the model is made narrower, and works."""
    balancer = create(name)
    dtypes = {key: tensor.dtype for key, tensor in balancer.state_dict(keep_vars=True).items() if isinstance(tensor, torch.Tensor)}
    torch.nn.ModuleList([balancer]).half()
    for key, dtype in dtypes.items():
        if balancer.state_dict(keep_vars=True)[key].dtype != dtype:
            raise Broken(f"half() made {key} of its state {balancer.state_dict()[key].dtype}; expected {dtype}, as before")
    equal(run(balancer, 0, 2), run(create(name), 0, 2), "made narrower with the model that it is part of")


def state(name: str) -> str:
    for check in (fresh, used, copied, names):
        check(name)
    if ":" not in name:
        stays_wide(name)
    return ""


def repeats(name: str) -> None:
    """The seed decides: equal seeds give equal updates, in objects side by side as well."""
    first = run(create(name, seed=0), 0, 6)
    equal(run(create(name, seed=0), 0, 6), first, "run a second time with the same seed")
    one, other = create(name, seed=0), create(name, seed=0)
    found = []
    for (jacobian, values), (strange, others) in zip(sequence(0, 6), sequence(50, 56), strict=True):
        found.append(linear.step(one, jacobian, values)[0])
        linear.step(other, strange, others)
    equal(torch.stack(found), first, "run beside another object of the same method, which took other steps")


def draws(name: str) -> bool:
    """Whether another seed gives other updates."""
    return not torch.equal(run(create(name, seed=0), 0, 6), run(create(name, seed=1), 0, 6))


def determinism(name: str) -> str:
    repeats(name)
    card = linear.card(name)
    if ":" in name:
        return "draws random numbers" if draws(name) else ""
    if card.randomised and not draws(name):
        raise Broken("its card says randomised=True, but seeds 0 and 1 give the same updates; expected draws from self.generator")
    if not card.randomised and draws(name):
        raise Broken("seeds 0 and 1 give different updates; expected randomised=True on its card")
    return ""
