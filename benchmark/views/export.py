"""The table for a spreadsheet and for a program: numbers are numbers, and nothing is interpreted."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.board import Table

from benchmark.views.text import printable

Line = dict[str, str | float | int | None]


def method_lines(table: Table) -> list[Line]:
    """A line an entrant with the numbers of its row, nan where there is none; all lines have the same keys."""
    lines = []
    for row in table.rows:
        line: Line = {"suite": ", ".join(table.suites), "rank": row.rank, "entrant": row.entrant, "reference": _truth(row.reference)}
        line |= {"complete": _truth(row.complete), "group": row.group, "letters": row.letters, "like_best": _truth(row.like_best)}
        for name, estimate in (("delta_m", row.delta_m), ("delta_p", row.delta_p), ("iqm", row.iqm)):
            line |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        line |= {"mean_rank": row.mean_rank, "baseline": table.baseline, "runs_finished": row.finished, "runs_expected": row.expected}
        line |= {"failures": sum(row.failures.values()), "failures_by_status": " ".join(f"{k}:{v}" for k, v in row.failures.items())}
        line |= {"wins_against": None, "wins": None, "wins_ties": None, "wins_pairs": None, "wins_p_holm": None}
        if row.wins is not None:
            won = row.wins
            line |= {"wins_against": table.equal, "wins": won.wins, "wins_ties": won.ties, "wins_pairs": won.pairs, "wins_p_holm": won.p}
        line |= {"relative_cost": row.cost, "relative_cost_of": table.cost_of or "cheapest", "passes_per_step": row.passes}
        line |= {"peak_memory_bytes": row.memory, "status": row.provenance.status, "lossbench": row.provenance.code}
        line |= {"torch": row.provenance.torch, "device": row.provenance.device}
        for label, cell in row.cells.items():
            for name, value in (("", cell.delta_m.value), ("_low", cell.delta_m.low), ("_high", cell.delta_m.high)):
                line[f"delta_m{name} {label}"] = value
        lines.append(line)
    return lines


def metric_lines(table: Table) -> list[Line]:
    """A line a metric and entrant: the mean over the seeds and its interval."""
    lines: list[Line] = []
    for problem in table.problems:
        for key, info in problem.metrics.items():
            for row in table.rows:
                cell = row.cells[problem.label]
                mean = cell.metrics[key]
                lines.append(
                    {
                        "suite": problem.suite,
                        "problem": problem.name,
                        "task": info.task,
                        "metric": key,
                        "higher_is_better": _truth(info.higher_is_better),
                        "entrant": row.entrant,
                        "complete": _truth(cell.complete),
                        "mean": mean.value,
                        "low": mean.low,
                        "high": mean.high,
                        "seeds": cell.seeds,
                    }
                )
    return lines


def as_csv(lines: Sequence[Line]) -> str:
    """One header over all lines: what a line does not have is empty."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    names = list(dict.fromkeys(name for line in lines for name in line))
    if names:
        writer.writerow([_cell(name) for name in names])
        writer.writerows([_cell(line.get(name)) for name in names] for line in lines)
    return output.getvalue()


def as_json(tables: Sequence[Table] | Sequence[Line]) -> str:
    """Everything, nan as null: one table as an object, several (or lines) as a list of them."""
    return json_of(tables[0] if len(tables) == 1 else tables)


def json_of(found: object) -> str:
    """Data as JSON that ends with a newline; <, > and & are escaped so that the text may stand inside a page's script element."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(found), indent=1).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"


def _truth(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _cell(value: str | float | int | None) -> str | float | int:
    """A spreadsheet runs text that starts like a formula, so such text is quoted; numbers are numbers, and nan is empty."""
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text
    return "" if value is None or math.isnan(value) else value
