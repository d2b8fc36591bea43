"""The driver's end of one worker process, and the fork server that all of them come from."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Literal

import msgspec

from benchmark.executors import ExecutorError, Job, preload
from benchmark.executors.confined import Cage
from benchmark.executors.worker import Received, Reply, main

START_LIMIT = 180.0
"""Seconds that a worker may take to import. It takes one or two; this is for a cold network drive."""

LEAVE_LIMIT = 2.0
"""Seconds that an idle worker may take to leave, and a killed one to be gone."""


ORPHANED = 255
"""What multiprocessing takes for the exit code of a process whose fork server is gone, dead or not."""


@dataclass(frozen=True)
class Gone:
    """The worker is no more, or may be no more: it died, or it is past its time and must be killed."""

    status: Literal["timeout", "error"]
    message: str
    seconds: float
    machine: bool = False
    """Something else than its own doing may have ended it: a signal, such as the kernel sends where memory runs out."""


class WorkerProcess:
    """One worker: starting until it is ``ready``, then busy while it has a ``job`` (received once ``started``), else idle."""

    def __init__(self, work: str, cage: Cage) -> None:
        """Starts the process. The first one in a program takes some seconds, for the fork server's imports; the next ones milliseconds.

        Raises:
            ExecutorError: the fork server does not answer.
        """
        self.ready = False
        self.job: Job | None = None
        self.started = False
        self.used = False
        """Whether it has run a job itself."""
        self._since = time.monotonic()
        self._deadline = self._since + START_LIMIT
        try:
            self._output = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process: _release closes it)
        except OSError as error:
            raise ExecutorError(f"no temporary file for a worker's output: {error.strerror}; make room, or set TMPDIR") from error
        self.connection, theirs = multiprocessing.Pipe()
        # A Connection is how multiprocessing passes an open file on to a process that is not a child of this one.
        output = Connection(os.dup(self._output.fileno()), readable=False)
        self.process = new_process(main, (theirs, output, work, msgspec.msgpack.encode(cage)))
        try:
            start(self.process, work)
        except BaseException:
            self._release()  # also tells a process that the fork server may still start to leave
            raise
        finally:
            theirs.close()
            output.close()

    @property
    def deadline(self) -> float:
        """On the clock of ``time.monotonic``; infinity while there is nothing to wait for."""
        return self._deadline

    @property
    def sources(self) -> tuple[Connection, int]:
        """What to wait on: something can be read, or the process has ended."""
        return self.connection, self.process.sentinel

    def assign(self, job: Job, timeout: float | None) -> None:
        """Hands over a job. If the idle worker has just died, ``look`` will say so, and ``started`` stays False."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(msgspec.msgpack.encode(job))
        self.job = job
        self.used |= not job.sources
        self.started = False
        self._since = time.monotonic()
        self._deadline = math.inf if timeout is None else self._since + timeout

    def look(self) -> Reply | Gone | None:
        """What happened since last time, without waiting. A reply counts even if it was read too late or its sender is dead by now."""
        alive = self.process.is_alive()  # asked first: what a dead process has sent is there to be read
        try:
            reply: Reply | None = msgspec.msgpack.decode(self.connection.recv_bytes(), type=Reply) if self.connection.poll() else None
        except (EOFError, ConnectionResetError):
            alive, reply = False, None  # hung up: dead or about to be
        seconds = time.monotonic() - self._since
        if isinstance(reply, Received):
            self.started = True
        elif reply is not None:
            self.ready, self.job, self._deadline = True, None, math.inf
        if reply is not None:
            return reply
        if not alive:
            self.process.join(LEAVE_LIMIT)
            code = self.process.exitcode
            return Gone("error", _epitaph(code) + self._last_words(), seconds, machine=code is None or code < 0 or code == ORPHANED)
        if time.monotonic() > self._deadline:
            return Gone("timeout", f"still running after {seconds:.1f} s: killed{self._last_words()}", seconds)
        return None

    def kill(self) -> None:
        """SIGKILL, which no trial can ignore. Does not wait.

        A worker with a confined child is left to end when its connection is closed: it kills all that its child has started first.
        """
        if self.job is None or not self.job.sources:
            self.process.kill()

    def hang_up(self) -> None:
        """Closes the connection, at which an idle worker leaves. Does not wait."""
        self.connection.close()

    def bury(self) -> None:
        """Waits until the process is gone, by force if it must be, and frees what belonged to it."""
        self.hang_up()
        self.process.join(LEAVE_LIMIT)
        self.process.kill()
        self.process.join(LEAVE_LIMIT)  # bounded: a process stuck in the kernel dies when the kernel lets go of it
        if self.process.exitcode is not None:
            self.process.close()
        self._release()

    def _release(self) -> None:
        self.connection.close()
        self._output.close()

    def _last_words(self) -> str:
        file = self._output.fileno()
        size = os.fstat(file).st_size
        tail = os.pread(file, 400, max(0, size - 400)).decode(errors="replace")
        lines = [line.strip() for line in tail.splitlines() if line.strip()]
        return f"; last output: {lines[-1]}" if lines else ""


def new_process(target: Callable[..., None], arguments: tuple[object, ...]) -> ForkServerProcess:
    """To be started by :func:`start`. Not daemonic: a daemonic process may not have children, and some need them."""
    return multiprocessing.get_context("forkserver").Process(target=target, args=arguments, name="lossbench-worker", daemon=False)


def start(process: ForkServerProcess, work: str) -> None:
    """Starts a process from the fork server, and that server if need be, with what ``work`` imports.

    Raises:
        ExecutorError: the fork server does not answer.
    """
    try:
        _ensure_server(work)
        with _no_main(), _no_interrupt():  # between starting a process and telling it what to do, which it would complain about
            process.start()
    except (EOFError, OSError) as error:
        raise ExecutorError(f"the fork server does not answer ({error!r}): see above for what it printed") from error


def _epitaph(code: int | None) -> str:
    """What a worker ended of, by its exit code; None is that of one that lives on without its connection."""
    if code is None:
        return "worker hung up"
    if code >= 0:
        return f"worker died: exit code {code}"
    known = -code in signal.valid_signals()
    name = f" ({signal.Signals(-code).name})" if known else ""
    hint = "; out of memory?" if -code == signal.SIGKILL else ""
    return f"worker died: signal {-code}{name}{hint}"


def _ensure_server(work: str) -> None:
    """Starts the fork server if it is not running. There is one in a program, for all pools; it ends with the program."""
    multiprocessing.set_forkserver_preload(["torch", "torch._dynamo", preload.__name__])
    resource_tracker.ensure_running()  # by itself first, since starting it unblocks SIGINT
    # A blocked signal is inherited: Ctrl-C during the server's imports would end it with a traceback.
    with _no_interrupt(), _environment(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", **{preload.VARIABLE: work.partition(":")[0]}):
        forkserver.ensure_running()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C arrives when this is left."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_main() -> Iterator[None]:
    """Keeps multiprocessing from running the program's main file again in each worker, which needs nothing of it.

    It would skip ``python -m benchmark``, but import the whole command line for the ``lossbench`` script, and run an unguarded user
    script from the top.
    """
    main_module = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module
