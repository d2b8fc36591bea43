"""The card says what is true of the method: its family, its hyperparameters, their ranges, and that each is used."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

import methods
from methods.card import Card, Hyperparameter, Value
from methods.contract import linear
from methods.contract.inputs import gaussian, show
from methods.contract.outcome import Broken, one_line

STEPS = 30
FACTS: dict[str, Any] = {"initial_losses": [3.0, 1.0, 0.2], "prior_losses": [2.0, 0.5, 1.0], "kinds": ["regression"] * 3}
FAMILIES = {
    "loss": (methods.LossMethod,),
    "gramian": (methods.GramianMethod,),
    "jacobian": (methods.JacobianMethod,),
    "several": (methods.CrossGramianMethod, methods.BilevelMethod),
}


def words(card: Card) -> None:
    for field in ("title", "paper", "equation"):
        if not getattr(card, field).strip():
            raise Broken(f"{field} on its card is empty; expected {'the update as a formula' if field == 'equation' else 'a name'}")
    latest = datetime.datetime.now(datetime.UTC).year + 1
    if not 1900 <= card.year <= latest:
        raise Broken(f"year on its card is {card.year!r}; expected one from 1900 to {latest}")
    if card.arxiv and not re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7}", card.arxiv):
        raise Broken(f"arxiv on its card is {card.arxiv!r}; expected an id like 1705.07115, or nothing")
    if card.coincides and not card.deviations.strip():
        raise Broken(f"its card says that it coincides with {', '.join(card.coincides)}; expected the reason in deviations")
    for hyperparameter in card.hyperparameters:
        if not hyperparameter.meaning.strip():
            raise Broken(f"hyperparameter {hyperparameter.name} has no meaning on its card; expected a few words")


def kind(name: str, card: Card) -> None:
    expected = FAMILIES[card.family]
    if not isinstance(linear.create(name, 3), expected):
        raise Broken(f"its card says family={card.family!r}, but it is no {' or '.join(each.__name__ for each in expected)}")


def updates(name: str, settings: dict[str, Value], steps: int = STEPS) -> Tensor:
    """``[steps, P]``, on gradients that conflict, with losses that fall."""
    balancer = linear.create(name, 3, **FACTS, **settings)
    found = []
    for k in range(steps):
        jacobian = gaussian(3, 5, seed=k) + gaussian(3, 5, seed=99)
        found.append(linear.step(balancer, jacobian, torch.tensor([2.0, 0.7, 5.0]).double() * 0.97 ** (k * torch.arange(1, 4)))[0])
    return torch.stack(found)


def ends(h: Hyperparameter) -> list[Value]:
    """What a study may set it to: both ends of its sweep, or every word of it."""
    return [int(end) if isinstance(h.default, int) and not isinstance(end, str) else end for end in h.sweep]


def others(h: Hyperparameter) -> list[Value]:
    """Values that it may have beside its default."""
    found: list[Value] = [*ends(h), *h.choices]
    if isinstance(h.default, bool):
        found = [not h.default]
    elif isinstance(h.default, (int, float)):
        near = [h.default * 2 + 1, h.default / 2 if isinstance(h.default, float) else h.default - 1]
        found += [value for value in near if h.low <= value <= h.high]
    elif h.weights:
        found.append("3/1/2")
    return [value for value in dict.fromkeys(found) if value != h.default]


@contextmanager
def noting(name: str, watched: set[str]) -> Iterator[set[str]]:
    """Which of these attributes the methods of this name read."""
    kind: Any = methods.get(name)
    read: set[str] = set()
    own, plain = vars(kind).get("__getattribute__"), kind.__getattribute__

    def noted(self: Any, key: str) -> Any:
        if key in watched:
            read.add(key)
        return plain(self, key)

    kind.__getattribute__ = noted
    try:
        yield read
    finally:
        if own is None:
            del kind.__getattribute__
        else:
            kind.__getattribute__ = own


def sweeps(name: str, card: Card) -> None:
    """Every value that a study may try gives finite updates."""
    for h in card.hyperparameters:
        for value in ends(h):
            try:
                found = updates(name, {h.name: value})
            except Exception as error:
                raise Broken(f"with {h.name}={value!r}, an end of its sweep, it {one_line(error)}") from error
            if not bool(found.isfinite().all()):
                raise Broken(f"with {h.name}={value!r}, an end of its sweep, the update is {show(found)}; expected finite numbers")


def idle(name: str, card: Card) -> list[str]:
    """Hyperparameters of which no value changes anything, whatever the words of the others."""
    settings: list[dict[str, Value]] = [{}]
    settings += [{h.name: word} for h in card.hyperparameters for word in others(h) if isinstance(word, (str, bool))]
    known: dict[str, Tensor | None] = {}

    def of(given: dict[str, Value]) -> Tensor | None:
        key = repr(sorted(given.items()))
        if key not in known:
            try:
                known[key] = updates(name, given)
            except methods.MethodError:  # a value that does not go with three tasks, or with another value
                known[key] = None
        return known[key]

    def changes(h: Hyperparameter) -> bool:
        for base, value in itertools.product(settings, others(h)):
            one, other = of(base), of({**base, h.name: value})
            if h.name not in base and one is not None and other is not None and not torch.equal(one, other):
                return True
        return False

    return [h.name for h in card.hyperparameters if others(h) and not changes(h)]


def no_card(name: str) -> str:
    return "an object to adapt has no card of its own" if ":" in name else ""


def card(name: str) -> str:
    told = methods.card(name)
    words(told)
    kind(name, told)
    if not told.positive_losses:
        takes_any_losses(name)
    with noting(name, {h.name for h in told.hyperparameters}) as read:
        sweeps(name, told)
        still = idle(name, told)
    if unread := [h.name for h in told.hyperparameters if h.name not in read and h.name in still]:
        raise Broken(f"hyperparameter {', '.join(unread)} is on its card but never read; expected it to be used, or not to be there")
    return f"no value tried of {', '.join(still)} changed anything in {STEPS} steps" if still else ""


def takes_any_losses(name: str) -> None:
    """Losses of zero and below, where the card does not ask for positive ones."""
    try:
        linear.step(linear.create(name, 3), gaussian(3, 5), torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64))
    except methods.LossRangeError as error:
        raise Broken(f"with losses [-1, 0, 2] it says: {error}; expected positive_losses=True on its card") from error
