"""The text of tasks/README.md: every problem's card, what its data gives, and what `bench_problems` measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import problems_report
from problems_report import LEAST, Row, Verdict, verdict

import tasks
from tasks.inmemory import InMemoryProblem

INTRODUCTION = """# Problems

Made from the cards in this folder by `scripts/docs.py`; seconds and verdicts from `results/bench/problems.csv`, which
`scripts/bench_problems` writes. *Initial* is the loss of an all-zero output, *prior* that of the best constant prediction, both of the
training rows of seed 0. ↑ and ↓ say which way a metric is better; outside its range it is impossible, and a record with such a value
is refused. Training and validation rows are cut anew for every seed, test rows are the same for all. A run is one training under equal
weights with all its evaluations, in CPU seconds of one thread. `python -m benchmark show NAME` prints one card."""


def page() -> str:
    measured = {name: list(rows) for name, rows in groupby(problems_report.read(problems_report.PATH), key=lambda row: row.problem)}
    current = {
        name: verdict(rows)
        for name, rows in measured.items()
        if rows[0].version == tasks.problem(name).card.version and has_reference(rows)
    }
    parts = [INTRODUCTION]
    for title, names in by_suite().items():
        parts.append(f"## {title}")
        parts += [section(tasks.problem(name), current.get(name)) for name in names]
    return "\n\n".join([*parts, discrimination(current)]) + "\n"


def has_reference(rows: Sequence[Row]) -> bool:
    return any(row.method == problems_report.REFERENCE for row in rows)


def by_suite() -> dict[str, list[str]]:
    """Every problem once, under the suite that has it at the settings of its card; what is in none comes last."""
    found: dict[str, list[str]] = {}
    for name in tasks.problems():
        suite = problems_report.home(name)
        found.setdefault(f"Suite `{suite.name}`: {suite.summary}" if suite else "In no suite", []).append(name)
    return dict(sorted(found.items(), key=lambda item: (item[0] == "In no suite", item[0])))


def section(problem: tasks.Problem, seen: Verdict | None) -> str:
    card = problem.card
    session = problem.open(seed=0, batch_size=card.batch_size) if problem.embedded else None
    facts = {
        "source": card.source,
        "licence": card.licence,
        "rows": rows(card.rows or counted(problem)),
        "model": model(card, session),
        "run": run(card, seen),
    }
    lines = [f"### `{card.name}`", "", f"{capital(card.summary)}.", ""]
    lines += [f"- {name}: {text}" for name, text in facts.items() if text]
    lines += ["", "| task | kind | loss | initial | prior | metrics |", "|---|---|---|---|---|---|"]
    for index, task in enumerate(card.tasks):
        losses = [number(each[index]) for each in (session.initial_losses, session.prior_losses)] if session else ["", ""]
        lines.append("| " + " | ".join(map(cell, [task.name, task.kind, task.loss, *losses, metrics(task.metrics)])) + " |")
    if card.extra_metrics:
        lines += ["", f"Of the whole problem, and not in Δm: {metrics(card.extra_metrics)}."]
    return "\n".join(lines)


def counted(problem: tasks.Problem) -> tuple[int, int, int] | None:
    """Rows of the splits of seed 0, where the data is here and the card leaves it to tell."""
    if not (problem.embedded and isinstance(problem, InMemoryProblem)):
        return None
    index = problem.cut(problem.arrays(tasks.Locations()), 0)
    return len(index.train), len(index.validation), len(index.test)


def rows(sizes: tuple[int, int, int] | None) -> str:
    return f"{sizes[0]:,} training, {sizes[1]:,} validation, {sizes[2]:,} test" if sizes else ""


def model(card: tasks.ProblemCard, session: tasks.Session | None) -> str:
    counted = f"{sum(parameter.numel() for parameter in session.model.parameters()):,} parameters" if session else ""
    return "; ".join(filter(None, (card.model, counted)))


def run(card: tasks.ProblemCard, seen: Verdict | None) -> str:
    text = f"{card.steps:,} steps of {card.batch_size}, learning rate {card.learning_rate:g}"
    text += f" halved every {card.halve_every:,} steps" if card.halve_every else ""
    return text if seen is None or seen.equal.seconds is None else f"{text}; {seen.equal.seconds:.2g} s"


def metrics(of: Sequence[tasks.Metric]) -> str:
    return ", ".join(f"{metric.name} {'↑' if metric.higher_is_better else '↓'} {legal(metric)}".rstrip() for metric in of)


def legal(metric: tasks.Metric) -> str:
    """``[0, 1]``, ``≥ 0`` or nothing where every number is possible."""
    if math.isfinite(metric.low) and math.isfinite(metric.high):
        return f"[{metric.low:g}, {metric.high:g}]"
    return f"≥ {metric.low:g}" if math.isfinite(metric.low) else f"≤ {metric.high:g}" if math.isfinite(metric.high) else ""


def discrimination(current: dict[str, Verdict]) -> str:
    """Equal weights against the best balanced method and against single-task training."""
    lines = [
        "## Does balancing matter here?",
        "",
        "Δm % against single-task training, lower is better, with its 95 % interval over n seeds. A gap is Δm less that of equal weights,",
        "seeds paired; the intervals of gaps hold together for all methods that were compared (Bonferroni), as the best is picked after",
        f"the fact. Yes: the near end of a gap is at least {LEAST:g} % away from 0. Random weights are not a balanced method.",
        "",
        "| problem | n | equal | best balanced | gap | gap of single-task | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, seen in current.items():
        best, single = seen.best, seen.single
        picked = f"`{best.method}` of {seen.balanced}: {interval(best.delta_m, best.low, best.high)}" if best else ""
        gaps = [interval(row.gap, row.gap_low, row.gap_high) if row else "" for row in (best, single)]
        ours = interval(seen.equal.delta_m, seen.equal.low, seen.equal.high)
        lines.append("| " + " | ".join([f"`{name}`", str(seen.equal.n), ours, picked, *gaps, "yes" if seen.discriminates else "no"]) + " |")
    return "\n".join(lines)


def interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:+.1f}" + (f" [{low:.1f}, {high:.1f}]" if low is not None and high is not None else "")


def number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def cell(text: str) -> str:
    return text.replace("|", "\\|")
