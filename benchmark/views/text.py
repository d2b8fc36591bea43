"""Numbers and names as text: nothing that a reader could take for something else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.board import Duel, Estimate


def printable(text: str) -> str:
    """Without anything that moves the cursor, starts a line or turns the direction of writing: such characters are spelled out."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def number(value: float, digits: int, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "n/a"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    small = float(text) == 0.0 and value != 0.0
    return f"{value:.1e}" if (small and digits > 2) or abs(value) >= 1e7 else text


def interval(estimate: Estimate, digits: int) -> str:
    if math.isnan(estimate.low):
        return ""
    return f"[{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def bracket(text: str, complete: bool) -> str:
    """In parentheses where it is of a part of the runs."""
    return text if complete or text in ("n/a", "") else f"({text})"


def gap(text: str) -> str:
    return f" {text}" if text else ""


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def probability(p: float) -> str:
    """``p=.004``, as tables of tests have it; nothing where there is none."""
    if math.isnan(p):
        return ""
    if p < 0.001:
        return "p<.001"
    return "p=1" if p > 0.9995 else f"p={p:.3f}".replace("0.", ".", 1) if p < 0.1 else f"p={p:.2f}".replace("0.", ".", 1)


def duel(wins: Duel) -> str:
    """``71/80 p=.004``: pairs won, of all; ties are in neither."""
    return f"{wins.wins}/{wins.pairs}{gap(probability(wins.p))}"


def size(value: float) -> str:
    """Bytes in three digits, decimal units."""
    if math.isnan(value):
        return "n/a"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
