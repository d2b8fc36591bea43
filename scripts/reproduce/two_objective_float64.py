"""The two-objective toy once more, in double precision and without the methods: whose end is right where two implementations differ?

    .venv/bin/python scripts/reproduce/two_objective_float64.py [METHOD ...]       # a minute or two each

Closed forms for two tasks on the landscape's own gradients, Adam written out. Every start is run five times, four of them moved by up to
1e-6: where these end apart, the end is decided by rounding, and no two implementations need agree.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tasks.two_objective import PROBLEMS, front_distance, losses

Pair = tuple[float, float]
RUNS, APART = 5, 1e-6


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


def nash(g: Pair, h: Pair) -> Pair:
    """w_t = 1 / (n_t sqrt(1 + cos)); 0 where the gradients are opposed or one vanishes."""
    n, m = math.hypot(*g), math.hypot(*h)
    root = math.sqrt(max(1 + dot(g, h) / n / m, 0.0)) if n * m else 0.0
    return combined(1 / n / root, g, 1 / m / root, h) if root > 1e-7 else (0.0, 0.0)


def nash_guarded(g: Pair, h: Pair, guard: float = 1e-12) -> Pair:
    """With a guard against division by zero in the norms, which no scale of a loss is free of."""
    n, m = math.hypot(*g) + guard, math.hypot(*h) + guard
    root = math.sqrt(max(1 + dot(g, h) / n / m, 0.0))
    return combined(1 / n / root, g, 1 / m / root, h) if root else (0.0, 0.0)


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


def cagrad(c: float) -> Callable[[Pair, Pair], Pair]:
    def direction(g: Pair, h: Pair) -> Pair:
        mean = equal(g, h)
        norm = math.hypot(*mean)

        def dual(w: float) -> float:
            of = combined(w, g, 1 - w, h)
            return dot(of, mean) + c * norm * math.hypot(*of)

        low, high = 0.0, 1.0
        for _ in range(90):
            third = (high - low) / 3
            low, high = (low, high - third) if dual(low + third) < dual(high - third) else (low + third, high)
        of = combined((low + high) / 2, g, 1 - (low + high) / 2, h)
        return combined(1, mean, c * norm / math.hypot(*of), of) if math.hypot(*of) > 1e-12 else mean

    return direction


METHODS: dict[str, Callable[[Pair, Pair], Pair]] = {
    "equal": equal,
    "pcgrad": pcgrad,
    "cagrad0.4": cagrad(0.4),
    "cagrad0.5": cagrad(0.5),
    "mgda": mgda,
    "nash": nash,
    "nash_guarded": nash_guarded,
    "fairgrad2": fair,
}


class Adam:
    """Of two numbers, with the usual constants."""

    def __init__(self, rate: float) -> None:
        self.rate, self.steps, self.mean, self.square = rate, 0, [0.0, 0.0], [0.0, 0.0]

    def step(self, x: list[float], gradient: Pair) -> None:
        self.steps += 1
        for i in (0, 1):
            self.mean[i] = 0.9 * self.mean[i] + 0.1 * gradient[i]
            self.square[i] = 0.999 * self.square[i] + 0.001 * gradient[i] ** 2
            mean, square = self.mean[i] / (1 - 0.9**self.steps), self.square[i] / (1 - 0.999**self.steps)
            x[i] -= self.rate * mean / (math.sqrt(square) + 1e-8)


def end(method: str, start: Pair, scale: float, steps: int) -> Pair:
    """Where Adam has x after these steps."""
    x, adam = list(start), Adam(1e-3)
    if method == "famo":
        return end_of_famo(x, adam, scale, steps)
    for _ in range(steps):
        _, g, h = losses(x[0], x[1], scale)
        adam.step(x, METHODS[method](g, h))
    return x[0], x[1]


def end_of_famo(x: list[float], adam: Adam, scale: float, steps: int) -> Pair:
    """With the lower bounds (-21 s, -21) of the authors' toy and no decay of the logits."""
    bounds, logits, learner = (-21 * scale, -21.0), [0.0, 0.0], Adam(0.025)
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


def main() -> None:
    names = [*METHODS, "famo"]
    unknown = [name for name in sys.argv[1:] if name not in names]
    if unknown:
        sys.exit(f"unknown method {unknown[0]!r}; expected one of {', '.join(names)}")
    for problem, steps in zip(PROBLEMS, (50_000, 100_000), strict=True):
        for name in sys.argv[1:] or names:
            for start in problem.starts:
                found = []
                for run in range(RUNS):
                    shift = random.Random(run)
                    moved = start if run == 0 else (start[0] + shift.uniform(-APART, APART), start[1] + shift.uniform(-APART, APART))
                    pair, *_ = losses(*end(name, moved, problem.scale, steps), problem.scale)
                    found.append(f"({pair[0]:.2f}, {pair[1]:.2f}; {front_distance(pair, problem.scale):.2f} off)")
                print(f"{problem.card.name} {name} {start}: {' '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
