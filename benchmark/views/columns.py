"""The columns of the leaderboard: what each is called, shows and is sorted by."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.views.text import bracket, duel, interval, number, size

if TYPE_CHECKING:
    from benchmark.board import Row, Table


def _always(table: Table) -> bool:
    return True


def _has_equal(table: Table) -> bool:
    return table.equal is not None


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    """What ``--sort`` calls it; empty where it belongs to the one before."""
    header: Callable[[Table], str]
    text: Callable[[Row, Table], str]
    key: Callable[[Row], float | str] = lambda row: row.entrant
    """Smaller is further up; nan is no number and comes after every number."""
    shown: Callable[[Table], bool] = _always
    optional: bool = False
    """Whether a narrow page leaves it out."""
    left: bool = False
    """Whether it is text, and aligned as such."""


def _titled(text: str) -> Callable[[Table], str]:
    return lambda table: text


def _place(row: Row, table: Table) -> str:
    if row.rank is None:
        return "-"
    if row.group:
        return f"{row.rank} {row.group}"
    return f"{row.rank} ?" if row.complete and not math.isnan(row.delta_m.value) else str(row.rank)


def _seeds(row: Row, table: Table) -> str:
    if row.finished != row.expected:
        return f"{row.finished}/{row.expected}"
    seeds = sorted({cell.seeds for cell in row.cells.values()})
    return f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"


def _failures(row: Row, table: Table) -> str:
    return ", ".join(f"{count} {status}" for status, count in row.failures.items()) or "0"


def _cost(row: Row, table: Table) -> str:
    return bracket(number(row.cost, 2) + ("" if math.isnan(row.cost) else "x"), row.complete)


def _wins(row: Row, table: Table) -> str:
    if row.wins is None:
        return "-" if row.rank is None or row.entrant == table.equal else ""
    return duel(row.wins)


def _source(row: Row, table: Table) -> str:
    """What is the same for all rows stands below the table, and not in every line of it."""
    one = len({each.provenance.place for each in table.rows}) == 1
    return row.provenance.status if one else f"{row.provenance.status}: {row.provenance.place}"


def _share(row: Row) -> float:
    return -row.wins.wins / max(row.wins.pairs, 1) if row.wins is not None else math.nan


COLUMNS = (
    Column("method", _titled("method"), lambda row, table: row.entrant, left=True),
    Column("rank", _titled("rank"), _place, lambda row: math.nan if row.rank is None else row.rank, left=True),
    Column(
        "dm",
        _titled("Δm %"),
        lambda row, table: "reference" if row.reference else bracket(number(row.delta_m.value, 2, sign=True), row.complete),
        lambda row: row.delta_m.value,
    ),
    Column("", _titled("[low, high]"), lambda row, table: "" if row.reference else interval(row.delta_m, 2)),
    Column(
        "dp",
        _titled("Δp %"),
        lambda row, table: "" if row.reference else bracket(number(row.delta_p.value, 2, sign=True), row.complete),
        lambda row: -row.delta_p.value,
    ),
    Column("mr", _titled("mean rank"), lambda row, table: number(row.mean_rank, 2), lambda row: row.mean_rank),
    Column("n", _titled("n"), _seeds, lambda row: -row.finished),
    Column("failed", _titled("failed"), _failures, lambda row: sum(row.failures.values()), left=True),
    Column(
        "iqm",
        _titled("IQM %"),
        lambda row, table: "" if not row.complete else number(row.iqm.value, 2, sign=True),
        lambda row: row.iqm.value,
    ),
    Column("", _titled("IQM [low, high]"), lambda row, table: interval(row.iqm, 2), optional=True),
    Column("wins", lambda table: f"wins vs {table.equal}", _wins, _share, shown=_has_equal, left=True),
    Column("cost", _titled("cost"), _cost, lambda row: row.cost),
    Column("passes", _titled("passes"), lambda row, table: bracket(number(row.passes, 1), row.complete), lambda row: row.passes),
    Column("memory", _titled("memory"), lambda row, table: bracket(size(row.memory), row.complete), lambda row: row.memory),
    Column("provenance", _titled("provenance"), _source, lambda row: f"{row.provenance.status} {row.provenance.place}", left=True),
)

SORTABLE = [column.name for column in COLUMNS if column.name]


def arranged(table: Table, name: str) -> Table:
    """The table with its rows in the order of a column, best first.

    What the others are measured against stays on top and incomplete rows stay below complete ones: a failure never improves a row. Ranks
    are those of Δm. Equal rows keep their order.
    """
    column = next(column for column in COLUMNS if column.name == name)

    def key(row: Row) -> tuple[bool, bool, bool, float | str]:
        value = column.key(row)
        unknown = isinstance(value, float) and math.isnan(value)
        return row.rank is not None, row.rank is not None and not row.complete, unknown, 0.0 if unknown else value

    return replace(table, rows=sorted(table.rows, key=key))
