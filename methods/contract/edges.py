"""Edge cases: one task, gradients of zero, values that are not finite, parameters out of reach, losses without a graph."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

import methods
from methods.contract import linear
from methods.contract.inputs import INPUTS, gaussian, on_each, show, with_zero_row
from methods.contract.outcome import Broken, one_line
from methods.contract.state import draws

SEEN = 'zero_rows = "seen"'
BAD = (math.nan, math.inf, -math.inf)


def snapshot(balancer: methods.Method) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in balancer.state_dict().items() if isinstance(value, Tensor)}


def same(before: dict[str, Tensor], balancer: methods.Method) -> None:
    """Raises Broken where the state is not to the bit what it was."""
    after = snapshot(balancer)
    for key in before.keys() | after.keys():
        if key not in before or key not in after:
            raise Broken(f"{key} of its state_dict {'is new' if key in after else 'is gone'}; expected the state to stay as it was")
        if not (before[key].shape == after[key].shape and torch.equal(before[key].nan_to_num(7), after[key].nan_to_num(7))):
            raise Broken(f"{key} of its state_dict went from {show(before[key])} to {show(after[key])}; expected it to stay")


def of_gradients(name: str) -> bool:
    """Whether the method looks at task gradients, or at several batches, and not at the losses of one alone."""
    return linear.card(name).family != "loss"


def by_losses(name: str) -> bool:
    """Whether the method back-propagates the weighted losses, heads included, and needs no shared parameters."""
    return isinstance(linear.create(name, 2), (methods.LossMethod, methods.BilevelMethod))


def finite(name: str, jacobian: Tensor, steps: int = 3) -> None:
    balancer = linear.create(name, len(jacobian))
    for step in range(1, steps + 1):
        try:
            update, weights = linear.step(balancer, jacobian)
        except (RuntimeError, ValueError, IndexError) as error:
            if getattr(balancer, "zero_rows", "seen") == "absent" and not bool(jacobian.any(dim=1).all()):
                raise Broken(f"{one_line(error)}; weights() sees no task whose gradient is zero, unless its class says {SEEN}") from error
            raise
        if not bool(update.isfinite().all()):
            raise Broken(f"the update of step {step} is {show(update)}; expected finite numbers")
        if weights is not None and not bool(weights.isfinite().all()):
            raise Broken(f"the weights of step {step} are {show(weights)}; expected finite numbers")


def one_task(name: str) -> None:
    jacobian = gaussian(1, 4)
    update = linear.direction(name, jacobian)
    if not linear.close(linear.unit(update), linear.unit(jacobian[0]), 1e-9):
        raise Broken(f"with one task, whose gradient is {show(jacobian[0])}, the update is {show(update)}; expected the same direction")


def zero_row(name: str) -> str:
    """What a fourth task whose gradient is zero does to the update of the others.

    ``absent``: nothing, its weight is 0; ``stops``: the update is zero; ``counts``: its weight is 0, but it counts as a task; ``keeps
    its weight``: it has one, which may change those of the others. Of a randomised method only the weight can be looked at.
    """
    jacobian = with_zero_row(gaussian(4, 6), 3)
    update, weights = linear.step(linear.create(name, 4), jacobian)
    if not bool(update.isfinite().all()):
        raise Broken(f"with one gradient of zero among four the update is {show(update)}; expected finite numbers")
    if not bool(update.any()):
        return "stops"
    others = linear.card(name).randomised or linear.close(update, linear.direction(name, jacobian[:3]), 1e-9)
    if weights is None:
        return "absent" if others else "keeps its weight"
    if weights[3] != 0:
        return "keeps its weight"
    return "absent" if others else "counts"


def all_zero(name: str) -> None:
    update = linear.direction(name, torch.zeros(3, 4, dtype=torch.float64))
    if not bool((update == 0).all()):
        raise Broken(f"with gradients of zero the update is {show(update)}; expected 0")


def loss_not_finite(name: str, bad: float) -> None:
    balancer = linear.create(name, 3)
    for when in ("before the first good step", "after one"):
        before = snapshot(balancer)
        update, _ = linear.step(balancer, gaussian(3, 4), torch.tensor([bad, 1.0, 2.0], dtype=torch.float64))
        if not bool(update.isnan().all()):
            raise Broken(f"with a loss of {bad} {when} the update is {show(update)}; expected nan everywhere, for the loop to notice")
        try:
            same(before, balancer)
        except Broken as broken:
            raise Broken(f"with a loss of {bad} {when}, {broken}") from broken
        linear.step(balancer, gaussian(3, 4))


def gradient_not_finite(name: str) -> None:
    balancer = linear.create(name, 3)
    linear.step(balancer, gaussian(3, 4))
    before, generator = snapshot(balancer), balancer.generator.get_state()
    theta = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))

    def losses() -> list[Tensor]:
        first, _, third = linear.losses_at(theta, gaussian(3, 4))
        return [first, 1.0 + (theta.sqrt() * 0.0).sum(), third]  # finite, but its gradient at 0 is not

    linear.backward(balancer, losses, shared=[theta])
    if theta.grad is None or not bool(theta.grad.isnan().all()):
        what = "missing" if theta.grad is None else show(theta.grad)
        raise Broken(f"with a gradient of nan the update is {what}; expected nan everywhere, for the loop to notice")
    try:
        same(before, balancer)
    except Broken as broken:
        raise Broken(f"with a gradient of nan, {broken}") from broken
    if not torch.equal(generator, balancer.generator.get_state()):
        raise Broken("with a gradient of nan it draws from its generator; expected the state to stay as it was")


def reach(name: str) -> None:
    """A parameter that some losses do not reach counts as zeros for them; one that none reaches keeps no gradient."""
    used, unreached, partly = (torch.nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(3))

    def losses() -> list[Tensor]:
        return [(used * 2).sum() + partly.sum(), (used * 2).sum() - 3.0]  # linear, for methods that look where the next step leads

    linear.backward(linear.create(name, 2), losses, shared=[partly, unreached, used])
    if unreached.grad is not None:
        raise Broken(f"a shared parameter that no loss reaches got the gradient {show(unreached.grad)}; expected none")
    if linear.card(name).where == "last" or draws(name):
        return  # in the last layer, heads and trunk follow the weighted total; and for other coordinates other numbers are drawn
    padded = torch.tensor([[1.0] * 3 + [2.0] * 3, [0.0] * 3 + [2.0] * 3], dtype=torch.float64)
    expected = linear.direction(name, padded, torch.tensor([9.0, 3.0], dtype=torch.float64))
    found = torch.cat([torch.full_like(p, math.nan) if p.grad is None else p.grad for p in (partly, used)])
    if not linear.close(found, expected, 1e-9):
        raise Broken(
            f"where the second loss does not reach the first three of six shared parameters the update is {show(found)}; "
            f"expected {show(expected)}, as for a gradient that is zero there"
        )


def existing_gradient(name: str) -> None:
    used, unreached = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    unreached.grad = torch.full((2,), 5.0)
    linear.backward(linear.create(name, 2), lambda: [used.sum(), used.square().sum()], shared=[used, unreached])
    if unreached.grad is None or unreached.grad.tolist() != [5.0, 5.0]:
        raise Broken(f"an existing gradient of 5 of a shared parameter that no loss reaches became {unreached.grad}; expected it to stay")


def nothing_shared(name: str) -> None:
    jacobian = INPUTS["nothing shared"]
    update, weights = linear.step(linear.create(name, 3), jacobian)
    if weights is not None and not linear.close(update, weights @ jacobian, 1e-6, 20.0):
        raise Broken(f"of tasks that share no parameter the update is {show(update)}; its weights {show(weights)} say otherwise")


def loss_without_graph(name: str) -> None:
    theta = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    linear.backward(linear.create(name, 2), lambda: [theta.sum(), torch.tensor(1.0, dtype=torch.float64)], shared=[theta])
    if theta.grad is None or not bool(theta.grad.isfinite().all()):
        raise Broken(f"with a loss that is a constant the update is {theta.grad}; expected finite numbers")


def no_graph(name: str) -> None:
    theta = torch.nn.Parameter(torch.ones(2))
    expects(
        "no loss requires a gradient",
        lambda: linear.backward(linear.create(name, 2), lambda: [torch.tensor(1.0), torch.tensor(2.0)], shared=[theta]),
    )


def expects(message: str, act: Callable[[], object]) -> None:
    """Raises Broken unless ``act`` raises a MethodError that says this."""
    try:
        act()
    except methods.MethodError as error:
        if message in str(error):
            return
        raise Broken(f"the error says {error}; expected: {message}") from error
    raise Broken(f"no error was raised; expected: {message}")


# -- the checks --------------------------------------------------------------------------------------------------------------------


def stays_finite(name: str) -> str:
    on_each(INPUTS, lambda jacobian: finite(name, jacobian))
    return ""


def not_finite(name: str) -> str:
    for bad in BAD:
        loss_not_finite(name, bad)
    if of_gradients(name):
        gradient_not_finite(name)
    return ""


def zero(name: str) -> str:
    all_zero(name)
    if by_losses(name):
        return ""
    found = zero_row(name)
    told = {
        "stops": "one task whose gradient is zero makes the whole update zero",
        "counts": "a task whose gradient is zero has weight 0, but its being there changes the update",
        "keeps its weight": "a task whose gradient is zero keeps a weight, or changes the update of the others",
    }
    return told.get(found, "")


def unreached(name: str) -> str:
    for check in (reach, existing_gradient, nothing_shared, loss_without_graph, no_graph):
        check(name)
    return ""
