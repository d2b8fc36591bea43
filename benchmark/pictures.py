"""Draws panels (:mod:`tasks.gallery`) to a file. matplotlib is imported here alone, when something is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.errors import UsageError
from tasks.gallery import Confusion, Curves, Panel, Picture, Scatter, Trajectory
from tasks.known_front import hypervolume

if TYPE_CHECKING:
    from benchmark.table import Table

INK, PAPER, FAINT, GREY = "#1a1a1a", "#ffffff", "#d9d9d9", "#666666"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe & Ito's, which colour-blind readers can tell apart."""

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "lossbench",
}
ENDINGS = (".png", ".svg", ".pdf")
WIDEST = 8
"""Panels in one line; a longer row goes on in the next."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of panels under one heading."""

    heading: str
    rows: Sequence[Sequence[Panel]]


def check(out: Path) -> None:
    """Before any training: can this file be written, and is it a picture by its name?

    Raises:
        UsageError: it is not, or cannot.
    """
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {out}: expected a file name that ends in {', '.join(ENDINGS)}")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}")
    try:
        existed = out.exists()
        with out.open("ab"):
            pass
        if not existed:
            out.unlink()
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror}") from error


def gallery(blocks: Sequence[Block], out: Path) -> None:
    """One line of panels below the other, each block under its heading."""
    lines: list[tuple[str, Sequence[Panel | None]]] = []
    for block in blocks:
        cut = [line for row in block.rows for line in _lines(row)]
        lines += [(block.heading if i == 0 else "", line) for i, line in enumerate(cut)]
    widest = max(len(line) for _, line in lines)
    width = max(6.4, min(1.9 * widest, 13))
    heights = [_height(line, width) + (0.35 if heading else 0.0) for heading, line in lines]
    with page(out, width, sum(heights)) as figure:
        parts = np.atleast_1d(figure.subfigures(len(lines), 1, height_ratios=heights, hspace=0.02))
        for part, (heading, line) in zip(parts, lines, strict=True):
            if heading:
                part.suptitle(heading, x=0.01, ha="left", fontweight="bold")
            for axes, panel in zip(np.atleast_1d(part.subplots(1, len(line))), line, strict=True):
                if panel is None:
                    axes.set_axis_off()
                else:
                    _draw(axes, panel)


def leaderboard(table: Table, out: Path) -> None:
    """Δm of every row with its interval, best on top; a row that is not complete is hollow, and has none."""
    rows = [row for row in table.rows if row.rank is not None and math.isfinite(row.delta_m.value)]
    with page(out, 6.4, 1.0 + 0.22 * max(len(rows), 3)) as figure:
        axes = figure.subplots()
        axes.axvline(0.0, color=GREY, lw=0.8, zorder=1)
        for place, row in enumerate(rows):
            if math.isfinite(row.delta_m.low) and math.isfinite(row.delta_m.high):
                axes.plot([row.delta_m.low, row.delta_m.high], [place, place], color=PALETTE[0], lw=1.2, zorder=2)
            axes.plot(row.delta_m.value, place, "o", ms=5, mec=PALETTE[0], color=PALETTE[0] if row.complete else PAPER, zorder=3)
        axes.set_yticks(range(len(rows)), [row.entrant for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("Δm % against single-task training (lower is better)")
        axes.set_title(", ".join(table.suites), loc="left", fontweight="bold")


def _lines(row: Sequence[Panel]) -> list[list[Panel | None]]:
    """A row cut into lines of equal length, the last one filled up with None."""
    each = math.ceil(len(row) / math.ceil(len(row) / WIDEST)) if row else 1
    return [[*row[i : i + each], *[None] * (i + each - len(row))] for i in range(0, len(row), each)]


def _height(line: Sequence[Panel | None], width: float) -> float:
    """Inches: pictures in their proportions with their captions above, diagrams squarish but not towering."""
    each = width / len(line)
    return max(
        each * 0.85 * panel.pixels.shape[0] / panel.pixels.shape[1] + 0.2 + 0.17 * (panel.title.count("\n") + 1)
        if isinstance(panel, Picture)
        else min(max(each, 2.2), 3.2)
        for panel in line
        if panel is not None
    )


def _draw(axes: Any, panel: Panel) -> None:
    match panel:
        case Picture():
            _picture(axes, panel)
        case Scatter():
            _scatter(axes, panel)
        case Confusion():
            _confusion(axes, panel)
        case Curves():
            _curves(axes, panel)
        case Trajectory():
            _ways(axes, [panel])
            axes.set_title(panel.title)
            axes.set_xlabel(panel.labels[0])
            axes.set_ylabel(panel.labels[1])


def _picture(axes: Any, panel: Picture) -> None:
    import matplotlib as mpl

    pixels, options = panel.pixels, dict[str, Any](interpolation="nearest")
    if panel.colours != "rgb":
        low, high = panel.span or (float(np.nanmin(pixels)), float(np.nanmax(pixels)))
        options |= {"vmin": low, "vmax": high}
    if panel.colours == "classes":
        pixels = np.ma.masked_less(pixels, 0)
        options["cmap"] = mpl.colormaps["tab20" if options["vmax"] < 20 else "turbo"].resampled(int(options["vmax"]) + 1)
    elif panel.colours != "rgb":
        options["cmap"] = "gray" if panel.colours == "grey" else "viridis"
    image = axes.imshow(np.clip(pixels, 0, 1) if panel.colours == "rgb" else pixels, **options)
    axes.set_facecolor(PAPER)
    axes.set_title(panel.title, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    if panel.colours == "heat":
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, aspect=14, label=panel.unit)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)


def _scatter(axes: Any, panel: Scatter) -> None:
    both = np.concatenate([panel.target.ravel(), panel.prediction.ravel()])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color=GREY, lw=0.8, zorder=1)
    many = panel.target.size > 500
    size, alpha = (2, 0.15) if many else (9, 0.5)
    axes.scatter(panel.target, panel.prediction, s=size, alpha=alpha, color=PALETTE[0], linewidths=0, rasterized=many, zorder=2)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.labels[0])
    axes.set_ylabel(panel.labels[1])
    axes.set_box_aspect(1)


def _confusion(axes: Any, panel: Confusion) -> None:
    counts, size = panel.counts, len(panel.counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = panel.classes or tuple(map(str, range(size)))
    shown = range(0, size, math.ceil(size / 20))
    upright = 0 if max(map(len, names)) <= 3 else 90
    axes.set_xticks(shown, [names[i] for i in shown], rotation=upright, fontsize=7)
    axes.set_yticks(shown, [names[i] for i in shown], fontsize=7)
    axes.tick_params(length=0)
    axes.set_xlabel("prediction")
    axes.set_ylabel("target")
    right = counts.trace() / max(counts.sum(), 1)
    axes.set_title(f"{panel.title}: {100 * right:.1f} % right")
    if size <= 12:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = PAPER if shares[row, column] > 0.5 else INK
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=6 if size > 6 else 8)


def _curves(axes: Any, panel: Curves) -> None:
    for i, (name, x, y) in enumerate(panel.lines):
        axes.plot(x, y, color=PALETTE[i % len(PALETTE)], lw=1.2, label=name)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.labels[0])
    axes.set_ylabel(panel.labels[1])
    if len(panel.lines) > 1:
        axes.legend(frameon=False, fontsize=7)


def trajectories(rows: Sequence[Mapping[str, Sequence[Trajectory]]], heading: str, out: Path) -> None:
    """Small multiples: a row a plane, a column a method, and in each panel the ways of its seeds, a colour a seed.

    All panels of a row share their axes, so that a way in one can be compared with a way in the next.
    """
    columns = list(rows[0])
    width, height = max(2.15 * len(columns) + 0.6, 6.4), 2.2 * len(rows) + 0.75
    wide = width > 9  # enough for the key in one line
    with page(out, width, height if wide else height + 0.4) as figure:
        grid = figure.subplots(len(rows), len(columns), sharex="row", sharey="row", squeeze=False)
        for line, row in zip(grid, rows, strict=True):
            for axes, (name, panels) in zip(line, row.items(), strict=True):
                _ways(axes, panels)
                axes.set_xlabel(panels[0].labels[0] + (f"   (HV {_share(panels):.2f})" if panels[0].objectives else ""), labelpad=1)
                if axes.get_subplotspec().is_first_row():
                    axes.set_title(name)
            _limits(line[0], [panel for panels in row.values() for panel in panels])
            first = next(iter(row.values()))[0]
            line[0].set_ylabel(f"{first.title}\n{first.labels[1]}")
        figure.suptitle(heading, x=0.01, ha="left", fontweight="bold")
        shown = [panels[0] for row in rows for panels in row.values()]
        handles = _key(contours=any(panel.field for panel in shown), share=any(panel.objectives for panel in shown))
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles) if wide else 2, frameon=False, fontsize=8)


def _ways(axes: Any, panels: Sequence[Trajectory]) -> None:
    from matplotlib.colors import BoundaryNorm

    field = panels[0].field
    if field is not None:
        levels = np.unique(np.quantile(field.values, np.linspace(0, 1, 16)))  # as much ground in each shade: plateaus show their slopes
        axes.contourf(field.x, field.y, field.values, levels=levels, norm=BoundaryNorm(levels, 256), cmap="Greys", alpha=0.35, zorder=0)
    for curve in panels[0].front:
        axes.plot(*curve.T, color=INK, lw=2.5, solid_capstyle="round", zorder=2)
    for i, panel in enumerate(panels):
        colour = PALETTE[i % len(PALETTE)]
        axes.plot(*panel.path.T, color=colour, lw=1.1, zorder=3)
        axes.plot(*panel.path[0], "o", color=PAPER, mec=colour, mew=1.2, ms=5, zorder=4)
        axes.plot(*panel.path[-1], "*", color=colour, mec=INK, mew=0.5, ms=10, zorder=5)


def _share(panels: Sequence[Trajectory]) -> float:
    """What the ends dominate together, of what the front dominates; ends that are not finite dominate nothing."""
    ends = np.array([panel.path[-1] for panel in panels])
    ends = ends[np.isfinite(ends).all(1)]
    return hypervolume(ends, panels[0].front) if len(ends) else 0.0


def _limits(axes: Any, panels: Sequence[Trajectory]) -> None:
    """The smallest rectangle with every way and front; of a field, its own."""
    if panels[0].field is not None:
        axes.set_xlim(panels[0].field.x[[0, -1]])
        axes.set_ylim(panels[0].field.y[[0, -1]])
        return
    points = np.concatenate([part for panel in panels for part in (panel.path, *panel.front)])
    points = points[np.isfinite(points).all(1)]
    low, high = points.min(0), points.max(0)
    margin = 0.06 * (high - low)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _key(contours: bool, share: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    start = Line2D([], [], ls="", marker="o", color=PAPER, mec=GREY, mew=1.2, ms=5, label="start")
    end = Line2D([], [], ls="", marker="*", color=GREY, mec=INK, mew=0.5, ms=10, label="end")
    front = Line2D([], [], color=INK, lw=2.5, label="Pareto front, or Pareto set")
    field = Patch(color=FAINT, label="L1/s + L2, darker is higher")
    volume = Line2D([], [], ls="", label="HV: the ends' share of the front's hypervolume")
    return [start, end, front, *([field] if contours else []), *([volume] if share else [])]


@contextmanager
def page(out: Path, width: float, height: float) -> Iterator[Any]:
    """A figure of that many inches, written to ``out`` at the end; no window, and no state of pyplot's."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
        yield figure
        dated = {".svg": "Date", ".pdf": "CreationDate"}.get(out.suffix.lower())
        figure.savefig(out, dpi=150, metadata={dated: None} if dated else None)  # the same panels give the same file
