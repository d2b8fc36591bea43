"""Figures of a whole leaderboard: numbers in, JSON for plotly out (:mod:`benchmark.site.marks`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.site.data import Board, Entrant
from benchmark.site.marks import (
    ACCENT,
    INK,
    MUTED,
    Figure,
    Scale,
    Trace,
    colour,
    dash,
    error_bars,
    figure,
    interval,
    of_rows,
    symbol,
    text,
)
from benchmark.table import Estimate


def change(board: Board, label: str | None = None) -> Figure | None:
    """Δm of every ranked entrant with its interval, of all problems or of one; None where there is nothing to draw."""
    found = [
        (each, each.row.delta_m if label is None else each.row.cells[label].delta_m) for each in board.entrants if not each.row.reference
    ]
    shown = [(each, delta) for each, delta in found if math.isfinite(delta.value)]
    if label is not None:
        shown.sort(key=lambda pair: (not pair[0].row.cells[label].complete, pair[1].value))
    if not shown:
        return None
    ends = [end for _, delta in shown for end in (delta.value, delta.low, delta.high) if math.isfinite(end)]
    scale = Scale.of(ends)
    groups: dict[str, list[int]] = {}
    for place, (each, _) in enumerate(shown):
        groups.setdefault(_kind(each, label), []).append(place)
    looks = {
        "not separable from the best": ("circle", ACCENT),
        "separable from the best": ("diamond", "@1"),
        "with its interval": ("circle", ACCENT),
        "some runs failed or are missing": ("circle-open", MUTED),
    }
    traces = [
        _points([shown[place] for place in groups[kind]], groups[kind], scale, kind, *looks[kind]) for kind in looks if kind in groups
    ]
    axis = scale.axis(ends, "Δm %, lower is better")
    best = shown[0]
    where = f" on {label}" if label else ""
    spans = [tuple(scale(d.value if math.isnan(end) else end) for end in (d.low, d.high)) for _, d in shown]
    return of_rows(
        traces,
        [each.name for each, _ in shown],
        [(low, high) for low, high in spans],
        {"xaxis": axis},
        f"Δm with its interval{where}, {len(shown)} methods, best first: {best[0].name} at {best[1].value:+.2f} %.",
    )


def _kind(entrant: Entrant, label: str | None) -> str:
    complete = entrant.row.complete if label is None else entrant.row.cells[label].complete
    if not complete:
        return "some runs failed or are missing"
    if label is not None or entrant.row.like_best is None:
        return "with its interval"
    return "not separable from the best" if entrant.row.like_best else "separable from the best"


def _points(shown: Sequence[tuple[Entrant, Estimate]], places: Sequence[int], scale: Scale, name: str, mark: str, tint: str) -> Trace:
    values, lows, highs = ([scale(getattr(delta, end)) for _, delta in shown] for end in ("value", "low", "high"))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": values,
        "y": list(places),
        "error_x": {**error_bars(values, lows, highs), "color": tint},
        "marker": {"symbol": mark, "size": 8, "color": tint},
        "text": [f"{text(each.name)}<br>Δm {interval(d.value, d.low, d.high)} %<br>n = {each.row.finished} runs" for each, d in shown],
        "hovertemplate": "%{text}<extra></extra>",
    }


def ranks(names: Sequence[str], mean_ranks: Sequence[float], difference: float, p: float) -> Figure:
    """Critical difference: mean ranks ± half of it, so that two whose bars do not meet differ (Nemenyi; Demšar 2006).

    Args:
        names: of the entrants.
        mean_ranks: theirs, 1 being the best.
        difference: the critical one, in ranks.
        p: of Friedman's test that all are alike.
    """
    order = sorted(range(len(names)), key=lambda index: mean_ranks[index])
    best = mean_ranks[order[0]]
    like = [mean_ranks[index] - best <= difference for index in order]
    traces: list[Trace] = []
    for name, alike, mark, tint in (
        ("not separable from the best", True, "circle", ACCENT),
        ("separable from the best", False, "diamond", "@1"),
    ):
        places = [place for place, each in enumerate(like) if each == alike]
        values = [mean_ranks[order[place]] for place in places]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": values,
                "y": places,
                "error_x": {"type": "constant", "value": difference / 2, "thickness": 3, "width": 0, "color": f"{tint}/0.55"},
                "marker": {"symbol": mark, "size": 9, "color": tint},
                "text": [f"{text(names[order[place]])}<br>mean rank {mean_ranks[order[place]]:.2f}" for place in places],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    reach = {"type": "rect", "xref": "x", "yref": "paper", "x0": best - difference / 2, "x1": best + difference / 2, "y0": 0, "y1": 1}
    return of_rows(
        [trace for trace in traces if trace["x"]],
        [names[index] for index in order],
        [(mean_ranks[index] - difference / 2, mean_ranks[index] + difference / 2) for index in order],
        {
            "xaxis": {"title": {"text": f"mean rank ± CD/2, CD = {difference:.2f}, Friedman p = {p:.2g}"}, "zeroline": False},
            "shapes": [{**reach, "fillcolor": f"{ACCENT}/0.08", "line": {"width": 0}, "layer": "below"}],
        },
        f"Critical-difference diagram of {len(names)} methods: best mean rank {best:.2f} of {names[order[0]]}, "
        f"critical difference {difference:.2f}, Friedman's p {p:.2g}, {sum(like)} not separable from the best.",
    )


def cost(board: Board) -> Figure | None:
    """Quality against the time of a step; the line joins those that nobody beats in both."""
    shown = [each for each in board.entrants if each.row.rank is not None and math.isfinite(each.row.delta_m.value) and each.row.cost > 0]
    if not shown:
        return None
    changes = [each.row.delta_m.value for each in shown]
    scale = Scale.of(changes)
    front: list[Entrant] = []
    for each in sorted(shown, key=lambda one: (one.row.cost, one.row.delta_m.value)):
        if each.row.complete and (not front or each.row.delta_m.value < front[-1].row.delta_m.value):
            front.append(each)
    others = [each for each in shown if each not in front]
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [each.row.cost for each in group],
            "y": [scale(each.row.delta_m.value) for each in group],
            "marker": {"symbol": mark, "size": 9, "color": tint, "line": {"width": 1, "color": "@paper"}},
            "text": [f"{text(each.name)}<br>Δm {each.row.delta_m.value:+.2f} %<br>step time {each.row.cost:.2f} times" for each in group],
            "hovertemplate": "%{text}<extra></extra>",
        }
        for name, group, mark, tint in (
            ("beaten in both", [each for each in others if each.row.complete], "circle", MUTED),
            ("some runs failed or are missing", [each for each in others if not each.row.complete], "circle-open", MUTED),
        )
        if group
    ]
    if front:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers+text",
                "name": "Pareto line: nobody beats it in both",
                "x": [each.row.cost for each in front],
                "y": [scale(each.row.delta_m.value) for each in front],
                "line": {"shape": "hv", "color": ACCENT, "width": 2},
                "marker": {"symbol": "diamond", "size": 11, "color": ACCENT},
                "textposition": "top right",
                "textfont": {"color": INK},
                "text": [text(each.name, LABEL) for each in front],
                "customdata": [f"Δm {each.row.delta_m.value:+.2f} %<br>step time {each.row.cost:.2f} times" for each in front],
                "hovertemplate": "%{text}<br>%{customdata}<extra></extra>",
                "cliponaxis": False,
            }
        )
    names = ", ".join(each.name for each in front) or "none is complete"
    return figure(
        traces,
        {
            "xaxis": {
                "title": {"text": "time of a step"},
                "type": "log",
                "tickvals": [1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100],
            },
            "yaxis": scale.axis(changes, "Δm %, lower is better"),
        },
        440,
        f"Δm against the time of a step, {len(shown)} methods. On the Pareto line, cheapest first: {names}.",
    )


LABEL = 16


def profiles(
    names: Sequence[str],
    styles: Sequence[int],
    thresholds: Sequence[float],
    share: Sequence[Sequence[float]],
    low: Sequence[Sequence[float]],
    high: Sequence[Sequence[float]],
) -> Figure:
    """Performance profiles: the share of an entrant's runs at or below each Δm, with its interval (Agarwal et al. 2021).

    Args:
        names, styles: of the entrants.
        thresholds: of Δm %.
        share, low, high: [entrants][thresholds].
    """
    scale = Scale.of(thresholds)
    x = [scale(value) for value in thresholds]
    traces: list[Trace] = []
    for name, style, *bounds in zip(names, styles, share, low, high, strict=True):
        middle, under, over = ([round(value, 4) for value in bound] for bound in bounds)
        traces += [band(x, under, over, style, name), line(x, middle, style, name, "Δm ≤ %{customdata:.4g} %: %{y:.0%}")]
        traces[-1] |= {"customdata": [float(f"{value:.4g}") for value in thresholds], "mode": "lines"}
    return figure(
        traces,
        {
            "xaxis": {**scale.axis(thresholds, "Δm %"), "zeroline": True},
            "yaxis": {"title": {"text": "share of runs at or below"}, "tickformat": ".0%", "range": [-0.02, 1.02]},
        },
        440,
        f"Performance profiles of {len(names)} methods: the share of runs at or below each Δm; higher and further left is better.",
    )


def line(x: Sequence[float], y: Sequence[float | None], style: int, name: str, hover: str) -> Trace:
    """An entrant's line; ``meta`` tells the page whose it is."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": text(name),
        "x": list(x),
        "y": list(y),
        "line": {"color": colour(style), "dash": dash(style), "width": 2},
        "marker": {"symbol": symbol(style), "size": 6, "color": colour(style), "maxdisplayed": 8},
        "hovertemplate": f"<b>%{{fullData.name}}</b><br>{hover}<extra></extra>",
        "meta": {"entrant": style},
    }


def band(x: Sequence[float], low: Sequence[float | None], high: Sequence[float | None], style: int, name: str) -> Trace:
    """The interval around a line, as one closed shape; where there is no interval, nothing."""
    known = [(a, b, c) for a, b, c in zip(x, low, high, strict=True) if b is not None and c is not None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": text(name),
        "x": [a for a, _, _ in known] + [a for a, _, _ in reversed(known)],
        "y": [c for _, _, c in known] + [b for _, b, _ in reversed(known)],
        "fill": "toself",
        "fillcolor": f"{colour(style)}/0.14",
        "line": {"width": 0, "color": colour(style)},
        "hoverinfo": "skip",
        "showlegend": False,
        "meta": {"entrant": style},
    }
