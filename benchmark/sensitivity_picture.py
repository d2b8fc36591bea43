"""Draws the score against one hyperparameter: lines with bands for a grid, dots for the trials of a search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmark.pictures import FAINT, GREY, INK, PALETTE, PAPER, page
from benchmark.records import Value
from benchmark.sensitivity import Mark, Panel

MARKERS = "os^DvPX"
COLUMNS = 3
"""Panels in one row."""


def sensitivity(panels: Sequence[Panel], heading: str, out: Path) -> None:
    """A panel a problem. Lines keep their colour and marker in every panel."""
    columns = min(len(panels), COLUMNS)
    rows = math.ceil(len(panels) / columns)
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    looks = {
        label: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], "-" if i < len(PALETTE) else "--") for i, label in enumerate(labels)
    }
    named = [label for label in labels if label]
    width = max(4.6 * columns, 6.4)
    wide = max(1, int(width / (0.6 + 0.065 * max(map(len, named), default=0))))
    height = 3.3 * rows + 0.8 + 0.2 * math.ceil(len(named) / wide)
    with page(out, width, height) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _draw(axes, panel, looks)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        figure.suptitle(heading, x=0.01, ha="left", fontweight="bold")
        notes = "\n".join(_notes(panels))
        if named:
            look = {"frameon": False, "fontsize": 8, "alignment": "left", "title_fontproperties": {"size": 7}}
            handles = [_handle(label, *looks[label]) for label in named]
            figure.legend(
                handles=handles, loc="outside lower left", ncols=min(wide, len(named)), title=notes, **look
            ).get_title().set_color(GREY)
        else:
            figure.supxlabel(notes, x=0.01, ha="left", fontsize=7, color=GREY)


def _draw(axes: Any, panel: Panel, looks: dict[str, tuple[str, str, str]]) -> None:
    marks = [mark for line in panel.lines for mark in line.marks] + panel.trials
    values = sorted({mark.value for mark in marks}, key=lambda value: (isinstance(value, str), value))
    words = any(isinstance(value, str | bool) for value in values)
    places: dict[Value, float] = {value: float(i) if words else float(value) for i, value in enumerate(values)}
    log = panel.log and not words and min(places.values()) > 0
    if log:
        axes.set_xscale("log")
    if panel.score.endswith("%"):
        axes.axhline(0.0, color=FAINT, lw=1.0, zorder=0)
    for line in panel.lines:
        _line(axes, line.marks, places, *looks[line.label], joined=not words)
    if panel.trials:
        _dots(axes, panel, places)
    _failures(axes, marks, places)
    if panel.default is not None:
        at = places.get(panel.default, None if words else float(panel.default))
        if at is not None and (at > 0 or not log):
            axes.axvline(at, color=GREY, lw=0.9, ls=":", zorder=0)
            axes.annotate(
                "default",
                (at, 1.0),
                (2, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=7,
                color=GREY,
            )
    if words or (panel.lines and len(values) <= 8):
        axes.set_xticks([places[value] for value in values], [value if isinstance(value, str) else f"{value:g}" for value in values])
        axes.minorticks_off()
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel(panel.hyperparameter.replace("_", " ") + (" (log scale)" if log else ""))
    axes.set_ylabel(f"{panel.score} (lower is better)")
    axes.margins(y=0.12)


def _line(axes: Any, marks: Sequence[Mark], places: dict[Value, float], colour: str, marker: str, style: str, *, joined: bool) -> None:
    """Means, joined where values have distances; a band where the interval is known; hollow where runs failed."""
    xs, means, lows, highs = (
        [*each] for each in zip(*((places[m.value], m.score.value, m.score.low, m.score.high) for m in marks), strict=True)
    )
    if joined:
        axes.plot(xs, means, color=colour, ls=style, lw=1.4, zorder=3)
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, lw=0, zorder=1)
    axes.vlines(xs, lows, highs, color=colour, lw=0.8, alpha=0.6, zorder=2)
    for x, mean, mark in zip(xs, means, marks, strict=True):
        axes.plot(x, mean, marker, color=PAPER if mark.failed else colour, mec=colour, mew=1.2, ms=5, ls="", zorder=4)


def _dots(axes: Any, panel: Panel, places: dict[Value, float]) -> None:
    """A dot a trial; its learning rate is its colour, where that is not what is drawn."""
    done = [mark for mark in panel.trials if not math.isnan(mark.score.value)]
    xs, ys = [places[mark.value] for mark in done], [mark.score.value for mark in done]
    rates = [mark.rate for mark in done]
    if panel.hyperparameter == "learning_rate" or len(set(rates)) < 2:
        axes.scatter(xs, ys, s=26, color=PALETTE[0], edgecolors=PAPER, linewidths=0.5, zorder=3)
        return
    from matplotlib.colors import LogNorm

    dots = axes.scatter(xs, ys, s=26, c=rates, norm=LogNorm(), cmap="viridis", edgecolors=INK, linewidths=0.4, zorder=3)
    bar = axes.figure.colorbar(dots, ax=axes, shrink=0.85, aspect=22, label="learning rate")
    bar.outline.set_visible(False)


def _failures(axes: Any, marks: Iterable[Mark], places: dict[Value, float]) -> None:
    """A cross at the upper edge where runs failed, with how many of how many."""
    failed: dict[Value, list[int]] = {}
    for mark in marks:
        if mark.failed:
            counts = failed.setdefault(mark.value, [0, 0])
            counts[0] += mark.failed
        if mark.value in failed:
            failed[mark.value][1] += mark.finished + mark.failed
    for value, (lost, ran) in failed.items():
        where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
        axes.plot(places[value], 1.0, "x", color=PALETTE[1], mew=1.8, ms=7, transform=axes.get_xaxis_transform(), clip_on=False, zorder=5)
        axes.annotate(f"{lost}/{ran}", (places[value], 1.0), (0, 5), fontsize=7, color=PALETTE[1], **where)


def _handle(label: str, colour: str, marker: str, style: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, ls=style, lw=1.4, ms=5, label=label)


def _notes(panels: Sequence[Panel]) -> list[str]:
    """What the reader must know, a line each."""
    notes = []
    seeds = sorted({mark.finished + mark.failed for panel in panels for line in panel.lines for mark in line.marks})
    if seeds:
        counted = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        band = "bands: 95 % intervals, one at a time" if seeds[-1] > 1 else "no bands: one seed has no interval"
        notes.append(f"Means over n = {counted} evaluation seeds; {band}.")
    if any(panel.score.endswith("%") for panel in panels):
        notes.append("0 is single-task training.")
    if any(panel.trials for panel in panels):
        notes.append("A dot a tuning trial (n = 1 seed, no interval); trials differ in every searched hyperparameter.")
    if any(mark.failed for panel in panels for mark in [*(m for line in panel.lines for m in line.marks), *panel.trials]):
        notes.append("Cross: failed runs of all at this value; hollow: the mean of what finished.")
    return notes
