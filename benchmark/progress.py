"""Progress of a study and of preparing its data. A live bar in a terminal, a line every tenth of the way (or one a part) elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmark.executors import Fault, Job
from benchmark.records import FINISHED, RunRecord, TrialSpec
from benchmark.views import printable


def _bars(console: Console, *middle: TextColumn, after: Sequence[TextColumn] = ()) -> Progress:
    """What is done, how much of how many, and for how long yet."""
    left = (TextColumn("ETA"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), *middle, TimeElapsedColumn(), *left, *after)
    return Progress(*columns, console=console, transient=True)


class PreparingProgress:
    """A bar for every part of a data set that is being downloaded, decoded or generated; none where there is nothing to do.

    Use as a context manager, and pass :meth:`report` to :meth:`tasks.Problem.prepare`.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = _bars(console)
        self._known: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def report(self, what: str, done: int, total: int | None) -> None:
        if what not in self._known:
            if not done and not self._console.is_terminal:
                return  # it may yet turn out to be a wrong file, and one line is to say so
            self._known[what] = self._bars.add_task(escape(printable(what)), total=total)
            if not self._console.is_terminal:
                self._console.print(f"preparing {printable(what)}" + (f": {total:,} rows" if total else ""), markup=False, highlight=False)
        self._bars.update(self._known[what], completed=done, total=total)


class StudyProgress:
    """A bar a stage. Use as a context manager, and as a watcher of :func:`benchmark.study.run`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        failed, last = TextColumn("[red]{task.fields[failed]}[/red]"), TextColumn("[dim]{task.fields[last]}[/dim]")
        self._bars = _bars(console, failed, after=(last,))
        self._bar = TaskID(0)
        self._failures: Counter[str] = Counter()
        self._start, self._ran, self._todo = 0.0, 0, 0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def stage(self, name: str, todo: Sequence[TrialSpec], done: int) -> None:
        """Starts a bar."""
        self._console.print(f"{name}: {len(todo)} trials to run" + (f", {done} already recorded" if done else ""))
        self._bar = self._bars.add_task(name, total=len(todo), failed="", last="")
        self._failures.clear()
        self._start, self._ran, self._todo = time.monotonic(), 0, len(todo)

    def started(self, job: Job) -> None:
        """Nothing."""

    def again(self, job: Job, fault: Fault) -> None:
        """Nothing."""

    def seen(self, record: RunRecord) -> None:
        """Moves it."""
        self._ran += 1
        if record.status not in FINISHED:
            self._failures[record.status] += 1
            what = f"{record.spec.entrant} on {record.spec.problem}, seed {record.spec.seed}: {record.status}: {record.message}"
            if self._failures[record.status] <= 3:  # the table has them all
                self._console.print(f"  {escape(printable(what))}", style="red", highlight=False)
        shown = ", ".join(f"{count} {status}" for status, count in sorted(self._failures.items()))
        if not self._console.is_terminal and (10 * self._ran // self._todo > 10 * (self._ran - 1) // self._todo):
            elapsed = time.monotonic() - self._start
            left = elapsed / self._ran * (self._todo - self._ran)
            self._console.print(f"  {self._ran}/{self._todo}, {elapsed:.0f} s, ETA {left:.0f} s", highlight=False)
        self._bars.update(self._bar, advance=1, failed=shown, last=escape(f"{record.spec.entrant} on {record.spec.problem}"))
