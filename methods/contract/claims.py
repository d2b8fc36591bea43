"""What each claim on a card means, as a check on one Jacobian; and whether a direction is what its weights say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from methods.contract import linear
from methods.contract.inputs import INPUTS, drawn, gaussian, on_each, show
from methods.contract.outcome import Broken

DRAWN = 24
"""So many drawn matrices beside the named ones."""


def values_of(jacobian: Tensor) -> Tensor:
    """Positive losses, all different."""
    return 0.5 + torch.arange(len(jacobian), dtype=jacobian.dtype)


def direction(name: str, jacobian: Tensor, values: Tensor | None = None, initial: Tensor | None = None) -> Tensor:
    values = values_of(jacobian) if values is None else values
    initial = torch.linspace(1.0, 2.0, len(jacobian), dtype=jacobian.dtype) if initial is None else initial
    facts = {"initial_losses": initial.tolist(), "prior_losses": (initial / 3).tolist()}
    return linear.direction(name, jacobian, values, **facts, **linear.theory(name))


def size(jacobian: Tensor, direction: Tensor) -> Tensor:
    """What rounding is relative to: the longest gradient, or what was made of it."""
    return torch.maximum(jacobian.norm(dim=1).max(), direction.norm())


def permutation_equivariant(name: str, jacobian: Tensor) -> None:
    order = torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(1))
    initial = torch.linspace(1.0, 2.0, len(jacobian), dtype=jacobian.dtype)
    plain = direction(name, jacobian, values_of(jacobian), initial)
    permuted = direction(name, jacobian[order], values_of(jacobian)[order], initial[order])
    if not linear.close(permuted, plain, 1e-6, size(jacobian, plain)):
        raise Broken(f"with the tasks in the order {order.tolist()} the update is {show(permuted)}; expected {show(plain)} as before")


def loss_scale_invariant(name: str, jacobian: Tensor) -> None:
    factors = 10.0 ** torch.linspace(-2, 2, len(jacobian), dtype=jacobian.dtype)
    initial = torch.linspace(1.0, 2.0, len(jacobian), dtype=jacobian.dtype)
    plain = direction(name, jacobian, values_of(jacobian), initial)
    rescaled = direction(name, jacobian * factors[:, None], values_of(jacobian) * factors, initial * factors)
    if plain.norm() > 1e-9 * size(jacobian, plain) and not linear.close(linear.unit(rescaled), linear.unit(plain), 1e-6):
        raise Broken(
            f"with the losses multiplied by {show(factors)} the update points to {show(linear.unit(rescaled))}; "
            f"expected {show(linear.unit(plain))} as before"
        )


def non_conflicting(name: str, jacobian: Tensor) -> None:
    update = direction(name, jacobian)
    products = jacobian @ update
    if not bool((products >= -1e-9 * jacobian.norm(dim=1) * update.norm().clamp_min(1e-6 * size(jacobian, update))).all()):
        raise Broken(f"<g_t, d> is {show(products)}; expected nothing below 0")


def simplex(name: str, jacobian: Tensor) -> None:
    weights = linear.step(linear.create(name, len(jacobian)), jacobian)[1]
    if weights is None:
        raise Broken("its steps tell no weights; expected T of them, >= 0 with sum 1")
    if not bool((weights >= 0).all()):
        raise Broken(f"the weights are {show(weights)}; expected none below 0")
    if bool(jacobian.any()) and not abs(weights.sum().item() - 1) <= 1e-6:
        raise Broken(f"the weights are {show(weights)}, with sum {weights.sum().item():.9g}; expected 1")


def zero_at_pareto_stationarity(name: str, jacobian: Tensor) -> None:
    shares = torch.linspace(0.2, 1.0, len(jacobian), dtype=jacobian.dtype)
    stationary = torch.cat([jacobian, -(shares @ jacobian)[None]])
    update = linear.direction(name, stationary)
    if not update.norm() <= 1e-6 * size(stationary, stationary[0]):
        raise Broken(f"with one more gradient, -Σ w_t g_t for w = {show(shares)}, the update is {show(update)}; expected 0")


def degree(power: int) -> Callable[[str, Tensor], None]:
    def check(name: str, jacobian: Tensor) -> None:
        plain = direction(name, jacobian)
        for scale in (1e-6, 0.5, 1e6):
            found, expected = direction(name, jacobian * scale), plain * scale**power
            if not linear.close(found, expected, 1e-6, size(jacobian, plain) * scale**power):
                raise Broken(f"with J multiplied by {scale:g} the update is {show(found)}; expected {show(expected)}")

    return check


CHECKS: dict[str, Callable[[str, Tensor], None]] = {
    "permutation_equivariant": permutation_equivariant,
    "loss_scale_invariant": loss_scale_invariant,
    "non_conflicting": non_conflicting,
    "simplex": simplex,
    "zero_at_pareto_stationarity": zero_at_pareto_stationarity,
    "degree_0": degree(0),
    "degree_1": degree(1),
}
RARELY_BROKEN = ("non_conflicting",)
"""Of weights made wrong on purpose (scaled task by task, shifted, a constant on the diagonal of G), those that break another claim do so
within the first seven drawn matrices; some break this one no earlier than the thirty-fourth: it gets three times as many."""


@cache
def inputs(count: int) -> dict[str, Tensor]:
    return INPUTS | drawn(count)


def keeps(name: str, claim: str) -> Broken | None:
    """What speaks against a claim on the named and the drawn inputs, if anything does."""
    count = 3 * DRAWN if claim in RARELY_BROKEN else DRAWN
    try:
        on_each(inputs(count), lambda jacobian: CHECKS[claim](name, jacobian))
    except Broken as broken:
        return broken
    return None


def claims(name: str) -> str:
    """Every claim holds; the remark tells which hold besides."""
    card = linear.card(name)
    for claim in card.claims:
        broken = keeps(name, claim)
        if broken is not None:
            raise Broken(f"{claim}: {broken}")
    more = [claim for claim in CHECKS if claim not in card.claims and keeps(name, claim) is None]
    if card.randomised:  # one draw of its generator says little about the others
        more = []
    if card.family == "foreign" or ":" in name:
        return f"its card can claim nothing; what held on every input: {', '.join(more) or 'none of the claims'}"
    return f"could also claim {', '.join(more)}, which held on every input" if more else ""


def weighted_sum(name: str, jacobian: Tensor) -> None:
    """The update is Σ w_t g_t with the weights that the step tells, is finite, and turns with the parameters."""
    update, weights = linear.step(linear.create(name, len(jacobian)), jacobian)
    if not bool(update.isfinite().all()):
        raise Broken(f"the update is {show(update)}; expected finite numbers")
    if weights is None:
        return
    expected = weights @ jacobian
    if not linear.close(update, expected, 1e-6, size(jacobian, update)):
        raise Broken(f"the update is {show(update)}, but its weights {show(weights)} make {show(expected)}")
    turn = torch.linalg.qr(gaussian(jacobian.shape[1], jacobian.shape[1]))[0]
    turned, _ = linear.step(linear.create(name, len(jacobian)), jacobian @ turn)
    if not linear.close(turned, update @ turn, 1e-6, size(jacobian, update)):
        raise Broken(f"on turned parameters the update is {show(turned)}; expected {show(update @ turn)}, the turned update")


def tells_no_weights(name: str) -> str:
    if linear.step(linear.create(name, 3), INPUTS["tiny"])[1] is None:
        return "its update need not be a weighted sum of the gradients, and its steps tell no weights"
    return ""


def weights(name: str) -> str:
    """A step tells the weights that its update is made with."""
    on_each(inputs(DRAWN), lambda jacobian: weighted_sum(name, jacobian))
    return ""
