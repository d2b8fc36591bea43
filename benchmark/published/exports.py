"""Published tables for a spreadsheet and for a program: everything that is known, a line a row or one document."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from benchmark.published.recompute import Row
from benchmark.published.views import Page, as_printed, contradicted, notes
from benchmark.views import printable

Written = Literal["csv", "json"]


def export(pages: Sequence[Page], format: Written) -> str:
    """The tables as ``csv`` (a line a row, with the name of its table) or as ``json``, a list of tables."""
    return _json([_page(page) for page in pages]) if format == "json" else _csv(pages)


def _csv(pages: Sequence[Page]) -> str:
    """A line a row of every table; numbers are numbers, what is not known is empty, and cells stand as they were printed."""
    lines: list[dict[str, object]] = []
    for page in pages:
        table = page.recount.table
        for row in page.recount.rows:
            line: dict[str, object] = {"table": table.name, "benchmark": table.title, "source": _source(page, row), "whose": "published"}
            line |= {"method": row.line.method, "reference": _truth(row.reference), "contradicted": _checked(row), "n": None}
            for name, summary in row.summaries.items():
                line |= {f"{name} printed": summary.printed and _Plain(as_printed(summary, mark=False)), name: summary.value}
                line |= {f"{name} low": summary.low, f"{name} high": summary.high}
            lines.append(line | {f"{table.benchmark} {name}": _Plain(number.text) for name, number in row.line.cells.items()})
        for each in page.ours:
            source = f"our runs of {each.problem}, suite {each.suite}"
            line = {"table": table.name, "benchmark": table.title, "source": source, "whose": "ours"}
            line |= {"method": each.entrant, "reference": _truth(each.reference), "contradicted": None, "n": each.seeds}
            for name, estimate in (("Delta_m", each.delta_m), ("Delta_p", each.delta_p)):
                line |= {name: estimate.value, f"{name} low": estimate.low, f"{name} high": estimate.high}
            lines.append(line)
    names = list(dict.fromkeys(name for line in lines for name in line))
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow([_cell(name) for name in names])
    writer.writerows([_cell(line.get(name)) for name in names] for line in lines)
    return output.getvalue()


class _Plain(str):
    """Text that is a number."""


def _cell(value: object) -> object:
    """A spreadsheet runs text that starts like a formula, so such text is quoted."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str) and not isinstance(value, _Plain):
        text = printable(value)
        return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text
    return value


def _checked(row: Row) -> str | None:
    """Whether a printed summary of the row is contradicted; None where none could be checked."""
    return _truth(contradicted(row)) if any(summary.verdict for summary in row.summaries.values()) else None


def _truth(value: bool) -> str:
    return str(value).lower()


def _source(page: Page, row: Row) -> str:
    return ", ".join(part for part in (page.recount.table.source, row.line.note) if part)


def _page(page: Page) -> Mapping[str, Any]:
    table = page.recount.table
    base = table.baseline
    rows = [
        {
            "method": row.line.method,
            "source": _source(page, row),
            "reference": row.reference,
            "contradicted": contradicted(row) if _checked(row) else None,
            "cells": {name: number.text for name, number in row.line.cells.items()},
            "summaries": {
                name: {"printed": each.printed and each.printed.text, "value": each.value, "low": each.low, "high": each.high}
                | {"verdict": each.verdict or None}
                for name, each in row.summaries.items()
            },
        }
        for row in page.recount.rows
    ]
    return {
        "table": table.name,
        "benchmark": table.benchmark,
        "network": table.network,
        "source": table.source,
        "confidence": table.confidence,
        "protocol": table.protocol,
        "metrics": table.metrics,
        "baseline": base
        and {
            "method": base.line.method,
            "source": base.source or table.source,
            "why": base.why,
            "cells": {name: number.text for name, number in base.line.cells.items()},
        },
        "rows": rows,
        "ours": page.ours,
        "notes": notes(page),
    }


def _json(data: object) -> str:
    """nan as null; <, > and & are escaped so that the text may stand inside a page's script element."""
    text = msgspec.json.format(msgspec.json.encode(data), indent=1).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026") + "\n"
