"""A method differs from equal weights and from every other, unless its card says that they coincide; and then they do."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

import methods
from methods.contract import linear
from methods.contract.inputs import gaussian
from methods.contract.outcome import Broken, one_line

STEPS = 30
QUICK = {"window": 1, "lr": 0.1, "eta": 1.0, "selected": 2}
"""Settings by which what is learned slowly shows in so few steps; of a method that has such a hyperparameter and allows the value."""
LOSSES = torch.tensor([4.0, 0.3, 60.0], dtype=torch.float64)
ROWS = (torch.tensor([1.0, 30.0, 0.05], dtype=torch.float64), LOSSES)
"""Sizes of the gradients: at odds with the losses, and in proportion to them, where methods that divide by the losses are told apart."""
FACTS = {
    "initial_losses": [5.0, 0.7, 40.0],
    "prior_losses": [0.9, 2.0, 11.0],
    "kinds": ["classification", "regression", "regression"],
}
APART = 1e-3
SAME = 1e-6
"""Nearer than this are two names for one method; between the two a method is one that learns very slowly, which is worth a remark."""


def quick(card: methods.Card) -> dict[str, float]:
    return {h.name: QUICK[h.name] for h in card.hyperparameters if h.name in QUICK and h.low <= QUICK[h.name] <= h.high}


def trajectory(name: str) -> Tensor:
    """Unit directions on two ill-scaled, conflicting problems: the same gradients and losses for every method, all of them quick."""
    source = None if ":" in name else methods.get(name)
    return _trajectory(name, source)


@cache
def _trajectory(name: str, source: object) -> Tensor:
    """``source`` tells apart what was registered under one name one after the other."""
    found = []
    for sizes in ROWS:
        balancer = linear.create(name, 3, **FACTS, **quick(linear.card(name)))
        for k in range(STEPS):
            jacobian = (gaussian(3, 5, seed=k) + 2 * gaussian(3, 5, seed=99)) * sizes[:, None]
            jacobian[2] -= 0.03 * jacobian[0]
            found.append(linear.unit(linear.step(balancer, jacobian, LOSSES * 0.9 ** (k * torch.arange(3)))[0]))
    return torch.stack(found)


def distance(one: str, two: str) -> float:
    """The largest between two unit directions of the same step."""
    return float((trajectory(one) - trajectory(two)).norm(dim=1).nan_to_num(torch.inf).max())


def told(one: str, two: str) -> bool:
    """Whether the cards say that they coincide: one of the two, or several that name one another on the way."""
    named = {name: set(linear.card(name).coincides) for name in [*methods.names(), one, two]}
    found, todo = {one}, [one]
    while todo:
        name = todo.pop()
        near = {other for other, coincides in named.items() if other in named[name] or name in coincides} - found
        found |= near
        todo += near
    return two in found


def apart(one: str, two: str, least: float = APART) -> float:
    """How far apart two methods are. Raises Broken where they are one without a card that says so, or are not although one does."""
    far = distance(one, two)
    if far > APART and told(one, two):
        raise Broken(f"coincides={two!r} or {one!r} is on a card, but their directions differ by {far:.3g} in {STEPS} steps")
    if far <= least and not told(one, two):
        raise Broken(
            f"its directions differ from those of {two} by no more than {far:.2g} in {STEPS} steps; "
            f"expected another method, or coincides=({two!r},) on its card with the reason in deviations"
        )
    return far


def differs(name: str) -> str:
    card = linear.card(name)
    unknown = [other for other in card.coincides if other not in methods.names()]
    if unknown:
        raise Broken(f"its card says that it coincides with {', '.join(unknown)}, which no method is called")
    trajectory(name)  # what goes wrong here is its own doing
    notes = []
    for other in methods.names():
        if other == name:
            continue
        try:
            trajectory(other)
        except Exception as error:  # noqa: BLE001  (somebody else's, and told)
            notes.append(f"not compared with {other}, which {one_line(error, 80)}")
            continue
        if ":" in name:  # a foreign card cannot say it
            if distance(name, other) <= APART:
                notes.append(f"coincides with {other}")
        elif SAME < (far := apart(name, other, SAME)) <= APART and not told(name, other):
            notes.append(f"differs from {other} by no more than {far:.2g} in {STEPS} steps")
    if card.coincides:
        notes.append(f"coincides with {', '.join(card.coincides)}, as its card says")
    return "; ".join(notes)
