"""The answer, as a colleague would give it."""

from __future__ import annotations

import math

from rich.table import Table

from benchmark.advice.halving import Found
from benchmark.advice.verdict import ALPHA, DEARER, WORTH, Standing
from benchmark.races import REFERENCE
from benchmark.views.text import count, printable, probability, size

STILL_FALLING = 10.0
"""Percent in the last third of a run, above which its end says little of a longer one's."""


def sentences(found: Found) -> list[str]:
    """Paragraphs: what to use, what that rests on, what cannot be told from it, what it costs."""
    verdict, (_, last) = found.verdict, found.climbed[-1]
    n = f"n = {verdict.seeds} fresh seeds of {last.steps:,} steps"
    best, use = verdict.best, verdict.of(verdict.use)
    if verdict.use == REFERENCE:
        nearest = next((each for each in verdict.standings if each.method != REFERENCE), best)
        said = [
            f"Equal weights are enough{_at(found, REFERENCE)}: of the {count(_tried(found), 'method')} tried none could be told from them, "
            f"for the better and by {WORTH:g} % or more ({n}). "
            f"Nearest was {nearest.method}, {_change(nearest)}."
        ]
        worse = [each.method for each in verdict.standings if each.p <= ALPHA and each.change > 0]
        if worse:
            said.append(f"Worse than equal weights, and not by chance: {', '.join(worse)}.")
        said.append("They cost nothing beyond the backward pass.")
    else:
        said = [
            f"Use {verdict.use}{_at(found, verdict.use)}. At the end of its runs its validation metrics are {_change(use)}{_at(found)}, "
            f"mean over the tasks, {n}; {probability(use.p)} after Holm's correction for the methods on the last rung."
        ]
        alike = [each.method for each in verdict.standings if each.like_best and each.method != verdict.use and each.p <= ALPHA]
        if alike:
            cheaper = f" Its step costs less than that of {best.method}." if use != best else ""
            said.append(f"Not to be told from it with these runs: {', '.join(alike)}.{cheaper}")
        held = "" if math.isnan(use.memory) else f"; a run held {size(use.memory)}"
        takes = f"{use.cost:.1f} times as long as" if use.cost > DEARER else "about as long as"
        said.append(f"A step takes {takes} one with equal weights{held}.")
    return [*said, "What this does not say: " + "; ".join(_doubts(found)) + "."]


def _doubts(found: Found) -> list[str]:
    doubts = []
    if found.verdict.falling > STILL_FALLING:
        falling = f"losses still fell by {found.verdict.falling:.0f} % in the last third of the runs"
        doubts.append(f"{falling}, and the order may change in longer ones: give more --time")
    among, rate = found.tried[found.verdict.use], found.rates[found.verdict.use]
    if len(among) == 1:
        doubts.append(f"all ran at your learning rate, {found.learning_rate:g}, as there was no time to try others: give more --time")
    else:
        longest = max(rung.steps for _, rung in found.climbed if rung.rates > 1)
        rates = ", ".join(f"{each:g}" for each in among)
        doubts.append(f"each ran at the best learning rate for it in runs of {longest:,} steps, {found.verdict.use} of {rates}")
        if rate in (among[0], among[-1]):
            doubts.append(f"a rate still further from yours than {rate:g} was not tried")
    return [*doubts, "every method ran with its published defaults: `sweep` tunes them all alike"]


def _at(found: Found, method: str = "") -> str:
    """The learning rate of a method where it is not the user's; of equal weights, beside a method, wherever rates were tried."""
    rate = found.rates[method or REFERENCE]
    if method:
        return "" if rate == found.learning_rate else f" at learning rate {rate:g} (yours is {found.learning_rate:g})"
    return "" if len(found.tried[REFERENCE]) == 1 else f" at their best rate, {rate:g}"


def evidence(found: Found) -> Table:
    """The last rung."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("method", "vs equal", "95 % interval", "p", "rate", "step", "memory"):  # 80 columns hold them
        grid.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for each in found.verdict.standings:
        same = each.method == REFERENCE
        grid.add_row(
            ("* " if each.method == found.verdict.use else "  ") + each.method,
            "failed" if math.isinf(each.change) else f"{each.change + 0.0:+.1f} %",
            "" if same or math.isnan(each.low) else f"[{each.low:+.1f}, {each.high:+.1f}]",
            "" if math.isnan(each.p) else probability(each.p).removeprefix("p").removeprefix("="),
            f"{found.rates[each.method]:g}",
            f"{each.cost:.2f} x",
            "" if math.isnan(each.memory) else size(each.memory),
        )
    return grid


def notes(found: Found) -> list[str]:
    """How it was found, who fell out, who was not tried."""
    parts = []
    for begun, rung in found.climbed:
        rates = f"{rung.rates} learning rates x " if rung.rates > 1 else ""
        parts.append(f"{count(begun, 'method')} x {rates}{count(len(rung.seeds), 'seed')} x {rung.steps:,} steps")
    said = [f"{', then '.join(parts)}, in {found.seconds:.0f} s. No seed is on two rungs."]
    if found.dropped:
        said.append(f"Fell out on the way: {', '.join(found.dropped)}.")
    said += [f"Not compared: {name}: {printable(why)}" for name, why in sorted(found.left_out.items())]
    return said


def _tried(found: Found) -> int:
    return found.climbed[0][0] - 1


def _change(each: Standing) -> str:
    side = "better" if each.change < 0 else "worse"
    bounds = f" [{-each.high:.1f}, {-each.low:.1f}]" if each.change < 0 else f" [{each.low:.1f}, {each.high:.1f}]"
    return f"{abs(each.change):.1f} %{bounds} {side} than with equal weights"
