"""Figures of training: losses, weights and conflicts over the steps, and where runs ended. Numbers in, JSON for plotly out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmark.runs import Problem
from benchmark.site.courses import Band
from benchmark.site.data import Board, Entrant, Result
from benchmark.site.figures import band, line
from benchmark.site.marks import MUTED, Figure, Trace, colour, error_bars, figure, interval, log_scale, symbol, text

SMALL = 300
"""Pixels of one of several figures beside each other."""
TITLE = 60
"""Characters of a foreign name in the title of an axis."""


def losses(board: Board, label: str, which: str) -> list[tuple[str, Figure]]:
    """A figure a task with a line an entrant: ``which`` is ``validation`` or ``training``. With each the task's name."""
    problem = next(each for each in board.problems if each.label == label)
    found = []
    for index, task in enumerate(problem.tasks):
        lines = []
        for each in board.entrants:
            bands: list[Band | None] = getattr(each.results[label].course, which) if label in each.results else []
            band_of = bands[index] if index < len(bands) else None
            if band_of is not None:
                lines.append((each.style, each.name, band_of))
        if lines:
            note = f"{which.capitalize()} loss of task {task} over the steps, mean over the seeds with its interval."
            found.append((task, _lines(lines, f"{which} loss", note)))
    return found


def metrics(board: Board, label: str) -> list[tuple[str, Figure]]:
    """A figure a metric of the validation split with a line an entrant. With each the metric's name and which way is better."""
    problem = next(each for each in board.problems if each.label == label)
    found = []
    for key, info in problem.metrics.items():
        bands = ((each, each.results[label].course.metrics.get(key)) for each in board.entrants if label in each.results)
        lines = [(each.style, each.name, band_of) for each, band_of in bands if band_of is not None]
        if lines:
            better = "higher" if info.higher_is_better else "lower"
            note = f"{key} on the validation split over the steps, {better} is better, mean over the seeds with its interval."
            found.append((f"{key} {'↑' if info.higher_is_better else '↓'}", _lines(lines, "validation metric", note)))
    return found


def _lines(lines: Sequence[tuple[int, str, Band]], title: str, label: str) -> Figure:
    """Bands over the steps by style and name, on a logarithmic axis where they need one."""
    values = [value for _, _, found in lines for value in found.mean if value is not None]
    y: dict[str, Any] = {"title": {"text": title}}
    floor = None
    if log_scale(values):
        floor = 0.7 * min(values)  # an interval that reaches zero has no end on this axis
        decades = math.log10(max(values) / floor)
        y |= {"type": "log", "exponentformat": "power", "dtick": "D2" if decades < 2 else math.ceil(decades / 6)}
    traces = [trace for style, name, found in lines for trace in _band_and_line(found, style, name, floor)]
    return figure(traces, {"xaxis": {"title": {"text": "step"}}, "yaxis": y}, SMALL, label)


def _band_and_line(found: Band, style: int, name: str, floor: float | None = None) -> list[Trace]:
    hover = f"step %{{x}}: %{{y:.4g}}<br>mean of {found.seeds} seed{'s' if found.seeds > 1 else ''}"
    low, high = ([None if value is None else max(value, floor) if floor else value for value in bound] for bound in (found.low, found.high))
    return [band(found.steps, low, high, style, name), line(found.steps, found.mean, style, name, hover)]


def weights(result: Result) -> Figure | None:
    """The weights of the tasks while an entrant trained on a problem: a line a task."""
    known = [(index, found) for index, found in enumerate(result.course.weights) if found is not None]
    if not known:
        return None
    drawn = _lines([(index, result.problem.tasks[index], found) for index, found in known], "weight", "")
    ends = ", ".join(f"{result.problem.tasks[i]} {found.mean[-1]:.3g}" for i, found in known if found.mean[-1] is not None)
    drawn["label"] = f"Weights of {len(known)} tasks on {result.problem.label} over the steps; at the end: {ends}."
    drawn["layout"]["showlegend"] = True
    return drawn


def conflicts(entrant: Entrant, which: str) -> Figure | None:
    """Gradient cosine (``cosine``) or share of conflicting pairs (``conflicts``) while training: a line a problem."""
    title = {"cosine": "mean cosine of two tasks' gradients", "conflicts": "share of pairs that conflict"}[which]
    traces: list[Trace] = []
    for index, (label, result) in enumerate(entrant.results.items()):
        found: Band | None = getattr(result.course, which)
        if found is not None:
            traces += _band_and_line(found, index, label)
            # problems have different numbers of steps: all are drawn as shares of their training
            for trace in traces[-2:]:
                trace["x"] = [round(step / found.steps[-1], 4) for step in trace["x"]]
            traces[-1]["hovertemplate"] = "<b>%{fullData.name}</b><br>%{x:.0%} of training: %{y:.3f}<extra></extra>"
    if not traces:
        return None
    layout: dict[str, object] = {
        "xaxis": {"title": {"text": "share of training done"}, "tickformat": ".0%"},
        "yaxis": {
            "title": {"text": title},
            "zeroline": True,
            **({"tickformat": ".0%", "range": [-0.03, 1.03]} if which == "conflicts" else {}),
        },
        "showlegend": True,
    }
    return figure(traces, layout, 380, f"{title.capitalize()} over training, {len(traces) // 2} problems.")


def trade_off(board: Board, label: str) -> Figure | None:
    """Where runs ended in the plane of two tasks: losses against the front where it is known, else one metric of each; else None."""
    problem = next(each for each in board.problems if each.label == label)
    if label in board.fronts:
        return _ends(board, problem, board.fronts[label])
    firsts: dict[str, str] = {}
    for key, info in problem.metrics.items():
        if info.task is not None and info.compared:
            firsts.setdefault(info.task, key)
    return _metrics(board, problem, *firsts.values()) if len(problem.tasks) == len(firsts) == 2 else None


def _ends(board: Board, problem: Problem, pieces: Sequence[Sequence[tuple[float, float]]]) -> Figure | None:
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front",
            "x": [x for x, _ in piece],
            "y": [y for _, y in piece],
            "line": {"color": MUTED, "width": 4},
            "hoverinfo": "skip",
            "legendgroup": "front",
            "showlegend": index == 0,
        }
        for index, piece in enumerate(pieces)
    ]
    for each in board.entrants:
        result = each.results.get(problem.label)
        if result and result.course.ends:
            ends = result.course.ends
            traces.append(_dots([end[0] for end in ends], [end[1] for end in ends], each, "L1 %{x:.4g}, L2 %{y:.4g}"))
    axes = [{"title": {"text": f"loss of {text(task, TITLE)}"}} for task in problem.tasks]
    note = f"Where every run on {problem.label} ended, in the plane of its two losses, and the Pareto front."
    return figure(traces, {"xaxis": axes[0], "yaxis": axes[1]}, 460, note) if len(traces) > len(pieces) else None


def _metrics(board: Board, problem: Problem, first: str, second: str) -> Figure | None:
    traces: list[Trace] = []
    for each in board.entrants:
        means = each.row.cells[problem.label].metrics
        a, b = means[first], means[second]
        if math.isfinite(a.value) and math.isfinite(b.value):
            trace = _dots([a.value], [b.value], each, "%{customdata}")
            trace |= {
                "error_x": {**error_bars([a.value], [a.low], [a.high]), "color": f"{colour(each.style)}/0.5"},
                "error_y": {**error_bars([b.value], [b.low], [b.high]), "color": f"{colour(each.style)}/0.5"},
                "customdata": [f"{interval(a.value, a.low, a.high, 4)}<br>{interval(b.value, b.low, b.high, 4)}"],
            }
            traces.append(trace)
    axes = [{"title": {"text": f"{text(key, TITLE)}, {_better(problem, key)} is better"}} for key in (first, second)]
    note = f"{first} against {second} on {problem.label}: means over the seeds with their intervals, test split."
    return figure(traces, {"xaxis": axes[0], "yaxis": axes[1]}, 460, note) if traces else None


def _dots(x: Sequence[float], y: Sequence[float], entrant: Entrant, hover: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(entrant.name),
        "x": list(x),
        "y": list(y),
        "marker": {"symbol": symbol(entrant.style), "size": 9, "color": colour(entrant.style)},
        "hovertemplate": f"<b>%{{fullData.name}}</b><br>{hover}<extra></extra>",
        "meta": {"entrant": entrant.style},
    }


def _better(problem: Problem, key: str) -> str:
    return "higher" if problem.metrics[key].higher_is_better else "lower"
