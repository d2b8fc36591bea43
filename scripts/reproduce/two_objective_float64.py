"""The two-objective toy once more, in double precision and without the methods: whose end is right where two implementations differ?

    .venv/bin/python scripts/reproduce/two_objective_float64.py [METHOD ...] [--runs 5]       # a minute or two each

Closed forms for two tasks on the landscape's own gradients, Adam written out. Every start is run several times, all but once with small
things changed: the start by up to 1e-6, Adam's epsilon by up to a fifth. Where these end apart, no two implementations need agree.

The names with an underscore have the details of two_task_simulation.py beside this file.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tasks.two_objective import PROBLEMS, front_distance, losses

Pair = tuple[float, float]
APART = 1e-6
EPSILONS = (1e-8, 9e-9, 1.1e-8, 8e-9, 1.2e-8)
"""Adam's, a run each; those of further runs lie between."""
GUARD, OPPOSED = 1e-12, 1e-9


def dot(a: Pair, b: Pair) -> float:
    return a[0] * b[0] + a[1] * b[1]


def combined(x: float, g: Pair, y: float, h: Pair) -> Pair:
    return x * g[0] + y * h[0], x * g[1] + y * h[1]


def equal(g: Pair, h: Pair) -> Pair:
    return combined(0.5, g, 0.5, h)


def pcgrad(g: Pair, h: Pair) -> Pair:
    p = dot(g, h)
    return combined(1, g, 1, h) if p >= 0 else combined(1 - p / dot(g, g), g, 1 - p / dot(h, h), h)


def mgda(g: Pair, h: Pair) -> Pair:
    apart = combined(1, g, -1, h)
    square = dot(apart, apart)
    w = min(1.0, max(0.0, -dot(apart, h) / square)) if square else 0.5
    return combined(w, g, 1 - w, h)


def imtl_g(g: Pair, h: Pair) -> Pair:
    n, m = math.hypot(*g), math.hypot(*h)
    return combined(m / (n + m), g, n / (n + m), h) if n + m else (0.0, 0.0)


def nash(g: Pair, h: Pair) -> Pair:
    """w_t = 1 / (n_t sqrt(1 + cos)); 0 where the gradients are opposed or one vanishes."""
    n, m = math.hypot(*g), math.hypot(*h)
    root = math.sqrt(max(1 + dot(g, h) / n / m, 0.0)) if n * m else 0.0
    return combined(1 / n / root, g, 1 / m / root, h) if root > 1e-7 else (0.0, 0.0)


def guarded(g: Pair, h: Pair) -> tuple[float, float, float]:
    """The norms with a guard against division by zero, and the cosine."""
    n, m = math.hypot(*g) + GUARD, math.hypot(*h) + GUARD
    return n, m, dot(g, h) / (n * m)


def pcgrad_guarded(g: Pair, h: Pair) -> Pair:
    n, m, cosine = guarded(g, h)
    return combined(1 - min(cosine, 0.0) * m / n, g, 1 - min(cosine, 0.0) * n / m, h)


def nash_guarded(g: Pair, h: Pair) -> Pair:
    n, m, cosine = guarded(g, h)
    root = math.sqrt(1 + max(cosine, OPPOSED - 1))
    return combined(1 / n / root, g, 1 / m / root, h)


def fair(g: Pair, h: Pair, alpha: float = 2.0) -> Pair:
    """(G w)_t = w_t^(-1/alpha): the ratio w_1 / w_2 by bisection, as both sides of the quotient are monotone in it."""
    a, b, c = dot(g, g), dot(g, h), dot(h, h)
    if not a * c or 1 + b / math.sqrt(a * c) < 1e-13:
        return 0.0, 0.0
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        r = math.exp(middle) * math.sqrt(c / a)
        first, second = a * r + b, b * r + c
        below = first <= 0 or (second > 0 and math.log(first / second) + math.log(r) / alpha < 0)
        low, high = (middle, high) if below else (low, middle)
    r = math.exp((low + high) / 2) * math.sqrt(c / a)
    second = b * r + c
    if second <= 0:
        return 0.0, 0.0
    w = second ** (-alpha / (1 + alpha))
    return combined(r * w, g, w, h)


def fair_unit(g: Pair, h: Pair) -> Pair:
    d = fair(g, h)
    norm = math.hypot(*d)
    return combined(1 / norm, d, 0.0, d) if norm else d


def cagrad(c: float, *, unit: bool = False) -> Callable[[Pair, Pair], Pair]:
    """``unit``: with weights that sum to one."""

    def direction(g: Pair, h: Pair) -> Pair:
        mean, apart = equal(g, h), combined(1, g, -1, h)
        norm, square, slope = math.hypot(*mean), dot(apart, apart), dot(apart, mean)
        # min over w of <g_w, mean> + c ‖mean‖ ‖g_w‖, g_w = w g + (1 - w) h, whose norm is √(square (w - nearest)² + least²)
        nearest = -dot(apart, h) / square if square else 0.5
        least = max(dot(h, h) - nearest * nearest * square, 0.0)
        room = (c * norm) ** 2 * square - slope**2
        inside = nearest - slope * math.sqrt(least / square / room) if room > 0 else math.copysign(math.inf, -slope)
        w = min(1.0, max(0.0, inside))
        of = combined(w, g, 1 - w, h)
        if math.hypot(*of) <= 1e-12:
            return mean
        pull = c * norm / math.hypot(*of)
        whole = 1 + pull if unit else 1.0
        return combined(1 / whole, mean, pull / whole, of)

    return direction


METHODS: dict[str, Callable[[Pair, Pair], Pair]] = {
    "equal": equal,
    "mgda": mgda,
    "pcgrad": pcgrad,
    "pcgrad_guarded": pcgrad_guarded,
    "cagrad0.4": cagrad(0.4),
    "cagrad0.4_unit": cagrad(0.4, unit=True),
    "cagrad0.5": cagrad(0.5),
    "cagrad0.5_unit": cagrad(0.5, unit=True),
    "imtl_g": imtl_g,
    "nash": nash,
    "nash_guarded": nash_guarded,
    "fairgrad1": partial(fair, alpha=1.0),
    "fairgrad2": fair,
    "fairgrad2_unit": fair_unit,
}


class Adam:
    """Of two numbers, with the usual decay rates."""

    def __init__(self, rate: float, epsilon: float) -> None:
        self.rate, self.epsilon, self.steps, self.mean, self.square = rate, epsilon, 0, [0.0, 0.0], [0.0, 0.0]

    def step(self, x: list[float], gradient: Pair) -> None:
        self.steps += 1
        for i in (0, 1):
            self.mean[i] = 0.9 * self.mean[i] + 0.1 * gradient[i]
            self.square[i] = 0.999 * self.square[i] + 0.001 * gradient[i] ** 2
            mean, square = self.mean[i] / (1 - 0.9**self.steps), self.square[i] / (1 - 0.999**self.steps)
            x[i] -= self.rate * mean / (math.sqrt(square) + self.epsilon)


def end(method: str, start: Pair, scale: float, steps: int, epsilon: float) -> Pair:
    """Where Adam has x after these steps."""
    x, adam = list(start), Adam(1e-3, epsilon)
    if method == "famo":
        return end_of_famo(x, adam, Adam(0.025, epsilon), scale, steps)
    for _ in range(steps):
        _, g, h = losses(x[0], x[1], scale)
        adam.step(x, METHODS[method](g, h))
    return x[0], x[1]


def end_of_famo(x: list[float], adam: Adam, learner: Adam, scale: float, steps: int) -> Pair:
    """With the lower bounds (-21 s, -21) of the authors' toy and no decay of the logits."""
    bounds, logits = (-21 * scale, -21.0), [0.0, 0.0]
    for _ in range(steps):
        pair, g, h = losses(x[0], x[1], scale)
        gaps = [value - bound + 1e-8 for value, bound in zip(pair, bounds, strict=True)]
        odds = math.exp(logits[0] - logits[1])
        z = (odds / (1 + odds), 1 / (1 + odds))
        c = 1 / (z[0] / gaps[0] + z[1] / gaps[1])
        adam.step(x, combined(c * z[0] / gaps[0], g, c * z[1] / gaps[1], h))
        after = [value - bound + 1e-8 for value, bound in zip(losses(x[0], x[1], scale)[0], bounds, strict=True)]
        fall = [math.log(gaps[k] / after[k]) for k in (0, 1)]
        mean = z[0] * fall[0] + z[1] * fall[1]
        learner.step(logits, (z[0] * (fall[0] - mean), z[1] * (fall[1] - mean)))
    return x[0], x[1]


def changed(run: int, start: Pair) -> tuple[Pair, float]:
    """Start and epsilon of a run."""
    shift = random.Random(run)
    moved = start if run == 0 else (start[0] + shift.uniform(-APART, APART), start[1] + shift.uniform(-APART, APART))
    return moved, EPSILONS[run] if run < len(EPSILONS) else shift.uniform(min(EPSILONS), max(EPSILONS))


def main() -> None:
    names = [*METHODS, "famo"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--runs", type=int, default=len(EPSILONS), help="of every start")
    given = parser.parse_args()
    if given.runs < 1:
        sys.exit(f"--runs is {given.runs}; expected 1 or more")
    unknown = [name for name in given.methods if name not in names]
    if unknown:
        sys.exit(f"unknown method {unknown[0]!r}; expected one of {', '.join(names)}")
    for problem, steps in zip(PROBLEMS, (50_000, 100_000), strict=True):
        for name in given.methods or names:
            for start in problem.starts:
                found = []
                for run in range(given.runs):
                    moved, epsilon = changed(run, start)
                    pair, *_ = losses(*end(name, moved, problem.scale, steps, epsilon), problem.scale)
                    found.append(f"({pair[0]:.4g}, {pair[1]:.4g}; {front_distance(pair, problem.scale):.2f} off)")
                print(f"{problem.card.name} {name} {start}: {' '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
