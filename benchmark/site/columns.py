"""Tables of the pages as columns of cells: what is written, what sorts it, where it leads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.runs import Problem
from benchmark.site.data import Board, Entrant, Result
from benchmark.table import Estimate, Row
from benchmark.views.text import bracket, interval, number, probability, size

Href = Callable[[str, str], str]
"""The page of an entrant on a problem."""


@dataclass(frozen=True)
class Cell:
    text: str
    sub: str = ""
    """In smaller letters: the interval."""
    key: float | str | None = None
    """Sorts; None comes last in either direction."""
    href: str = ""
    mark: str = ""
    """A style: ``bad`` or nothing."""


@dataclass(frozen=True)
class Column:
    title: str
    help: str
    cells: list[Cell]
    descending: bool = False
    """Whether large is good, so that the first click on the heading sorts that way."""
    group: str = ""
    """``all`` for columns over all problems, a problem's label for its own, nothing for columns that always stand."""
    left: bool = False


def of(estimate: Estimate, digits: int = 2, *, sign: bool = False, complete: bool = True, href: str = "") -> Cell:
    """A number with its interval; in brackets where it is of the finished runs only."""
    return Cell(bracket(number(estimate.value, digits, sign=sign), complete), interval(estimate, digits), _key(estimate.value), href)


def plain(value: float, digits: int, unit: str = "", href: str = "") -> Cell:
    return Cell(number(value, digits) + ("" if math.isnan(value) else unit), key=_key(value), href="" if math.isnan(value) else href)


def _key(value: float) -> float | None:
    return value if math.isfinite(value) else None


def leaderboard(board: Board, href: Href, method: Callable[[str], str]) -> list[Column]:
    """The columns of the leaderboard beside the entrant's name, rows in the order of the board."""
    rows = [each.row for each in board.entrants]
    led = [(each.row, method(each.name)) for each in board.entrants]
    level = f"{100 * board.table.confidence:g} %"

    def deltas(name: str) -> list[Cell]:
        found = []
        for each in board.entrants:
            estimate: Estimate = getattr(each.row, name)
            reference = Cell("reference", key=None, href=method(each.name))
            made = of(estimate, sign=True, complete=each.row.complete, href=method(each.name))
            found.append(reference if each.row.reference else made)
        return found

    columns = [
        Column(
            "Δm %",
            f"Mean change of the test metrics against single-task training, with its {level} interval; lower is better",
            deltas("delta_m"),
            group="all",
        ),
        Column("Δp %", "The same as a mean over tasks; higher is better", deltas("delta_p"), descending=True, group="all"),
        Column("IQM %", "Interquartile mean of the Δm of all runs: without the best and the worst quarter", deltas("iqm"), group="all"),
        *_wins(board, method),
        Column(
            "mean rank",
            "Over the metrics of all problems; 1 is best, ties averaged",
            [plain(row.mean_rank, 2, href=to) for row, to in led],
            group="all",
        ),
        Column(
            "n", "Runs that finished, of those expected", [_finished(each, method) for each in board.entrants], descending=True, group="all"
        ),
        Column("failed", "Failed runs by status", [_failures(each, method) for each in board.entrants], left=True),
        Column("family", "What the method needs to see", [Cell(each.family, key=each.family) for each in board.entrants], left=True),
        Column("step time", f"Over that of {board.table.cost_of or 'the cheapest'}", [plain(row.cost, 2, "×", to) for row, to in led]),
        Column("passes", "Backward passes through the trunk in a step", [plain(row.passes, 1, href=to) for row, to in led]),
        Column(
            "memory", "Peak of a run; of the process on a CPU", [Cell(size(row.memory), key=_key(row.memory), href=to) for row, to in led]
        ),
        Column("provenance", "Where the records were made, and whether anybody made them again", _sources(rows), left=True),
    ]
    for problem in board.problems:
        columns += _of_problem(board, problem, href)
    return columns


def rank(entrant: Entrant) -> Cell:
    row = entrant.row
    if row.rank is None:
        return Cell("–")
    unknown = "?" if row.complete and not math.isnan(row.delta_m.value) else ""
    return Cell(str(row.rank), row.group or unknown, float(row.rank))


def _wins(board: Board, method: Callable[[str], str]) -> list[Column]:
    equal = board.table.equal
    if equal is None:
        return []
    cells = []
    for each in board.entrants:
        duel = each.row.wins
        share = f"{duel.wins}/{duel.pairs}" if duel else ""
        cells.append(Cell(share, probability(duel.p), duel.wins / max(duel.pairs, 1), method(each.name)) if duel else Cell("–"))
    what = f"(problem, seed) pairs with a lower Δm than {equal}; p of the paired Wilcoxon test, Holm over the rows"
    return [Column(f"wins vs {equal}", what, cells, descending=True, group="all")]


def _sources(rows: list[Row]) -> list[Cell]:
    """What is the same for all rows stands in the notes."""
    one = len({row.provenance.place for row in rows}) == 1
    return [Cell(row.provenance.status, "" if one else row.provenance.place, row.provenance.status) for row in rows]


def _finished(entrant: Entrant, method: Callable[[str], str]) -> Cell:
    row = entrant.row
    text = str(row.finished) if row.finished == row.expected else f"{row.finished}/{row.expected}"
    return Cell(text, key=float(row.finished), href=method(entrant.name), mark="" if row.finished == row.expected else "bad")


def _failures(entrant: Entrant, method: Callable[[str], str]) -> Cell:
    failures = entrant.row.failures
    total = sum(failures.values())
    words = ", ".join(f"{count} {status}" for status, count in failures.items())
    return Cell(words or "0", key=float(total), href=method(entrant.name) if total else "", mark="bad" if total else "")


def _of_problem(board: Board, problem: Problem, href: Href) -> list[Column]:
    label = problem.label
    deltas, placed, seeds = [], [], []
    for each in board.entrants:
        cell, there = each.row.cells[label], href(each.name, label) if label in each.results else ""
        deltas.append(
            Cell("reference", href=there) if each.row.reference else of(cell.delta_m, sign=True, complete=cell.complete, href=there)
        )
        placed.append(plain(math.nan if each.row.rank is None else cell.mean_rank, 2, href=there))
        seeds.append(Cell(str(cell.seeds), key=float(cell.seeds), href=there, mark="" if cell.complete else "bad"))
    return [
        Column(f"Δm % on {label}", "With its interval; lower is better", deltas, group=label),
        Column(f"mean rank on {label}", "Over the metrics of this problem", placed, group=label),
        Column(f"n on {label}", "Seeds that finished", seeds, descending=True, group=label),
    ]


def metrics(board: Board, problem: Problem, href: Href) -> list[Column]:
    """The columns of a problem's page: Δm and every metric, each a mean over the seeds with its interval."""
    delta, _, seeds = _of_problem(board, problem, href)
    columns = [
        Column("Δm %", delta.help, delta.cells),
        Column("n", seeds.help, seeds.cells, descending=True),
    ]
    for key, info in problem.metrics.items():
        cells = []
        for each in board.entrants:
            cell = each.row.cells[problem.label]
            there = href(each.name, problem.label) if problem.label in each.results else ""
            cells.append(of(cell.metrics[key], 4, complete=cell.complete, href=there))
        direction = "higher" if info.higher_is_better else "lower"
        owner = f"{info.task}: " if info.task is not None and info.task not in key else ""
        what = f"Test split, mean over the seeds; {direction} is better" + (
            "" if info.compared and info.task is not None else "; not in Δm"
        )
        columns.append(Column(f"{owner}{key} {'↑' if info.higher_is_better else '↓'}", what, cells, descending=info.higher_is_better))
    return columns


def of_method(entrant: Entrant, problems: list[Problem], href: Href) -> list[Column]:
    """The columns of a method's page beside the problem's name."""
    cells = [entrant.row.cells[problem.label] for problem in problems]
    there = [href(entrant.name, problem.label) if problem.label in entrant.results else "" for problem in problems]
    if entrant.row.reference:
        deltas = gains = [Cell("reference", href=link) for link in there]
    else:
        deltas, gains = (
            [of(getattr(c, name), sign=True, complete=c.complete, href=link) for c, link in zip(cells, there, strict=True)]
            for name in ("delta_m", "delta_p")
        )
    return [
        Column("Δm %", "Against single-task training, with its interval; lower is better", deltas),
        Column("Δp %", "The same as a mean over tasks; higher is better", gains, descending=True),
        Column(
            "mean rank",
            "Over the metrics of the problem",
            [plain(math.nan if entrant.row.rank is None else c.mean_rank, 2, href=to) for c, to in zip(cells, there, strict=True)],
        ),
        Column(
            "n",
            "Seeds that finished",
            [
                Cell(str(c.seeds), key=float(c.seeds), href=link, mark="" if c.complete else "bad")
                for c, link in zip(cells, there, strict=True)
            ],
            descending=True,
        ),
        Column(
            "records",
            "Runs behind the numbers, failures included",
            [_records(entrant.results.get(p.label), t) for p, t in zip(problems, there, strict=True)],
        ),
    ]


def _records(result: Result | None, href: str) -> Cell:
    return Cell(str(len(result.trials)), key=float(len(result.trials)), href=href) if result else Cell("0", key=0.0, mark="bad")
