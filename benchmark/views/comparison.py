"""A comparison of two entrants in words, as a grid, and for a program."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmark.views.grids import Grid
from benchmark.views.text import count, gap, interval, number

if TYPE_CHECKING:
    from benchmark.comparison import Comparison, Difference

ENOUGH = 10_000
"""Seeds beyond which nobody is told how many it would take."""


def sentence(comparison: Comparison) -> str:
    """What came of it, in plain words."""
    first, second, whole = comparison.first, comparison.second, comparison.whole
    words = f"{_verdict(comparison)}{_more(whole)}"
    ratio = comparison.step_time
    if not math.isnan(ratio.low) and not ratio.low <= 1.0 <= ratio.high:
        words += f" A step of {first} takes {number(ratio.value, 2)} times as long as one of {second}{gap(interval(ratio, 2))}."
    return words


def _verdict(comparison: Comparison) -> str:
    first, second, whole = comparison.first, comparison.second, comparison.whole
    gap_ = whole.delta_m
    better = gap_.value < 0
    size = f"{number(abs(gap_.value), 2)} points {'lower' if better else 'higher'}"
    sides = [each.delta_m.value < 0 for each in comparison.problems]
    where = f"on {sides.count(better)} of {count(len(sides), 'problem')}, in {whole.wins if better else whole.losses} of "
    where += count(whole.pairs, "pair")
    if any(whole.failures):
        failed = " and ".join(f"{name} {number_}" for name, number_ in zip((first, second), whole.failures, strict=True))
        seen = "" if math.isnan(gap_.value) else f"; of the pairs that both finished, the Δm of {first} is {size}"
        return (
            f"{first} and {second} have no interval, as runs failed ({failed}), which count as worse than any that finished: "
            f"{first} wins {whole.wins} and loses {whole.losses} of {count(whole.pairs, 'pair')}{_test(whole)}{seen}."
        )
    if math.isnan(gap_.value):
        return f"{first} and {second} have no metric in common that Δm compares."
    if math.isnan(gap_.low):
        alone = [each.label for each in comparison.problems if each.pairs == 1]
        return (
            f"whether {first} and {second} differ cannot be said: one seed on {', '.join(alone)} gives no interval and no p, as one run "
            f"does not tell how much runs differ (Δm of {first} is {size}, {where}); "
            f"make more: python -m benchmark run --suite {comparison.suites[0]} --seeds 10."
            if alone
            else f"{first} and {second} have no interval: the baseline or a metric is 0 with some seed (Δm of {first} is {size}, {where})."
        )
    if whole.ties == whole.pairs:
        return f"{first} and {second} are the same in all of {count(whole.pairs, 'pair')}."
    shown = interval(gap_, 2)
    if better:
        shown = f"[{number(-gap_.high, 2)}, {number(-gap_.low, 2)}]"
    if gap_.low <= 0.0 <= gap_.high:
        return f"{first} and {second} cannot be told apart: the Δm of {first} is {size} {shown}, {where}{_test(whole)}."
    verdict = f"{first} is {'better' if better else 'worse'} than {second}: its Δm is {size} {shown}, {where}{_test(whole)}"
    return verdict + ("." if whole.p <= 1 - comparison.confidence or math.isnan(whole.p) else f"{_doubt(whole)}.")


def _test(whole: Difference) -> str:
    if math.isnan(whole.p):
        return ""
    p = f"p = {whole.p:.2g}" if whole.p >= 0.0001 else "p < 0.0001"
    return f"; {p} (n = {count(whole.seeds, 'seed')})"


def _doubt(whole: Difference) -> str:
    """Where the interval tells two apart and the test over seeds does not."""
    if whole.p <= 2.0 ** (1 - whole.seeds) * 1.0001:
        return f", the least that {whole.seeds} seeds can give"
    return ", so the test over seeds alone does not tell them apart"


def _more(whole: Difference) -> str:
    """What it would take, where two cannot be told apart."""
    value, low, high = abs(whole.delta_m.value), whole.delta_m.low, whole.delta_m.high
    if not low <= 0.0 <= high or not whole.detectable > 0.0:
        return ""
    words = f" These runs would show a difference of {number(whole.detectable, 2)} points four times out of five"
    if value == 0.0 or whole.seeds < 2:
        return f"{words}."
    seeds = whole.seeds * (whole.detectable / value) ** 2
    needed = f"more than {ENOUGH:,}" if seeds > ENOUGH else f"about {math.ceil(seeds):,}"
    return f"{words}; if the true one is that which was seen, it would need {needed} seeds." if seeds > whole.seeds else f"{words}."


def grid(comparison: Comparison) -> Grid:
    """A row a problem below one of all."""
    first, second = comparison.first, comparison.second
    header = ["problem", "Δm A - B", "[low, high]", "n", "A wins", "failed", "p", "Holm p", "g", "P(A better)"]
    several = len(comparison.problems) > 1
    shown = [*([comparison.whole] if several else []), *comparison.problems]
    marks = ["best" if each.delta_m.high < 0.0 or each.delta_m.low > 0.0 else "" for each in shown]
    return Grid(f"A = {first}, B = {second}", header, [_row(each) for each in shown], marks)


def _row(each: Difference) -> list[str]:
    value = number(each.delta_m.value, 2, sign=True)
    return [
        each.label,
        f"({value})" if any(each.failures) and value != "n/a" else value,
        interval(each.delta_m, 2),
        str(each.seeds),
        f"{each.wins}/{each.pairs}",
        " and ".join(map(str, each.failures)) if any(each.failures) else "0",
        _p(each.p),
        _p(each.adjusted),
        number(each.effect, 2, sign=True),
        f"{number(each.improvement.value, 2)}{gap(interval(each.improvement, 2))}",
    ]


def _p(p: float) -> str:
    return "" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "<.001"


def legend(comparison: Comparison) -> list[str]:
    """How to read the grid, and what must be known of the runs."""
    level = f"{100 * comparison.confidence:g} %"
    ratio = comparison.step_time
    lines = [
        f"Δm A - B: percentage points against {comparison.baseline}, negative = A is better. [low, high]: {level} interval, paired "
        "bootstrap over seeds with Student's t. n: paired seeds; over all problems those that every problem has. A wins: of all pairs; "
        "a tie is nobody's.",
        "p: exact two-sided Wilcoxon over paired seeds, over all problems of the means over problems; Holm: over the problems. g: Hedges' "
        "g, mean of the paired differences over their standard deviation, corrected for n. P(A better): of a run of A against one of B, "
        "ties half.",
    ]
    if not math.isnan(ratio.value):
        lines.append(f"Step time of A over that of B: {number(ratio.value, 2)}{gap(interval(ratio, 2))}, on the device of the records.")
    if any(comparison.whole.failures):
        lines.append("(in parentheses): of the pairs that both finished, without an interval.")
    return [*lines, *(f"Note: {note}" for note in comparison.notes)]
