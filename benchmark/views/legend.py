"""What a reader must know to read the numbers: of this table, and of any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmark.provenance import SELF_REPORTED
from benchmark.views.text import count

if TYPE_CHECKING:
    from benchmark.board import Table


GLOSSARY = (
    "Method: what balances the losses, as the study knows it; python -m benchmark show NAME says what it computes and from which paper. "
    "Every study has single-task training (a network a task), equal weights (the losses added as they are) and random ones.",
    "Δm %: for every metric of a task, the change of its mean over seeds against the baseline's, in percent, its sign turned where higher "
    "is better; then the mean over the metrics of a problem, and over problems. Lower is better.",
    "Δp %: the same averaged inside every task first, so that a task with many metrics counts as much as one with few; its sign is turned: "
    "higher is better.",
    "Mean rank: of the methods on every metric, 1 being the best. It says who is ahead, and not by how much.",
)
"""The first columns for somebody who has never seen one of them; the legend says the rest."""


def facts(table: Table) -> str:
    """How much there is behind the numbers."""
    seeds = len({seed for problem in table.problems for seed in problem.seeds})
    return (
        f"{count(table.records, 'record')}, {count(len(table.problems), 'problem')}, {count(seeds, 'seed')}, "
        f"{count(len(table.damaged), 'damaged record')}."
    )


def legend(table: Table) -> list[str]:
    """How to read the columns, a line each."""
    level = f"{100 * table.confidence:g} %"
    measured = table.baseline if table.chosen_baseline else "single-task training"
    lines = []
    if table.chosen_baseline:
        lines.append(f"--baseline: Δm, Δp and IQM compare with {table.baseline}, and not with single-task training.")
    lines += [
        f"Lower Δm is better; negative = better than {measured}. Higher Δp is better. Mean rank: 1 is best, ties averaged.",
        f"[low, high]: {level} interval, paired bootstrap over seeds ({table.draws} draws, baseline resampled too) with Student's t.",
        "Letter after the rank: a cannot be told apart from the best row (paired difference of Δm, Holm over all pairs, p above 0.05); b "
        "can, but not from the best of the rest; and so on. ?: not known.",
        "IQM: interquartile mean of the Δm of all runs, without the best and the worst quarter of them.",
    ]
    if table.equal is not None:
        lines.append(
            f"Wins: (problem, seed) pairs with a lower Δm than {table.equal}, of all; p: exact paired Wilcoxon over seeds, Holm over the "
            f"rows{_least(table)}."
        )
    over = f"that of {table.cost_of}" if table.cost_of is not None else "the cheapest, as equal weights was not timed here"
    lines += [
        "n: seeds on every problem, or finished/expected runs. Failed: runs on any seed; they rank last.",
        f"Cost: time of a step over {over}. Passes: backward, each step. Memory: peak of a run, of the process on a CPU.",
        f"Provenance: {_places(table)}; self-reported: nobody else has made these records again.",
    ]
    if any(row.provenance.status != SELF_REPORTED for row in table.rows):
        lines.append(
            "Verified 3/80: 3 of the row's 80 runs were checked, trained again and came out as recorded; failed 1/80: one did not "
            "(python -m benchmark verify)."
        )
    if any(row.rank is not None and not row.complete for row in table.rows):
        lines.append(
            "(in parentheses): of the finished runs only, as others failed or are missing; such rows rank below complete ones, and have "
            "neither IQM nor wins."
        )
    return lines


def remarks(table: Table) -> list[str]:
    """Notes on this table and what of it was damaged."""
    return [f"Note: {note}" for note in table.notes] + [f"Damaged: {each.path}: {each.reason}" for each in table.damaged]


def footer(table: Table) -> list[str]:
    """All of it, one line each."""
    return [facts(table), *legend(table), *remarks(table)] if table.rows else [facts(table), *remarks(table)]


def distinct(lines: Iterable[str]) -> list[str]:
    """Each line once, where it comes first."""
    return list(dict.fromkeys(lines))


def _least(table: Table) -> str:
    """The smallest p that so few seeds allow for so many rows, where that is above what people take for a difference."""
    seeds = min((len(problem.seeds) for problem in table.problems if problem.baseline), default=0)
    rows = sum(row.wins is not None for row in table.rows)
    least = min(1.0, rows * 2.0 ** (1 - seeds))
    return f"; with {count(seeds, 'seed')} and {count(rows, 'row')} never below {least:.2g}" if seeds > 1 and least > 0.05 else ""


def _places(table: Table) -> str:
    """Where the rows come from; each place with its rows where they differ."""
    found: dict[str, list[str]] = {}
    for row in table.rows:
        found.setdefault(row.provenance.place, []).append(row.entrant)
    return next(iter(found), "unknown") if len(found) < 2 else "it differs between rows"
