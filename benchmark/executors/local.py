"""A pool of warm worker processes on this machine.

``concurrent.futures`` gives up on all futures when one worker is killed, and cannot kill a worker that hangs. Here each worker has its own
pipe, so the loss of one is the loss of one trial.
"""

from __future__ import annotations

import atexit
import math
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from benchmark.executors import ExecutorError, Fault, Job, Outcome, Resources, Started
from benchmark.executors.confined import Cage
from benchmark.executors.process import Gone, WorkerProcess
from benchmark.executors.work import judge
from benchmark.executors.worker import Broken, Ready, Received
from benchmark.sandbox.memory import share

LOST_STARTS = 3
"""Workers, for each that there may be, that may be lost one after another before they are ready: killed with the fork server, say. More
than that is no accident."""


PAUSES = (0.05, 0.5)
"""Seconds before a worker is started again that could not be."""


class LocalExecutor:
    """Up to ``jobs`` trials at once, each in a process with one torch thread. Workers stay warm from one ``run`` to the next.

    A trial that takes longer than ``timeout`` seconds is killed; a worker that dies costs its own trial only; both are replaced. A user's
    method file is run in a confined child of a worker that has run nothing else (:mod:`benchmark.executors.confined`): whatever that code
    leaves behind (a default dtype, a forked child) does not reach other trials.
    Whatever ends a ``run`` early, Ctrl-C included, kills the trials under way; idle workers stay until ``close`` or the program's end.
    """

    def __init__(self, *, resources: Resources, work: str, parts: float | None = None) -> None:
        """``parts``: into how many the memory of the machine is shared out among users' files; by default as many as there are jobs."""
        self._size = resources.jobs or 1
        self._memory = share(parts or self._size)
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._timeout = resources.timeout
        self._work = work
        self._workers: list[WorkerProcess] = []
        self._running = False
        self._lost_starts = 0

    def run(self, jobs: Sequence[Job], started: Started | None = None) -> Iterator[Outcome]:
        """Hands out the jobs in order and yields their outcomes in the order of completion.

        Raises:
            ExecutorError: a worker does not start, the previous ``run`` was not read to its end, or this one was closed meanwhile.
        """
        if self._running:
            raise ExecutorError("this executor is still running other jobs: finish or close that iterator first")
        queue = deque(jobs)
        outcomes: list[Outcome] = []
        self._running = True
        try:
            while True:
                self._assign(queue, started)  # before yielding, so that no worker waits for the reader
                yield from outcomes
                if not self._running:
                    raise ExecutorError("this executor was closed before its jobs were done")
                if not queue and not self._busy():
                    break
                self._hire(min(self._size, len(queue) + self._busy()))
                outcomes = list(self._collect(queue))
        finally:  # whatever ends it, Ctrl-C and closing the iterator included
            self._running = False
            self._dismiss([worker for worker in self._workers if worker.job is not None])

    def close(self) -> None:
        """Ends all workers. A later ``run`` starts new ones."""
        atexit.unregister(self.close)
        self._running = False
        self._dismiss(list(self._workers))
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _busy(self) -> int:
        return sum(worker.job is not None for worker in self._workers)

    def _hire(self, wanted: int) -> None:
        if not self._workers:
            atexit.register(self.close)  # a pool that nobody closed would keep the interpreter from ending
        while len(self._workers) < wanted:
            self._workers.append(self._hired())

    def _hired(self) -> WorkerProcess:
        """A new worker. A fork server that was just killed refuses connections until it is buried; then there is another."""
        cage = self._cage()
        for pause in PAUSES:
            try:
                return WorkerProcess(self._work, cage)
            except ExecutorError:
                time.sleep(pause)
        return WorkerProcess(self._work, cage)

    def _cage(self) -> Cage:
        if self._scratch is None:
            try:
                self._scratch = tempfile.TemporaryDirectory(prefix="lossbench-jobs-", ignore_cleanup_errors=True)
            except OSError as error:
                raise ExecutorError(f"no temporary folder for users' files: {error.strerror}; make room, or set TMPDIR") from error
        return Cage(self._scratch.name, self._memory)

    def _dismiss(self, workers: Sequence[WorkerProcess]) -> None:
        """Kills those that are busy, lets the idle ones leave, and waits for all of them."""
        for worker in workers:
            self._workers.remove(worker)
            if worker.job is not None or not worker.ready:
                worker.kill()
            worker.hang_up()
        for worker in workers:
            worker.bury()

    def _assign(self, queue: deque[Job], started: Started | None) -> None:
        for worker in list(self._workers):
            if queue and worker.ready and worker.job is None:
                if queue[0].sources and worker.used:
                    self._dismiss([worker])  # what a trial leaves in its process (threads, a GPU) a confined child could not live with
                    continue
                job = queue.popleft()
                worker.assign(job, self._timeout)
                if started is not None:
                    started(job)

    def _collect(self, queue: deque[Job]) -> Iterator[Outcome]:
        """Waits for news from any worker or for the nearest deadline. A job that its worker did not live to see goes back to the queue."""
        deadline = min(worker.deadline for worker in self._workers)
        wait([source for worker in self._workers for source in worker.sources], _seconds_until(deadline))
        for worker in list(self._workers):
            job, ready = worker.job, worker.ready
            match worker.look():
                case None | Received():
                    pass
                case Ready():
                    self._lost_starts = 0
                case Broken(message=message):
                    self._dismiss([worker])
                    raise ExecutorError(f"a worker could not start: {message}")
                case Gone() as gone:
                    self._dismiss([worker])
                    if not ready:
                        self._lost_starts += 1
                        if not gone.machine or self._lost_starts > LOST_STARTS * self._size:
                            raise ExecutorError(f"a worker could not start: {gone.message}")
                    if job is not None and gone.status == "error" and not worker.started:
                        queue.appendleft(job)
                    elif job is not None:
                        yield Outcome(job, fault=Fault(gone.status, gone.message, gone.seconds, gone.machine))
                case reply:
                    outcome = judge(job, reply) if job is not None else None
                    if outcome is None or _spoilt(outcome):
                        worker.kill()
                        self._dismiss([worker])
                    if outcome is not None:
                        yield outcome


def _spoilt(outcome: Outcome) -> bool:
    """Whether the worker must not run another trial.

    A CUDA context does not recover from a fault in a kernel: every later trial in that process would fail too. A user's files ran in a
    process of their own, but for a problem of the user's with a method that is not: what that leaves behind must not reach other trials.
    """
    job = outcome.job
    failed = outcome.fault is not None or any(record.status in ("error", "oom") for record in outcome.records)
    return not job.sources and (bool(job.problems) or (failed and job.device != "cpu"))


def _seconds_until(deadline: float) -> float | None:
    return None if math.isinf(deadline) else max(0.0, deadline - time.monotonic())
