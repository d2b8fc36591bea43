"""Verdicts on a terminal, as Markdown and as JSON. Texts come from files and records, so none is ever interpreted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import msgspec

from benchmark.published.views import Drawn, Grid, draw
from benchmark.reproduction import Experiment
from benchmark.reproduction_verdict import Number, Outcome

SIGNS: dict[str, str] = {
    "matched": "✓",
    "not matched": "✗",
    "contradicted": "≠",
    "undetermined": "~",
    "undefined": "·",
    "failed": "!",
    "not run": "?",
}
_MANY = 12
"""Cells whose verdict is explained below a table; more are counted, and are in the JSON."""


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many cells are what, in one line; what is not the source's is counted apart."""
    counted, apart = (_in_words(_counts(outcomes, apart)) for apart in (False, True))
    return f"{counted}; counted apart: {apart}" if any(outcome.apart for outcome in outcomes) else counted


def _counts(outcomes: Sequence[Outcome], apart: bool) -> dict[str, int]:
    found: Counter[str] = Counter(outcome.verdict for outcome in outcomes if outcome.apart is apart)
    return {word: found[word] for word in SIGNS}


def _in_words(counts: dict[str, int]) -> str:
    rest = [f"{count} {word}" for word, count in counts.items() if count and word != "matched"]
    compared = sum(counts.values()) - counts["undefined"]
    return ", ".join([f"{counts['matched']} of {compared} cells matched", *rest])


def render(experiment: Experiment, outcomes: Sequence[Outcome], format: Drawn = "table", *, width: int = 100, colour: bool = False) -> str:
    """The tables of an experiment one after another, each with its sources and what is to be said of its cells."""
    grids = [_grid(group, list(members)) for group, members in groupby(outcomes, key=lambda outcome: outcome.group)]
    told = experiment.told
    lines = [f"{experiment.title} ({experiment.name}): {summary(outcomes)}.", *told.differs]
    lines += [f"Tolerance: {_ended(tolerance.reason)}" for tolerance in told.tolerances.values()]
    signs = {outcome.verdict for outcome in outcomes}
    lines.append(
        ", ".join(f"{SIGNS[word]} {word}" for word in SIGNS if word in signs) + "; [low, high]: 95 % interval over n seeds, Student's t."
    )
    return draw(grids, lines, format, width=width, colour=colour)


def as_json(experiment: Experiment, outcomes: Sequence[Outcome]) -> str:
    """Everything, one object; numbers that do not exist are null."""
    cells: list[dict[str, Any]] = [{**asdict(each), "ours": [_finite(number) for number in each.ours]} for each in outcomes]
    document = {
        "name": experiment.name,
        "title": experiment.title,
        "counts": _counts(outcomes, False),
        "counts_apart": _counts(outcomes, True),
        "differs": experiment.told.differs,
        "tolerances": {name: tolerance.reason for name, tolerance in experiment.told.tolerances.items()},
        "cells": cells,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def _finite(number: Number) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in asdict(number).items()}


def _grid(title: str, members: Sequence[Outcome]) -> Grid:
    """A row a method and a column a cell; claims have a line each."""
    claims = all(outcome.printed.startswith(("below ", "above ")) for outcome in members)
    header, rows = _claims(members) if claims else _cells(members)
    lines = [f"From: {_ended(source)}" for source in dict.fromkeys(outcome.source for outcome in members)]
    told = _explained(members, claims)
    left = len(told) - _MANY
    lines += [*told[:_MANY], f"{left} more are in --format json."] if left > 0 else told
    return Grid(title, header, rows, [""] * len(rows), lines)


def _claims(members: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [each.row, "; ".join(_number(number) for number in each.ours), each.said, f"{SIGNS[each.verdict]} {each.verdict}"]
        for each in members
    ]
    return ["claim", "ours", "evidence", "verdict"], rows


def _cells(members: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """What a row lacks is empty."""
    columns = list(dict.fromkeys(outcome.column for outcome in members))
    found: dict[str, dict[str, Outcome]] = {}
    for outcome in members:
        found.setdefault(outcome.row, {})[outcome.column] = outcome
    rows = [[row, *(_cell(cells[column]) if column in cells else "" for column in columns)] for row, cells in found.items()]
    return ["method", *(column or f"mean of {', '.join(members[0].metrics)}" for column in columns)], rows


def _cell(outcome: Outcome) -> str:
    """The sign and ours."""
    shown = ", ".join(_number(number) for number in outcome.ours)
    if outcome.printed == "stuck" and outcome.verdict == "matched":
        shown = f"stuck ({shown})"
    return f"{SIGNS[outcome.verdict]} {shown}".rstrip()


def _number(number: Number) -> str:
    """In at most two digits behind the point where it is no small number."""
    digits = 2 if abs(number.value) >= 0.995 else 3
    text = f"{number.value:.{digits}f}"
    if math.isnan(number.low):
        return text
    return f"{text} [{number.low:.{digits}f}, {number.high:.{digits}f}] n={number.n}"


def _explained(members: Sequence[Outcome], claims: bool) -> list[str]:
    """Of the cells that are not matched: what is printed, what was compared, and why ours differs; what is said of several is said once."""
    alike: dict[tuple[str, ...], list[Outcome]] = {}
    for each in members:
        if each.verdict == "matched":
            continue
        printed = "" if claims or each.verdict == "undefined" else f"printed {each.printed}; "
        alike.setdefault((each.row if printed else "", each.verdict, f"{printed}{_ended(each.said)}", each.note), []).append(each)
    lines = []
    for (_, verdict, said, note), cells in alike.items():
        rows = list(dict.fromkeys(cell.row for cell in cells))
        columns = list(dict.fromkeys(cell.column for cell in cells if cell.column and not claims))
        where = ", ".join([*rows, *(columns if len(rows) == 1 else [])])
        lines.append(f"{SIGNS[verdict]} {where}: {said} {note[:1].upper()}{note[1:]}".rstrip())
    return lines


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
