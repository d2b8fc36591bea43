"""What there is, and one of it: lists, cards, records."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import methods as registry
import tasks
from benchmark.cards import method_fields, problem_fields, suite_fields
from benchmark.commands.flags import one_of
from benchmark.errors import UsageError
from benchmark.store import Store
from benchmark.views import printable
from methods.packages import LeftOut
from methods.registry import left_out

KINDS = ("methods", "suites", "problems")
LEFT_OUT: dict[str, Callable[[], Sequence[LeftOut | tasks.LeftOut]]] = {"methods": left_out, "problems": tasks.problems_left_out}
"""What of other packages is missing in a list."""


def list_(what: str) -> None:
    """Prints one table of what there is, and to standard error a line for each entry point of other packages that brings nothing to it.

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
    for each in LEFT_OUT.get(what, tuple)():
        print(printable(f"{each.why}; mend or remove that package"), file=sys.stderr)


def show(name: str, results: Path) -> None:
    """Prints the card of a method, suite or problem, or a record.

    Raises:
        UsageError: nothing has that name.
    """
    if name.endswith(".py") or ":" in name:
        name = registry.load(name)[0]
    known = [*registry.names(), *tasks.suite_names(), *tasks.problems()]
    if name in registry.names() or ":" in name:
        _print_fields(method_fields(registry.card(name)))
    elif name in tasks.suite_names():
        _print_fields(suite_fields(tasks.suite(name)))
    elif name in tasks.problems():
        _print_fields(problem_fields(tasks.problem(name).card))
    elif (text := Store(results).text(name)) is not None:
        print("\n".join(map(printable, text.splitlines())))
    else:
        raise UsageError(f"nothing is called {name!r}{registry.suggestion(name, known)} (list them: python -m benchmark list methods)")


def _print_fields(fields: dict[str, str]) -> None:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for name, text in fields.items():
        grid.add_row(escape(printable(name)), escape("\n".join(map(printable, text.split("\n")))))
    Console().print(grid)
