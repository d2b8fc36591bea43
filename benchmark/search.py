"""The search of a method's own space and the learning rate: trial i is a pure function of (space, i), so a larger budget adds trials."""

from __future__ import annotations

import hashlib
import math

import methods
from methods.card import Value

RATE_SPAN = 10.0
"""The learning rate is searched from the suite's over 10 to the suite's times 10."""


def propose(
    card: methods.Card, own: dict[str, Value], rate: float, trial: int, *, pinned: frozenset[str] = frozenset()
) -> tuple[dict[str, Value], float]:
    """Hyperparameters and learning rate of trial ``trial``; trial 0 is what was given.

    A scrambled Halton sequence (Owen 2017) fills the unit cube of the learning rate and everything on the card that has a sweep and is
    not pinned.
    """
    if trial == 0:
        return own, rate
    swept = [h for h in card.hyperparameters if h.sweep and h.name not in pinned]
    point = _halton(1 + len(swept), card.name, trial)
    if "learning_rate" not in pinned:
        rate = float(f"{_between(rate / RATE_SPAN, rate * RATE_SPAN, point[0], log=True):.3g}")
    found = dict(own)
    for hyperparameter, u in zip(swept, point[1:], strict=True):
        found[hyperparameter.name] = hyperparameter.check(_pick(hyperparameter, u), card.name)
    return found, rate


def _pick(hyperparameter: methods.Hyperparameter, u: float) -> Value:
    if hyperparameter.choices:
        words = hyperparameter.sweep
        return words[min(int(u * len(words)), len(words) - 1)]
    low, high = (float(end) for end in hyperparameter.sweep)
    value = float(f"{_between(low, high, u, log=hyperparameter.log):.3g}")  # three digits: a setting that can be typed
    return round(value) if isinstance(hyperparameter.default, int) else value


def _between(low: float, high: float, u: float, *, log: bool) -> float:
    return math.exp(math.log(low) + u * math.log(high / low)) if log else low + u * (high - low)


def _halton(dimensions: int, name: str, trial: int) -> list[float]:
    from scipy.stats import qmc  # 0.5 s, and only a study with a budget needs it

    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    engine = qmc.Halton(dimensions, scramble=True, rng=seed)
    if trial > 1:
        engine.fast_forward(trial - 1)
    return [float(u) for u in engine.random(1)[0]]
