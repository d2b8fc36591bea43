"""Data ahead of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import tasks
from benchmark import plan
from benchmark.commands.flags import locations
from benchmark.errors import UsageError
from benchmark.progress import PreparingProgress
from benchmark.views import printable


def prepare(*, suite: str, problems: Sequence[str], data_dir: Path | None, offline: bool) -> None:
    """Downloads, decodes or generates what problems need before they can train, and says what is there.

    Raises:
        UsageError, TaskError: nothing was named, or the data of a problem cannot be had; what was prepared before it stays.
    """
    named = [p for word in problems for p in word.split(",")]
    if not suite and not named:
        raise UsageError("prepare needs --suite NAME or --problem NAME (list them: python -m benchmark list problems)")
    if suite:
        entries = tasks.suite(suite).entries
        chosen = plan.with_overrides(tasks.suite(suite), problems=named or [entry.problem for entry in entries])
        named = [entry.problem for entry in chosen.entries]
    found = [tasks.problem(name) for name in named]
    for problem in found:
        problem.require()
    where, console = locations(data_dir, offline), Console(stderr=True)
    for problem in found:
        with PreparingProgress(console) as progress:
            said = problem.prepare(where, progress.report)
        print(printable(f"{problem.card.name}: {said}"))
