"""The leaderboard as data: what a table holds, whoever makes it and whoever shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmark.provenance import Provenance
from benchmark.runs import Problem
from benchmark.store import Damaged


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval; nan where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Duel:
    """One entrant against another over the (problem, seed) pairs that both finished."""

    wins: int
    ties: int
    losses: int
    p: float
    """Two-sided exact paired Wilcoxon, Holm over all rows that are compared with the same one; nan where there is none."""

    @property
    def pairs(self) -> int:
        return self.wins + self.ties + self.losses


@dataclass(frozen=True)
class Cell:
    """One entrant on one problem."""

    complete: bool
    """No failure, and every compared seed is there. Otherwise the numbers below are of the finished seeds and have no interval for Δ."""
    seeds: int
    """Compared seeds that finished."""
    delta_m: Estimate
    delta_p: Estimate
    mean_rank: float
    """Over the metrics that Δm compares and those of the whole problem; incomplete cells tie for the last place."""
    metrics: dict[str, Estimate]
    """Means over the finished seeds."""


@dataclass(frozen=True)
class Row:
    """One entrant. Numbers of an incomplete row are of its finished runs only, and it has no IQM, no letters and no wins."""

    rank: int | None
    """None for single-task training and for whatever the others are measured against."""
    entrant: str
    reference: bool
    """This row is the baseline: its Δm is 0 by construction."""
    complete: bool
    group: str
    """One letter: "a" cannot be told apart from the best row, "b" can, but not from the best of the rest, and so on. Empty where that is
    not known."""
    letters: str
    """Rows that share one of these letters cannot be told apart, and all others can (compact letter display). Many where rows are many."""
    like_best: bool | None
    """Whether the group is "a"; None where that is not known."""
    delta_m: Estimate
    delta_p: Estimate
    mean_rank: float
    iqm: Estimate
    """Interquartile mean over all runs of their Δm %."""
    wins: Duel | None
    """Against equal weights, lower Δm winning; None for that row, for unranked ones, and where either is incomplete."""
    finished: int
    """(problem, seed) pairs that finished, of ``expected``."""
    expected: int
    failures: dict[str, int]
    """Failed runs by status, on any seed."""
    cost: float
    """Step time as a multiple of ``Table.cost_of``'s; of single-task training, the sum over its tasks."""
    passes: float
    """Backward passes through the trunk per step."""
    memory: float
    """Bytes: peak of a run, median over seeds, on the problem that takes most."""
    provenance: Provenance
    cells: dict[str, Cell]
    """By the problem's label."""


@dataclass(frozen=True)
class Table:
    """A leaderboard with everything that its reader must be told."""

    suites: list[str]
    problems: list[Problem]
    rows: list[Row]
    """Best first; what is not ranked on top."""
    notes: list[str]
    damaged: list[Damaged]
    records: int
    """Evaluation records that the table was asked to show."""
    confidence: float
    draws: int
    baseline: str | None = None
    """The entrant that Δm is measured against."""
    chosen_baseline: bool = False
    """Whether somebody asked for that baseline; otherwise it is single-task training."""
    equal: str | None = None
    """The entrant of equal weights, which ``Row.wins`` is about; None where it takes no part, or lacks runs."""
    cost_of: str | None = None
    """The entrant whose step is 1 in ``Row.cost``; None for the cheapest."""
    rerun: list[str] = field(default_factory=list)
    """Commands that make these records again."""
