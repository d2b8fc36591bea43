"""What a search tries: a method's own space and the learning rate. Trial i is a pure function of (space, study seed, i).

So a larger budget only adds trials. Trial 0 is always what was given: the published defaults with what the user pinned.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import methods
from methods.card import MODELS_RATE, Value

Kind = Literal["quasi-random", "grid"]
KINDS: tuple[Kind, ...] = ("quasi-random", "grid")
"""Searches of equal budgets: what they try does not depend on what came of earlier trials."""

Adaptive = Literal["optuna", "asha"]
ADAPTIVE: tuple[Adaptive, ...] = ("optuna", "asha")
"""Searches that learn from the scores of earlier trials, or end trials early by them: for exploring, never for comparing."""

RATE = MODELS_RATE
RATE_SPAN = 10.0
"""The learning rate is searched from the suite's over 10 to the suite's times 10."""


DIGITS = 10_000
"""Levels of a number after which a stage without a new one is the last: values have three digits."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is searched: words, or numbers from ``low`` to ``high``."""

    name: str
    default: Value
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    words: tuple[str, ...] = ()

    def at(self, u: float) -> Value:
        """The value at ``u`` in [0, 1]; numbers of three digits, so that a setting can be typed."""
        if self.words:
            return self.words[min(int(u * len(self.words)), len(self.words) - 1)]
        low, high = self.low, self.high
        exact = math.exp(math.log(low) + u * math.log(high / low)) if self.log else low + u * (high - low)
        value = float(f"{exact:.3g}")
        return round(value) if isinstance(self.default, int) else value


def space(card: methods.Card, own: dict[str, Value], rate: float, pinned: frozenset[str] = frozenset()) -> tuple[Axis, ...]:
    """The learning rate and everything on the card that has a sweep, less what is pinned."""
    axes = [Axis(RATE, rate, rate / RATE_SPAN, rate * RATE_SPAN, log=True)]
    for hyperparameter in card.hyperparameters:
        if hyperparameter.choices and hyperparameter.sweep:
            axes.append(Axis(hyperparameter.name, own[hyperparameter.name], words=tuple(map(str, hyperparameter.sweep))))
        elif hyperparameter.sweep:
            low, high = (float(end) for end in hyperparameter.sweep)
            axes.append(Axis(hyperparameter.name, own[hyperparameter.name], low, high, hyperparameter.log))
    return tuple(axis for axis in axes if axis.name not in pinned)


def propose(
    card: methods.Card,
    own: dict[str, Value],
    rate: float,
    trial: int,
    *,
    pinned: frozenset[str] = frozenset(),
    kind: Kind = "quasi-random",
    seed: int = 0,
) -> tuple[dict[str, Value], float]:
    """Hyperparameters and learning rate of trial ``trial``; 0 is what was given, and so is every trial after the last point of a grid.

    ``quasi-random`` is a scrambled Halton sequence (Owen 2017) in the unit cube of the whole space, another one for every method and study
    ``seed``. ``grid`` knows no seed: see :func:`grid`.
    """
    axes = space(card, own, rate, pinned)
    if trial == 0:
        return own, rate
    if kind == "grid":
        return settle(card, own, rate, dict(zip((axis.name for axis in axes), _grid_point(axes, trial), strict=True)))
    searched = [axis.name for axis in space(card, own, rate, pinned - {RATE})]  # the first coordinate is the rate's, pinned or not
    point = dict(zip(searched, _halton(len(searched), card.name, seed, trial), strict=True))
    return settle(card, own, rate, {axis.name: axis.at(point[axis.name]) for axis in axes})


def settle(card: methods.Card, own: dict[str, Value], rate: float, values: dict[str, Value]) -> tuple[dict[str, Value], float]:
    """The configuration with these values in place of the given ones, checked."""
    checked = {h.name: h.check(values[h.name], card.name) for h in card.hyperparameters if h.name in values}
    return own | checked, float(values.get(RATE, rate))


def grid(axes: tuple[Axis, ...]) -> Iterator[tuple[Value, ...]]:
    """All points of a grid that is refined for ever; the first one has every default, and no point comes twice.

    Stage by stage every axis gets further levels: the default; both ends of its range; the middle; the quarters; and so on, in the order
    of van der Corput 1935 (words: two more a stage). A stage goes through all new combinations, those that change the fewest axes first,
    so that a small budget is a look along every axis and a large one a full factorial. Ends where every axis is of words or whole
    numbers (numbers of three digits end as well, after thousands).
    """
    stages = [_stages(axis) for axis in axes]
    levels: list[list[Value]] = [[] for _ in axes]
    while True:
        before = [len(known) for known in levels]
        fresh = [next(stage, None) for stage in stages]
        if all(each is None for each in fresh):
            return
        for known, new in zip(levels, fresh, strict=True):
            known += new or []
        old = set(itertools.product(*map(range, before)))
        points = [point for point in itertools.product(*(range(len(known)) for known in levels)) if point not in old]
        for point in sorted(points, key=lambda point: (sum(map(bool, point)), point)):
            yield tuple(known[level] for known, level in zip(levels, point, strict=True))


def _stages(axis: Axis) -> Iterator[list[Value]]:
    """The levels that every stage adds to an axis; ends where there are no others."""
    seen: set[Value] = {axis.default}
    yield [axis.default]
    if axis.words:
        others: list[Value] = [word for word in axis.words if word not in seen]
        yield from (others[i : i + 2] for i in range(0, len(others), 2))
        return
    finest = axis.high - axis.low if isinstance(axis.default, int) else DIGITS
    for bits in itertools.count(-1):
        fractions = (0.0, 1.0) if bits < 0 else [_reversed(j, bits) + 0.5 / 2**bits for j in range(2**bits)]
        fresh = [value for value in dict.fromkeys(map(axis.at, fractions)) if value not in seen]
        seen.update(fresh)
        if not fresh and 2**bits > finest:
            return
        yield fresh


def _reversed(number: int, bits: int) -> float:
    """The number's ``bits`` binary digits mirrored at the point: 0, 1/2, 1/4, 3/4, ..."""
    return sum((number >> bit & 1) * 0.5 ** (bit + 1) for bit in range(bits))


@lru_cache(maxsize=4096)
def _grid_point(axes: tuple[Axis, ...], trial: int) -> tuple[Value, ...]:
    return next(itertools.islice(grid(axes), trial, None), tuple(axis.default for axis in axes))


@lru_cache(maxsize=4096)
def _halton(dimensions: int, name: str, seed: int, trial: int) -> tuple[float, ...]:
    from scipy.stats import qmc  # 0.5 s, and only a study with a budget needs it

    words = name if seed == 0 else f"{name}/{seed}"
    scramble = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big")
    engine = qmc.Halton(dimensions, scramble=True, rng=scramble)
    if trial > 1:
        engine.fast_forward(trial - 1)
    return tuple(float(u) for u in engine.random(1)[0])
