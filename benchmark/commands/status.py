"""How far a study is, from another terminal or after it has ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

import methods as registry
from benchmark.errors import UsageError
from benchmark.status import Count, Reader, State
from benchmark.views import printable

REFRESH = 1.0
LINE = 5.0
"""Seconds between two looks: in a terminal, and where every look is a line."""
WIDTH = 100
SHOWN = 8
"""Trials under way that have a line."""


def status(*, suite: str | None, watch: bool, results: Path) -> None:
    """Prints the state of the last study of every suite, and of every one that runs; with ``watch`` until they are complete, or Ctrl-C.

    Raises:
        UsageError: there is nothing of the suite, or nothing at all.
    """
    reader, console = Reader(results), Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    states = reader.states(suite)
    if not states:
        _print_records(reader, suite, console)
        return
    try:
        if watch and console.is_terminal:
            with Live(_drawn(states, console), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
                while not _over(states):
                    time.sleep(REFRESH)
                    states = reader.states(suite)
                    live.update(_drawn(states, console), refresh=True)
        elif watch:
            while True:
                for state in states:
                    print(printable(_headline(state)), flush=True)
                if _over(states):
                    break
                time.sleep(LINE)
                states = reader.states(suite)
        else:
            console.print(_drawn(states, console))
    except KeyboardInterrupt:  # the way to leave, and no fault
        return


def _over(states: Iterable[State]) -> bool:
    return all(not state.alive and not state.total.left for state in states)


def _drawn(states: Iterable[State], console: Console) -> Group:
    width = min(console.width, WIDTH)
    parts: list[Text | Table] = []
    for state in states:
        parts.append(Text(printable(_headline(state)), style="bold"))
        if state.alive or state.total.left:
            parts.append(Text(printable(_driver(state))))
        parts += [Text(printable(line), no_wrap=True, overflow="ellipsis") for line in _underway(state)]
        for what, counts in (("problem", state.by(lambda problem, _: problem)), ("method", state.by(lambda _, entrant: entrant))):
            parts += [Text(), _grid(what, counts, state, width)]
        parts.append(Text())
    return Group(*parts)


def _headline(state: State) -> str:
    total = state.total
    failed = f", {total.failed} failed" if total.failed else ""
    running = f", {total.running} running" if total.running else ""
    missing = f", {total.missing} missing, ETA {_time(state.eta(total))}" if total.left else ": complete"
    return f"{state.plan.suite}: {total.done} of {total.total} trials done{failed}{running}{missing}"


def _driver(state: State) -> str:
    life, now = state.life, time.time()
    if life is None:
        return "no driver; the same command resumes"
    who = f"process {life.process} on {life.host}"
    if state.alive:
        lost = f", {life.lost} times a trial was lost to the machine and run again" if life.lost else ""
        return f"driver: {who}, for {_time(now - life.started)}{lost}"
    return f"no driver: {who} was last heard of {_time(now - life.beat)} ago; the same command resumes"


def _underway(state: State) -> list[str]:
    now = time.time()
    lines = [f"  {each.name}, for {_time(now - each.since)}" for each in state.underway[:SHOWN]]
    return lines + ([f"  and {len(state.underway) - SHOWN} more"] if len(state.underway) > SHOWN else [])


def _grid(what: str, counts: dict[str, Count], state: State, width: int) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column(what, no_wrap=True, overflow="ellipsis", max_width=width - 50)
    for name in ("done", "running", "failed", "missing", "ETA"):
        grid.add_column(name, justify="right", no_wrap=True, min_width=8)
    for name, count in counts.items():
        cells = [str(number) if number else "-" for number in (count.done, count.running, count.failed, count.missing)]
        cells.append(_time(state.eta(count)) if count.left else "-")
        grid.add_row(Text(printable(name)), *cells, style="dim" if not count.left else "")
    return grid


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else str(timedelta(seconds=round(seconds)))


def _print_records(reader: Reader, suite: str | None, console: Console) -> None:
    """What is there where no study has left word: records alone, which do not say what is missing."""
    found = reader.suites()
    if not found or (suite is not None and suite not in found):
        where = reader.root.resolve()
        known = f"there are records of: {', '.join(sorted(found))}" if found else f"{where} has no records"
        hint = registry.suggestion(suite, sorted(found)) if suite is not None else ""
        what = f"nothing of suite {suite!r}{hint}" if suite is not None else "nothing to tell of"
        raise UsageError(f"{what} ({known}; make some: python -m benchmark run --suite {suite or 'smoke'})")
    for name in sorted(found) if suite is None else [suite]:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("problem", "method", "done", "failed"):
            grid.add_column(column, justify="left" if column in ("problem", "method") else "right", no_wrap=True, overflow="ellipsis")
        for (problem, method), count in found[name].items():
            grid.add_row(Text(printable(problem)), Text(printable(method)), str(count.done or "-"), str(count.failed or "-"))
        console.print(Text(printable(f"{name}: records alone; no study run from here, so what is missing is not known"), style="bold"))
        console.print(grid)
