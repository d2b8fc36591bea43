"""The picture of the README, from the records of `run --suite mixed`: the weights of two badly scaled losses, and the leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from benchmark.pictures import GREY, INK, PALETTE, PAPER, STYLE
from benchmark.records import RunRecord
from benchmark.selection import Search, shown
from benchmark.store import Store
from benchmark.table import build

COLOURS = dict(
    zip(
        ("equal", "uncertainty", "realtime_loss", "gradnorm", "grad_normalize", "mgda"),
        (GREY, *PALETTE),
        strict=False,  # the palette has colours to spare
    )
)


def weights(axes: Axes, records: list[RunRecord], problem: str, small: str, large: str) -> None:
    """Weight of the small loss over weight of the large one, by step; seed 0."""
    ends = []
    for method, colour in COLOURS.items():
        record = next((r for r in records if (r.spec.problem, r.spec.entrant, r.spec.seed) == (problem, method, 0)), None)
        if record is None:
            raise SystemExit(f"no record of {method} on {problem}, seed 0: python -m benchmark run --suite mixed")
        of = {task: index for index, task in enumerate(record.tasks)}
        steps = [point.step for point in record.curve]
        ratios = [(p.weights[of[small]] or 0.0) / (p.weights[of[large]] or 1.0) for p in record.curve]
        axes.plot(steps, ratios, color=colour, lw=2, solid_capstyle="round")
        ends.append([ratios[-1], method, colour, steps[-1]])
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    gap = (high / low) ** 0.055
    placed = 0.0
    for ratio, method, colour, step in sorted(ends, key=lambda end: end[0]):
        placed = max(ratio, placed * gap)  # labels that would overlap are pushed up
        axes.annotate(method, (step, placed), xytext=(6, 0), textcoords="offset points", color=colour, va="center", fontsize=9)
    axes.set_xlabel("step")
    axes.set_title(
        f"How much more one unit of the {small} loss counts than one of {large}\n(the {large} loss starts 20,000 times larger)", loc="left"
    )


def leaderboard(axes: Axes, records: list[RunRecord]) -> None:
    """Δm with its interval, best on top."""
    table = build(records, "mixed")
    rows = [row for row in table.rows if row.rank is not None]
    for place, row in enumerate(reversed(rows)):
        estimate = row.delta_m
        best = row.rank == 1 or row.like_best
        axes.plot([estimate.low, estimate.high], [place, place], color="#0072B2" if best else "#888888", lw=2, solid_capstyle="round")
        axes.plot(estimate.value, place, "o", color="#0072B2" if best else "#888888", ms=5)
    axes.set_yticks(range(len(rows)), [row.entrant for row in reversed(rows)])
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_xscale("symlog", linthresh=20)
    ticks = [0, 10, 20, 50, 100]
    axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Δm %, 95 % interval; left of 0: better than one network a task")
    seeds = max(len(problem.seeds) for problem in table.problems)
    names = " and ".join(problem.name for problem in table.problems)
    axes.set_title(f"Leaderboard: {names}, {seeds} seeds\n(blue: cannot be told apart from the best)", loc="left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "overview.svg")
    given = parser.parse_args()
    records, _ = shown([r for r in Store(given.results).scan().records if r.spec.suite == "mixed"], Search())
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", facecolor=PAPER, width_ratios=(1, 1))
        weights(left, records, "digits", "slant", "ink")
        leaderboard(right, records)
        given.out.parent.mkdir(exist_ok=True)
        figure.savefig(given.out, metadata={"Date": None})
    print(given.out)


if __name__ == "__main__":
    main()
