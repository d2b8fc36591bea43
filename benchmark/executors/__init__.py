"""Where trials run. Every executor takes jobs and yields outcomes as they complete; which one ran a trial is not part of its result."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self, cast

import msgspec

from benchmark.records import RunRecord, TrialSpec
from tasks.locations import Locations

DEFAULT_WORK = "benchmark.trial:execute"


class ExecutorError(RuntimeError):
    """The executor itself cannot go on: an unknown name, work that cannot be imported, workers that do not start."""


class Job(msgspec.Struct, frozen=True):
    """What is sent to a worker: the trial and where to run it. Nothing here but ``spec`` may change the numbers that come back."""

    spec: TrialSpec
    device: str
    sources: tuple[str, ...] = ()
    """User method files and objects that the worker must load before it can build the method."""
    where: Locations = msgspec.field(default_factory=Locations)
    """Where the problem may look for its data."""


@dataclass(frozen=True)
class Fault:
    """Why there is no record: what happened to the worker, for whoever turns it into a record."""

    status: Literal["timeout", "oom", "error"]
    message: str
    """One line."""
    seconds: float
    """Wall clock between handing out the job and losing it."""


@dataclass(frozen=True)
class Outcome:
    """Exactly one of ``record`` and ``fault`` is set. A trial that failed by itself still has a record, of status ``error`` or the like."""

    job: Job
    record: RunRecord | None = None
    fault: Fault | None = None


class Executor(Protocol):
    """Runs jobs. A context manager: leaving it, however that happens, leaves no worker behind."""

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yields one outcome per job, in the order of completion. Closing the iterator early abandons what has not completed.

        Raises:
            ExecutorError: the work cannot be imported, or a worker does not start.
        """

    def close(self) -> None:
        """Ends the workers. May be called again."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class _Factory(Protocol):
    def __call__(self, *, jobs: int, timeout: float | None, work: str) -> Executor: ...


_EXECUTORS = {
    "inline": "benchmark.executors.inline:InlineExecutor",
    "local": "benchmark.executors.local:LocalExecutor",
}
"""Dotted paths rather than classes: an executor's dependencies are imported when it is chosen."""


def names() -> list[str]:
    return sorted(_EXECUTORS)


def create(name: str, *, jobs: int = 1, timeout: float | None = None, work: str = DEFAULT_WORK) -> Executor:
    """Builds an executor; starts nothing yet.

    Args:
        jobs: how many trials may run at once.
        timeout: seconds of wall clock that one trial may take; None for no limit.
        work: ``module:function`` of the ``function(job) -> RunRecord`` that runs one trial, imported where the trial runs.

    Raises:
        ExecutorError: no executor has this name.
        ValueError: ``jobs`` or ``timeout`` is not positive.
    """
    if name not in _EXECUTORS:
        close = difflib.get_close_matches(name, _EXECUTORS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ExecutorError(f"unknown executor {name!r}: {hint}Available: {', '.join(names())}")
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}, expected at least 1")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout is {timeout} s, expected more than 0, or None for no limit")
    module, _, attribute = _EXECUTORS[name].partition(":")
    factory = cast(_Factory, getattr(importlib.import_module(module), attribute))
    return factory(jobs=jobs, timeout=timeout, work=work)
