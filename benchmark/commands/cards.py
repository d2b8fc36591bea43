"""What there is, and one of it: lists, cards, records."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import methods as registry
import tasks
from benchmark.commands.flags import one_of
from benchmark.errors import UsageError
from benchmark.store import Store
from benchmark.views import printable

KINDS = ("methods", "suites", "problems")


def list_(what: str) -> None:
    """Prints one table of what there is.

    Raises:
        UsageError: nothing of that kind.
    """
    one_of("list", what, KINDS)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    if what == "methods":
        for column in ("method", "family", "what it is"):
            grid.add_column(column, no_wrap=column != "what it is")
        for name in registry.names():
            card = registry.card(name)
            grid.add_row(name, card.family, escape(printable(f"{card.title}: {card.equation}")))
    elif what == "suites":
        for column in ("suite", "problems", "seeds", "what it is"):
            grid.add_column(column, no_wrap=column != "what it is")
        for name in tasks.suite_names():
            suite = tasks.suite(name)
            seeds = sorted({entry.seeds for entry in suite.entries})
            grid.add_row(name, "\n".join(e.problem for e in suite.entries), "-".join(map(str, seeds)), escape(suite.summary))
    else:
        for column in ("problem", "tasks", "what it is"):
            grid.add_column(column, no_wrap=column != "what it is")
        for name, problem in tasks.problems().items():
            grid.add_row(
                name,
                "\n".join(t.name for t in problem.card.tasks[:3]) + ("\n..." if len(problem.card.tasks) > 3 else ""),
                escape(problem.card.summary),
            )
    Console().print(grid)


def show(name: str, results: Path) -> None:
    """Prints the card of a method, suite or problem, or a record.

    Raises:
        UsageError: nothing has that name.
    """
    if name.endswith(".py") or ":" in name:
        name = registry.load(name)[0]
    known = [*registry.names(), *tasks.suite_names(), *tasks.problems()]
    ids = Store(results).index()
    if name in registry.names() or ":" in name:
        _print_fields(_method_fields(registry.card(name)))
    elif name in tasks.suite_names():
        _print_fields(_suite_fields(tasks.suite(name)))
    elif name in tasks.problems():
        _print_fields(_problem_fields(tasks.problem(name).card))
    elif name in ids:
        print("\n".join(map(printable, ids[name].read_text(encoding="utf-8", errors="replace").splitlines())))
    else:
        raise UsageError(f"nothing is called {name!r}{registry.suggestion(name, known)} (list them: python -m benchmark list methods)")


def _method_fields(card: registry.Card) -> dict[str, str]:
    settings = []
    for h in card.hyperparameters:
        number = f"{h.low:g} to {h.high:g}" if not isinstance(h.default, str | bool) else ""
        allowed = ", ".join(h.choices) or number
        settings.append(f"{h.name} = {h.default}: {h.meaning}" + (f" ({allowed})" if allowed else ""))
    return {
        card.name: card.title,
        "paper": f"{card.paper}{f' (arXiv {card.arxiv})' if card.arxiv else ''}",
        "family": {"loss": "loss", "foreign": "known when it is made"}.get(card.family, f"{card.family}, gradients at: {card.where}"),
        "equation": card.equation,
        "scale": card.native_scale,
        "settings": "\n".join(settings) or "none",
        "claims": ", ".join(card.claims) or "none",
        "needs": ", ".join([*card.needs, *(["positive losses"] if card.positive_losses else [])]) or "the losses",
        "deviations": card.deviations or "none",
        "version": str(card.version),
        "use": f"balancer = methods.create({card.name!r}, num_tasks=T)",
    }


def _suite_fields(suite: tasks.Suite) -> dict[str, str]:
    fields = {suite.name: suite.summary}
    for entry in suite.entries:
        fields[entry.problem] = ("on request (--problem), " if entry.on_request else "") + (
            f"{entry.seeds} seeds, {entry.steps} steps of {entry.batch_size}, "
            f"learning rate {entry.learning_rate:g}{_halved(entry.halve_every)}, "
            f"evaluated every {entry.eval_every} steps, metrics of the {entry.selection} evaluation"
        )
    return fields | {"run": f"python -m benchmark run --suite {suite.name}"}


def _halved(every: int | None) -> str:
    return f" halved every {every:,} steps" if every else ""


def _problem_fields(card: tasks.ProblemCard) -> dict[str, str]:
    fields = {card.name: card.summary, "source": card.source, "licence": card.licence}
    if card.rows:
        fields["rows"] = "{:,} training, {:,} validation, {:,} test".format(*card.rows)
    for task in card.tasks:
        fields[task.name] = f"{task.kind}, {task.loss}; " + ", ".join(_metric(m) for m in task.metrics)
    if card.extra_metrics:
        fields["also"] = ", ".join(_metric(m) for m in card.extra_metrics)
    if card.model:
        fields["model"] = card.model
    return fields | {
        "run": f"{card.steps:,} steps of {card.batch_size}, learning rate {card.learning_rate:g}{_halved(card.halve_every)}",
        "needs": ", ".join(card.requires) or "torch only",
        "version": str(card.version),
    }


def _metric(metric: tasks.Metric) -> str:
    legal = f", {metric.low:g} to {metric.high:g}" if metric.low > -math.inf or metric.high < math.inf else ""
    return f"{metric.name} ({'higher' if metric.higher_is_better else 'lower'} is better{legal})"


def _print_fields(fields: dict[str, str]) -> None:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for name, text in fields.items():
        grid.add_row(escape(printable(name)), escape("\n".join(map(printable, text.split("\n")))))
    Console().print(grid)
