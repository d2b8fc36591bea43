"""What all figures share: how an entrant looks, how text and numbers are put into them.

A figure is plain JSON for plotly. A colour in it is a token, ``@3`` or ``@ink/0.2`` (with its opacity), which the page replaces by the
colour of its theme; so one figure serves light and dark. Colours are never the only difference: markers and dashes go with them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.views import printable

Figure = dict[str, Any]
Trace = dict[str, Any]

COLOURS = 7
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px,2px,2px,2px,2px,2px")
LONGEST = 26
"""Characters of a name beside an axis; hovering shows all of it."""

INK, MUTED, ACCENT = "@ink", "@muted", "@0"
FRAME, ROW, FOLDED, FEWEST = 96, 21, 20, 3
"""Pixels around the rows of a figure and of one row; rows that are shown of many; rows that there is room for even if there are fewer."""


def colour(style: int) -> str:
    return f"@{style % COLOURS}"


def symbol(style: int) -> str:
    return SYMBOLS[style % COLOURS]


def dash(style: int) -> str:
    return DASHES[style // COLOURS % len(DASHES)]


def text(name: str, longest: int | None = None) -> str:
    """Foreign text for a figure, which takes some tags for markup: as it is, on one line, its middle left out beyond ``longest``."""
    plain = printable(name)
    if longest is not None and len(plain) > longest:
        plain = f"{plain[: longest * 2 // 3]}…{plain[-(longest // 3) :]}"
    return html.escape(plain, quote=False)


def figure(data: list[Trace], layout: dict[str, Any], height: int, label: str) -> Figure:
    """``label`` is what is said of it to who does not see it."""
    return {"data": data, "layout": layout, "height": height, "label": printable(label), "fold": None}


def of_rows(traces: list[Trace], names: Sequence[str], spans: Sequence[tuple[float, float]], layout: dict[str, Any], label: str) -> Figure:
    """A figure of one row a name, the first on top. Of many rows the first are shown, until the reader asks for all.

    Args:
        traces: their y is the row.
        names: of the rows.
        spans: lowest and highest x of each row.
        layout: without the axis of the rows.
        label: see :func:`figure`.
    """
    made = figure(traces, {**layout, "yaxis": rows_axis(names)}, FRAME + ROW * max(len(names), FEWEST), label)
    if len(names) > FOLDED + 5:
        low, high = min(low for low, _ in spans[:FOLDED]), max(high for _, high in spans[:FOLDED])
        room = 0.04 * (high - low or 1.0)
        made["fold"] = {"height": FRAME + ROW * FOLDED, "rows": [FOLDED - 0.4, -0.6], "x": [low - room, high + room], "count": len(names)}
    return made


def rows_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of one row a name, the first on top. Rows are numbers: names from anywhere are no coordinates."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [text(name, LONGEST) for name in names],
        "range": [len(names) - 0.4, -0.6],
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
        "fixedrange": True,
    }


def error_bars(values: Sequence[float], lows: Sequence[float], highs: Sequence[float], width: int = 0) -> dict[str, Any]:
    """Asymmetric; none where there is no interval."""
    reach = [(0.0, 0.0) if math.isnan(low) else (high - value, value - low) for value, low, high in zip(values, lows, highs, strict=True)]
    return {"type": "data", "array": [up for up, _ in reach], "arrayminus": [down for _, down in reach], "thickness": 1.6, "width": width}


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    if math.isnan(value):
        return "n/a"
    return f"{value:.{digits}f}" + ("" if math.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]")


def log_scale(values: Iterable[float | None]) -> bool:
    """Whether these are better read on a logarithmic axis: positive, and of more than one order of magnitude."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) / min(known) > 20


@dataclass(frozen=True)
class Scale:
    """Where a change in percent is drawn: as it is, or (where a few rows are far from all others) at ``asinh(value / unit)``."""

    unit: float | None = None

    @classmethod
    def of(cls, values: Iterable[float]) -> Scale:
        sizes = sorted(abs(value) for value in values if math.isfinite(value))
        middle = sizes[len(sizes) // 2] if sizes else 0.0
        if not sizes or middle == 0.0 or sizes[-1] <= 6 * middle:
            return cls()
        return cls(10.0 ** round(math.log10(middle)))

    def __call__(self, value: float) -> float:
        return value if self.unit is None else math.asinh(value / self.unit)

    def axis(self, values: Iterable[float], title: str) -> dict[str, Any]:
        known = [value for value in values if math.isfinite(value)]
        if self.unit is None or not known:
            return {"title": {"text": title}, "zeroline": True}
        # more than fit: the page leaves out those that would touch
        steps = [0.0, *(sign * factor * self.unit * 10.0**power for sign in (1, -1) for factor in (1, 2, 5) for power in range(-1, 6))]
        ticks = sorted(tick for tick in steps if min(known) * 1.2 <= tick <= max(known) * 1.2 or tick == 0.0)
        return {
            "title": {"text": f"{title}, compressed scale"},
            "tickvals": [self(tick) for tick in ticks],
            "ticktext": [f"{tick:+g}" if tick else "0" for tick in ticks],
            "zeroline": True,
        }
