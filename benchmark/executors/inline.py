"""In this process, one at a time, in order: for debuggers, tests and profilers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from benchmark.executors import ExecutorError, Job, Outcome, Resources, Started
from benchmark.executors.work import attempt, judge, one_line, resolve


class InlineExecutor:
    """Runs every job where it is called.

    The resources are accepted and have no effect: a process cannot safely interrupt its own trial, so a trial that hangs
    hangs the caller and one that crashes takes it along. A user's method file is not confined either: it can do whatever you can, edit
    records included. Use ``local`` for all of these. Ctrl-C passes through.
    """

    def __init__(self, *, resources: Resources, work: str) -> None:
        self._work = work

    def run(self, jobs: Sequence[Job], started: Started | None = None) -> Iterator[Outcome]:
        """Yields the outcomes in the order of the jobs.

        Raises:
            ExecutorError: the work cannot be imported.
        """
        try:
            function = resolve(self._work)
        except Exception as error:
            raise ExecutorError(f"cannot import {self._work!r}: {one_line(error)}") from error
        for job in jobs:
            if started is not None:
                started(job)
            yield judge(job, attempt(function, job))

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
