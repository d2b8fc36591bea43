"""The time that is given, as rungs: many methods for few steps, then the better ones for more.

Successive halving (Jamieson & Talwalkar 2016) with a factor of 3. No seed is on two rungs, so what the last one says of a method owes
nothing to the luck that brought it there. Methods differ in the length of their steps, which is a learning rate in disguise: on every rung
but the last each is tried at three rates around the one that was best for it on the rung before, equal weights like the others, and on the
last at the best of those. Short runs like higher rates than long ones, so the rung before the last has runs as long as that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from benchmark.errors import UsageError

FACTOR = 3
FINALISTS = 6
"""Methods on the last rung beside equal weights, which are on all of them."""
RATES = (0, -1, 1)
"""Learning rates that are tried on a rung, as powers of ``arms.STEP`` from the best so far, which comes first: it wins ties."""
LOOKS = 2
"""Rungs at least that try several rates."""
SEEDS = {1: (2, 3, 10), len(RATES): (1, 2, 10)}
"""By the number of rates: on the first rung, on those between, and on the last, where time decides; at least FEWEST there."""
FEWEST = 5
SHORTEST = 30
"""Steps of the first rung below which nothing is learned of a method."""
RESERVE = 0.1
"""Of the time, for what the measurement did not foresee."""
LADDER = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Cost(msgspec.Struct, frozen=True):
    """Seconds of one trial: what does not depend on its steps, and a step, evaluation included."""

    fixed: float
    step: float

    def of(self, steps: int) -> float:
        return self.fixed + self.step * steps


class Rung(msgspec.Struct, frozen=True):
    """Every method that got this far is trained from each of these seeds; of them ``keep`` go on, beside equal weights."""

    steps: int
    seeds: tuple[int, ...]
    keep: int
    rates: int = 1
    """Learning rates at which each method is trained."""


def seconds_of(text: str) -> float:
    """Reads ``90s``, ``10m`` or ``1.5h``.

    Raises:
        UsageError: anything else, or nothing above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"--time is {text!r}; expected a number above 0 with s, m or h, as in 90s, 10m or 2h")
    return seconds


def plan(costs: Mapping[str, Cost], always: Sequence[str], seconds: float, jobs: int, longest: int) -> tuple[Rung, ...]:
    """The longest rungs that fit with several learning rates; where none do, with one.

    Args:
        costs: of every method that takes part, ``always`` included.
        always: methods that are on every rung.
        seconds: of wall clock that there are.
        jobs: trials at once.
        longest: steps of a whole run, which no rung exceeds.

    Raises:
        UsageError: not even the shortest fit; the message says how long they would take.
    """
    room = seconds * (1 - RESERVE) * jobs
    count = len(costs) - len(always)
    for rates in (len(RATES), 1):
        best: tuple[Rung, ...] | None = None
        for steps in _ladder(longest):
            for seeds in range(FEWEST, SEEDS[rates][-1] + 1):
                rungs = _rungs(count, steps, seeds, rates)
                if _long_enough(rungs, longest) and total(rungs, costs, always) <= room:
                    best = rungs
        if best is not None:
            return best
    shortest = (_rungs(count, steps, FEWEST, 1) for steps in _ladder(longest))
    needed = total(next(r for r in shortest if _long_enough(r, longest)), costs, always) / jobs / (1 - RESERVE)
    raise UsageError(
        f"{seconds:.0f} s are left of --time for {len(costs)} methods, whose shortest comparison takes about {needed:.0f} s: "
        "give more --time or --jobs, or name fewer --methods"
    )


def _long_enough(rungs: Sequence[Rung], longest: int) -> bool:
    """Whether the first rung tells something of a method; where whole runs are shorter than that, whether the last is a whole run."""
    return rungs[0].steps >= SHORTEST or rungs[-1].steps == longest


def total(rungs: Sequence[Rung], costs: Mapping[str, Cost], always: Sequence[str]) -> float:
    """Seconds of one worker. Who goes on is not known yet: the mean of all is what they are taken to cost."""
    others = [cost for name, cost in costs.items() if name not in always]
    taken, count = 0.0, len(others)
    for rung in rungs:
        each = sum(cost.of(rung.steps) for cost in others) / len(others) if others else 0.0
        fixed = sum(costs[name].of(rung.steps) for name in always)
        taken += len(rung.seeds) * rung.rates * (count * each + fixed)
        count = rung.keep
    return taken


def _rungs(methods: int, steps: int, seeds: int, rates: int) -> tuple[Rung, ...]:
    """Back from the last rung, a third of the steps at each, until all methods are in."""
    counts = [methods]
    while counts[-1] > FINALISTS:
        counts.append(max(FINALISTS, math.ceil(counts[-1] / FACTOR)) if counts[-1] > FINALISTS * 2 else FINALISTS)
    if rates > 1:
        counts += [counts[-1]] * max(1, LOOKS - len(counts) + 1)  # nobody has to go, but each needs its rate
    found: list[Rung] = []
    for place in range(len(counts)):
        left = len(counts) - 1 - place
        number = seeds if not left else SEEDS[rates][0] if place == 0 and left > 1 else SEEDS[rates][1]
        first = 1000 * (place + 1)
        keep = counts[place + 1] if left else 0
        shorter = max(0, left - 1) if rates > 1 else left  # the last look is as long as the last rung
        found.append(Rung(max(1, round(steps / FACTOR**shorter)), tuple(range(first, first + number)), keep, rates if left else 1))
    return tuple(found)


def _ladder(longest: int) -> list[int]:
    """Round numbers of steps up to ``longest``, and that itself."""
    powers = range(math.floor(math.log10(longest)) + 1)
    return sorted({round(part * 10**power) for power in powers for part in LADDER if part * 10**power < longest} | {longest})
