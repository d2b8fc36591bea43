"""Where trials run. Every executor takes jobs and yields outcomes as they complete; which one ran a trial is not part of its result."""

from __future__ import annotations

import difflib
import importlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
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
    """What is sent to a worker: trials and where to run them. Nothing here but ``specs`` may change the numbers that come back."""

    specs: tuple[TrialSpec, ...]
    """One trial, or seeds of one configuration that are trained in one pass."""
    device: str
    sources: tuple[str, ...] = ()
    """User method files and objects that the worker must load before it can build the method."""
    where: Locations = msgspec.field(default_factory=Locations)
    """Where the problem may look for its data."""
    problems: tuple[str, ...] = ()
    """Objects of the user, by file or module, that the worker must load before it knows the problem."""

    @property
    def spec(self) -> TrialSpec:
        """The trial; the first of those that are trained together, which differ in nothing but their seed."""
        return self.specs[0]

    @property
    def foreign(self) -> tuple[str, ...]:
        """Everything of the user's that the worker will run."""
        return self.sources + self.problems


@dataclass(frozen=True)
class Fault:
    """Why there is no record: what happened to the worker, for whoever turns it into a record."""

    status: Literal["timeout", "oom", "error"]
    message: str
    """One line."""
    seconds: float
    """Wall clock between handing out the job and losing it."""
    machine: bool = False
    """Whether the fault may be the machine's (a worker killed or lost, a node gone) and so worth another try; a trial that raised or took
    too long would do so again."""


@dataclass(frozen=True)
class Outcome:
    """Records, one a spec and in their order, or a fault. A trial that failed by itself has a record of status ``error`` or the like."""

    job: Job
    records: tuple[RunRecord, ...] = ()
    fault: Fault | None = None


Started = Callable[[Job], None]
"""Told of a job that is now under way; called where the executor's iterator is read."""


class Executor(Protocol):
    """Runs jobs. A context manager: leaving it, however that happens, leaves no worker behind."""

    def run(self, jobs: Sequence[Job], started: Started | None = None) -> Iterator[Outcome]:
        """Yields one outcome per job, in the order of completion. Closing the iterator early abandons what has not completed.

        ``started`` hears of a job when it is handed out; of one whose worker did not live to see it, again. An executor that does not know
        never calls it.

        Raises:
            ExecutorError: the work cannot be imported, or a worker does not start.
        """

    def close(self) -> None:
        """Ends the workers. May be called again."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@dataclass(frozen=True)
class Resources:
    """What an executor may use."""

    jobs: int | None = 1
    """Trials at once; None for as many as the cluster has room for."""
    timeout: float | None = None
    """Seconds of wall clock that one job may take; None for no limit."""
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    address: str | None = None
    """Of a cluster, for an executor that knows such; None for this machine alone."""

    def __post_init__(self) -> None:
        if self.jobs is None and self.address is None:
            raise ValueError("jobs is None, expected a number of trials at once where there is no cluster to ask")
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs is {self.jobs}, expected at least 1")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout is {self.timeout} s, expected more than 0, or None for no limit")
        if not 0 < self.cpus_per_trial < math.inf:
            raise ValueError(f"cpus_per_trial is {self.cpus_per_trial}, expected more than 0")
        if not 0 <= self.gpus_per_trial < math.inf:
            raise ValueError(f"gpus_per_trial is {self.gpus_per_trial}, expected 0 or more")


class _Factory(Protocol):
    def __call__(self, *, resources: Resources, work: str) -> Executor: ...


_EXECUTORS = {
    "inline": "benchmark.executors.inline:InlineExecutor",
    "local": "benchmark.executors.local:LocalExecutor",
    "ray": "benchmark.executors.ray:RayExecutor",
}
"""Dotted paths rather than classes: an executor's dependencies are imported when it is chosen."""


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def names() -> list[str]:
    return sorted(_EXECUTORS)


def create(name: str, resources: Resources | None = None, *, work: str = DEFAULT_WORK) -> Executor:
    """Builds an executor; starts nothing yet.

    Args:
        resources: one trial at a time and no limit by default.
        work: ``module:function`` of the ``function(job) -> Sequence[RunRecord]`` that runs one job, imported where the job runs.

    Raises:
        ExecutorError: no executor has this name.
    """
    if name not in _EXECUTORS:
        close = difflib.get_close_matches(name, _EXECUTORS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ExecutorError(f"unknown executor {name!r}: {hint}Available: {', '.join(names())}")
    module, _, attribute = _EXECUTORS[name].partition(":")
    factory = cast(_Factory, getattr(importlib.import_module(module), attribute))
    return factory(resources=resources or Resources(), work=work)
