"""One job, from work to outcome, in two halves: ``attempt`` where the trial runs, ``judge`` where its outcome is wanted.

Every executor uses both, so that a job comes out the same wherever it ran: its record has always been through the bytes that the store
holds, and a record that could not be read back from there is a fault here already.
"""

from __future__ import annotations

import importlib
import os
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Literal, cast

import msgspec

from benchmark import records
from benchmark.executors import Fault, Job, Outcome
from benchmark.records import RunRecord

Work = Callable[[Job], Sequence[RunRecord]]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The work returned."""

    records: list[bytes]
    seconds: float


class Raised(msgspec.Struct, frozen=True, tag=True):
    """The work raised."""

    message: str
    seconds: float
    memory: bool = False
    """It was a MemoryError."""


class Lost(msgspec.Struct, frozen=True, tag=True):
    """The process that ran the work was ended, or ended itself, before there was anything to return."""

    status: Literal["timeout", "oom", "error"]
    message: str
    seconds: float
    machine: bool = False
    """As of :class:`benchmark.executors.Fault`."""


def resolve(work: str) -> Work:
    """Imports ``module:function``.

    Raises:
        ValueError: not of this form.
        ImportError: no such module or no such function in it; anything else that importing the module raises comes through.
    """
    module, colon, attribute = work.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"work is {work!r}, expected 'module:function'")
    function = getattr(importlib.import_module(module), attribute, None)
    if not callable(function):
        raise ImportError(f"work is {work!r}, but module {module!r} has no function {attribute!r}")
    return cast(Work, function)


def one_line(error: BaseException) -> str:
    """What the traceback would end with, whatever line breaks the message has."""
    return " ".join("".join(traceback.format_exception_only(error)).split())


def attempt(function: Work, job: Job) -> Done | Raised:
    """Runs the job. Raises nothing but KeyboardInterrupt: a ``sys.exit`` in a user's method must not end a study."""
    start = time.monotonic()
    try:
        encoded = [records.encode(record) for record in function(job)]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a trial raises is its outcome, and is reported
        frame = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{one_line(error)} ({os.path.basename(frame.filename)}:{frame.lineno})"
        return Raised(message, time.monotonic() - start, memory=isinstance(error, MemoryError))
    return Done(encoded, time.monotonic() - start)


def judge(job: Job, reply: Done | Raised | Lost) -> Outcome:
    """What came of the job, the records checked."""
    if isinstance(reply, Lost):
        return Outcome(job, fault=Fault(reply.status, reply.message, reply.seconds, reply.machine))
    if isinstance(reply, Raised):
        return Outcome(job, fault=Fault("oom" if reply.memory else "error", reply.message, reply.seconds))
    try:
        found = tuple(map(records.decode, reply.records))
    except records.BadRecord as error:
        return Outcome(job, fault=Fault("error", f"the trial returned a bad record: {error}", reply.seconds))
    wanted, got = ([each.id for each in these] for these in (job.specs, found))
    if wanted != got:
        message = f"trial {', '.join(wanted)} returned the record of {', '.join(got) or 'nothing'}"
        return Outcome(job, fault=Fault("error", message, reply.seconds))
    return Outcome(job, found)
