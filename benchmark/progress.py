"""Progress of a study and of preparing its data. Live in a terminal; elsewhere a line every tenth of the way, or one a part."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from benchmark.executors import Fault, Job
from benchmark.records import RunRecord, TrialSpec, failed
from benchmark.standing import Scores, TimeUse
from benchmark.study import Watcher, name_of
from benchmark.views import printable

REFRESH = 4.0
"""Times a second that a terminal is drawn."""
SHOWN = 5
"""Entrants, and trials under way, that are named."""


def _bars(console: Console, *middle: TextColumn, after: Sequence[TextColumn] = ()) -> Progress:
    """What is done, how much of how many, and for how long yet."""
    left = (TextColumn("ETA"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), *middle, TimeElapsedColumn(), *left, *after)
    return Progress(*columns, console=console, transient=True)


@contextmanager
def counted(console: Console, what: str, total: int) -> Iterator[Callable[[float], None]]:
    """A bar with an ETA, and where there is no terminal a line every tenth of the way.

    What it gives is called for each part, with the seconds so far.
    """
    bars, done = _bars(console), 0
    bar = bars.add_task(what, total=total)

    def advance(elapsed: float) -> None:
        nonlocal done
        done += 1
        bars.update(bar, advance=1)
        if not console.is_terminal and 10 * done // total > 10 * (done - 1) // total:
            console.print(f"  {done}/{total}, {elapsed:.0f} s, ETA {elapsed / done * (total - done):.0f} s", highlight=False)

    if console.is_terminal:
        bars.start()
    try:
        yield advance
    finally:
        bars.stop()


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


class StudyProgress(Watcher):
    """A panel for each stage. Use as a context manager, and as a watcher of :func:`benchmark.study.run`."""

    def __init__(self, console: Console, jobs: int = 1) -> None:
        """``jobs``: trials at once, to tell waiting from working; 0 where only the cluster knows."""
        self._console = console
        self._bars = _bars(console, TextColumn("[red]{task.fields[failed]}[/red]"))
        self._bar = TaskID(0)
        self._failures: Counter[str] = Counter()
        self._lost = 0
        self._start, self._ran, self._todo = 0.0, 0, 0
        self._time = TimeUse(jobs)
        self._scores = Scores()
        self._live = Live(console=console, get_renderable=self._panel, refresh_per_second=REFRESH, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()
        self._sum_up()

    def stage(self, name: str, todo: Sequence[TrialSpec], done: int) -> None:
        """Starts a bar."""
        self._sum_up()
        self._console.print(f"{name}: {len(todo)} trials to run" + (f", {done} already recorded" if done else ""))
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        self._bar = self._bars.add_task(name, total=len(todo), failed="")
        self._failures.clear()
        self._start, self._ran, self._todo = time.monotonic(), 0, len(todo)
        self._scores = Scores()
        self._time = TimeUse(self._time.jobs)

    def started(self, job: Job) -> None:
        """Shows it."""
        self._time.begin(job)

    def again(self, job: Job, fault: Fault) -> None:
        """Says it."""
        self._time.lose(job)
        self._lost += 1
        if self._lost <= 3:
            self._console.print(f"  {escape(printable(f'to run again: {name_of(job.specs)}: {fault.message}'))}", highlight=False)

    def seen(self, record: RunRecord) -> None:
        """Moves the bar."""
        self._ran += 1
        self._time.end(record)
        self._scores.add(record)
        if failed(record.status):
            self._failures[record.status] += 1
            what = f"{record.spec.entrant} on {record.spec.problem}, seed {record.spec.seed}: {record.status}: {record.message}"
            if self._failures[record.status] <= 3:  # the table has them all
                self._console.print(f"  {escape(printable(what))}", style="red", highlight=False)
        shown = ", ".join(f"{count} {status}" for status, count in sorted(self._failures.items()))
        if not self._console.is_terminal and (10 * self._ran // self._todo > 10 * (self._ran - 1) // self._todo):
            elapsed = time.monotonic() - self._start
            left = elapsed / self._ran * (self._todo - self._ran)
            self._console.print(f"  {self._ran}/{self._todo}, {elapsed:.0f} s, ETA {left:.0f} s", highlight=False)
        self._bars.update(self._bar, advance=1, failed=shown)

    def _panel(self) -> RenderableType:
        """What is shown while a stage runs; drawn by a thread of its own, whatever the trials do."""
        if not self._todo:
            return Text()
        lines = [Text(printable(line), style="dim", no_wrap=True, overflow="ellipsis") for line in self._time.running(SHOWN)]
        parts: list[RenderableType] = [self._bars, *lines]
        best = self._scores.best(SHOWN)
        if best:
            grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
            grid.add_column("best so far", no_wrap=True, overflow="ellipsis", min_width=24, max_width=40)
            for name in ("score", "problems", "n"):
                grid.add_column(name, justify="right")
            for each in best:
                grid.add_row(Text(printable(each.entrant)), f"{each.score:.4g}", str(each.problems), str(each.trials))
            parts.append(grid)
        if self._ran:
            parts.append(Text(f"time: {self._time}", style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

    def _sum_up(self) -> None:
        """At the end of a stage, what the panel showed last."""
        if not self._ran:
            return
        if not self._console.is_terminal and (best := self._scores.best(SHOWN)):
            named = ", ".join(f"{each.entrant} {each.score:.4g} (n {each.trials})" for each in best)
            self._console.print(f"  best by validation score: {printable(named)}", markup=False, highlight=False)
        self._console.print(f"  time: {self._time}", markup=False, highlight=False)
        self._ran = 0
