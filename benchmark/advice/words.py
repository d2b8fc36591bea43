"""The answer, as a colleague would give it."""

from __future__ import annotations

import math

from rich.table import Table

import methods
from benchmark.advice.halving import Asked, Found
from benchmark.advice.verdict import ALPHA, WORTH, Standing
from benchmark.races import REFERENCE
from benchmark.views.text import count, printable, probability, size

STILL_FALLING = 10.0
"""Percent in the last third of a run, above which its end says little of a longer one's."""


def sentences(asked: Asked, found: Found, losses: int) -> list[str]:
    """Paragraphs: what to use, what that rests on, what cannot be told from it, what it costs."""
    verdict, (_, last) = found.verdict, found.climbed[-1]
    n = f"n = {verdict.seeds} fresh seeds of {last.steps:,} steps"
    best, use = verdict.best, verdict.of(verdict.use)
    if verdict.use == REFERENCE:
        nearest = next((each for each in verdict.standings if each.method != REFERENCE), best)
        said = [
            f"Equal weights are enough: of the {count(_tried(found), 'method')} tried none could be told from them, "
            f"for the better and by {WORTH:g} % or more ({n}). "
            f"Nearest was {nearest.method}, {_change(nearest)}."
        ]
        worse = [each.method for each in verdict.standings if each.p <= ALPHA and each.change > 0]
        if worse:
            said.append(f"Worse than equal weights, and not by chance: {', '.join(worse)}.")
        said.append("They cost nothing beyond the backward pass.")
    else:
        said = [
            f"Use {verdict.use}. At the end of its runs its validation metrics are {_change(use)}, mean over the tasks, {n}; "
            f"{probability(use.p)} after Holm's correction for the methods on the last rung."
        ]
        alike = [each.method for each in verdict.standings if each.like_best and each.method != verdict.use and each.p <= ALPHA]
        if alike:
            cheapest = " It is the cheapest of them." if use != best else ""
            said.append(f"Not to be told from it with these runs: {', '.join(alike)}.{cheapest}")
        held = "" if math.isnan(use.memory) else f"; a run held {size(use.memory)}"
        said.append(f"A step takes {use.cost:.2f} times that of equal weights{held}.")
    doubts = ["every method ran with its published defaults at your learning rate: `sweep` tunes them all alike"]
    if verdict.falling > STILL_FALLING:
        falling = f"losses still fell by {verdict.falling:.0f} % in the last third of the runs"
        doubts.insert(0, f"{falling}, and the order may change in longer ones: give more --time")
    said.append("What this does not say: " + "; ".join(doubts) + ".")
    return said


def lines_of_code(found: Found, losses: int) -> list[str]:
    """What to write in the loop."""
    use = found.verdict.use
    if use == REFERENCE:
        return ["sum(losses).backward()"]
    card = methods.card(use)
    facts = "".join(f", {fact}=[...]" for fact in card.needs)
    several = ", evaluate=evaluate" if _class(use).extra_batches else ""
    lines = [
        f'balancer = methods.create("{use}", num_tasks={losses}{facts})  # once',
        f"balancer.backward(losses, shared=model.trunk.parameters(){several})  # what all tasks share; in place of sum(losses).backward()",
    ]
    return [*lines, "balancer.after_step(losses_again)  # after optimizer.step()"] if _class(use).reforward else lines


def evidence(found: Found) -> Table:
    """The last rung."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("method", "vs equal, %", "95 % interval", "p (Holm)", "step time", "memory"):
        grid.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for each in found.verdict.standings:
        same = each.method == REFERENCE
        grid.add_row(
            ("* " if each.method == found.verdict.use else "  ") + each.method,
            "failed" if math.isinf(each.change) else f"{each.change:+.1f}",
            "" if same or math.isnan(each.low) else f"[{each.low:+.1f}, {each.high:+.1f}]",
            "" if math.isnan(each.p) else probability(each.p).removeprefix("p").removeprefix("="),
            f"{each.cost:.2f} x",
            "" if math.isnan(each.memory) else size(each.memory),
        )
    return grid


def notes(found: Found) -> list[str]:
    """How it was found, who fell out, who was not tried."""
    rungs = ", then ".join(f"{count(begun, 'method')} x {count(len(r.seeds), 'seed')} x {r.steps:,} steps" for begun, r in found.climbed)
    said = [f"{rungs}, in {found.seconds:.0f} s. No seed is on two rungs."]
    if found.dropped:
        said.append(f"Fell out on the way: {', '.join(found.dropped)}.")
    said += [f"Not compared: {name}: {printable(why)}" for name, why in sorted(found.left_out.items())]
    return said


def _class(name: str) -> type[methods.Method]:
    return methods.get(name) if ":" not in name else methods.Method


def _tried(found: Found) -> int:
    return found.climbed[0][0] - 1


def _change(each: Standing) -> str:
    side = "better" if each.change < 0 else "worse"
    bounds = f" [{-each.high:.1f}, {-each.low:.1f}]" if each.change < 0 else f" [{each.low:.1f}, {each.high:.1f}]"
    return f"{abs(each.change):.1f} %{bounds} {side} than with equal weights"
