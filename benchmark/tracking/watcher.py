"""The study's end of tracking: it says what happened, and never waits for an answer while there is something to train."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec
from rich.console import Console

from benchmark.errors import UsageError
from benchmark.plan import Study
from benchmark.records import RunRecord, TrialSpec
from benchmark.store import Store
from benchmark.study import Watcher
from benchmark.tracking import Options, content, folder
from benchmark.tracking.messages import Begin, Done, End, Order, Ready, Refused, Reply, Running, Seen, Start, Trouble
from benchmark.tracking.service import end, environment
from benchmark.views import printable

LOG_IN = 30.0
"""Seconds for the service to start and to know whether the server answers: its own limits are far below, but a cold disk may be slow."""

OPEN = 45.0
"""Seconds for a server that answers to open the run."""

STALL = {"offline": 60.0, "online": 120.0}
"""Seconds without a part of the last tables done, after which waiting for the service ends; a part takes a second on an idle machine."""

LEAVE = 12.0
"""Seconds for a service that was told to leave, or that is done; then it is killed."""


class Tracker(Watcher):
    """Tells a service process what to write to W&B. A context manager, and a watcher of :func:`benchmark.study.run`.

    Whatever happens to the service, methods return at once and raise nothing, but for :meth:`log_in` and :meth:`begin` when online: a user
    who asks for a server that is not to be had is told so before any training.

    Args:
        options: their mode may be ``off``: then this does nothing at all.
        store: of the study.
        console: for what the user is to know.
    """

    def __init__(self, options: Options, store: Store, console: Console) -> None:
        self._options, self._store, self._console = options, store, console
        self._results = store.root.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._temporary = ""
        self._unsent, self._unread = bytearray(), b""  # bytes of messages that are still to be sent, and of one that has begun to arrive
        self._heard: dict[type[Reply], Reply] = {}
        self._last = 0.0
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- before the study ---------------------------------------------------------------------------------------------------------------

    def log_in(self) -> None:
        """Online, waits until it is known that the server will have us. Writes nothing below the results.

        Raises:
            UsageError: nobody is logged in, or the server does not answer.
        """
        if self._options.mode == "online":
            self._start()
            self._demand(Ready, LOG_IN)

    def _start(self) -> None:
        self._temporary = tempfile.mkdtemp(prefix="lossbench-wandb-")
        start = msgspec.json.encode(Start(self._options, str(self._results), self._temporary)).decode()
        paths = os.pathsep.join(path for path in sys.path if path)
        variables = environment(os.environ, self._temporary) | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "benchmark.tracking.service", start],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=variables,
                start_new_session=True,  # Ctrl-C is for the study, which then lets the service close the run
            )
        except OSError as error:
            self._give_up(f"its process does not start ({error.strerror})")
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for stream in (self._process.stdin, self._process.stdout):
            os.set_blocking(stream.fileno(), False)

    def begin(self, study: Study) -> None:
        """Opens the study's run.

        Raises:
            UsageError: online, the server will not have it.
        """
        if self._options.mode == "offline":
            self._start()
        if self._process is not None:
            self._tell(Begin(study.suite.name, content.configuration(study)))
            if self._options.mode == "online":
                self._demand(Running, OPEN)

    # -- while it runs ------------------------------------------------------------------------------------------------------------------

    def stage(self, name: str, todo: Sequence[TrialSpec], done: int) -> None:
        """Stages are no business of W&B's: each row says its role."""

    def seen(self, record: RunRecord) -> None:
        """Passes on where the record is."""
        if self._process is not None:
            self._tell(Seen(str(self._store.path(record.spec).resolve())))

    # -- after it -----------------------------------------------------------------------------------------------------------------------

    def end(self, tuning: Iterable[RunRecord], evaluation: Iterable[RunRecord]) -> None:
        """The study is done; these are its records. The service goes to work, and :meth:`close` waits for it."""
        if self._process is not None:
            paths = [[str(self._store.path(record.spec).resolve()) for record in records] for records in (tuning, evaluation)]
            self._tell(End(*paths))
            self._ended = True

    def close(self) -> None:
        """Waits for what is still to be written, within limits, and says where the run is."""
        if self._process is not None and self._ended:
            try:
                self._finish()
            except KeyboardInterrupt:
                self._give_up("interrupted")
                raise
        if self._process is not None:
            self._say_where()
        self._part()

    def _finish(self) -> None:
        """Waits as long as something is being done."""
        limit, since = STALL[self._options.mode], time.monotonic()
        self._last, told = since, False
        while self._process is not None and Done not in self._heard:
            going, now = self._exchange(1.0), time.monotonic()
            if not going and Done not in self._heard:
                self._give_up()
            elif now - self._last > limit:
                self._give_up(f"nothing has happened for {limit:g} s")
            elif not told and now - since > 5:
                self._print("waiting for W&B to take the tables; Ctrl-C leaves them for later")
                told = True

    def _say_where(self) -> None:
        running = self._heard.get(Running)
        if isinstance(running, Running):
            where = running.url or f"{running.run} in {folder(self._results)}"
            self._print(f"W&B run: {where}")
            if self._options.mode == "offline":
                self._print(f"send it: {self._later()}")

    def _later(self) -> str:
        """The command that sends what is there."""
        running, online = self._heard.get(Running), self._options.mode == "online"
        pattern = f"{'run' if online else 'offline-run'}-*" + (f"-{running.run}*" if isinstance(running, Running) else "")
        return f"wandb sync {'--include-online ' if online else ''}{shlex.quote(str(folder(self._results)))}/{pattern}"

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    # -- the pipe -----------------------------------------------------------------------------------------------------------------------

    def _demand(self, wanted: type[Reply], limit: float) -> None:
        """Waits for an answer. What stands in its way is for the user to mend, as nothing has been trained yet."""
        deadline = time.monotonic() + limit
        while wanted not in self._heard:
            left = deadline - time.monotonic()
            if not self._exchange(left) or left <= 0:
                refused, reason = self._heard.get(Refused), self._reason() if left > 0 else f"no answer within {limit:g} s"
                self._part(0.0)
                if isinstance(refused, Refused):
                    raise UsageError(refused.message)
                raise UsageError(
                    f"--wandb online: W&B does not start: {reason}; use --wandb offline, and send the run later with wandb sync"
                )

    def _tell(self, order: Order) -> None:
        """Puts a message on its way; what the pipe does not take now waits for the next one."""
        if self._process is not None:
            self._unsent += msgspec.json.encode(order) + b"\n"
            if not self._exchange(0.0):
                self._give_up()

    def _exchange(self, seconds: float) -> bool:
        """Sends and receives what can be, waiting at most so long for any of it; False where the service has gone or given up."""
        if self._process is None:
            return False
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        into, out = self._process.stdin.fileno(), self._process.stdout.fileno()
        readable, writable, _ = select.select([out], [into] if self._unsent else [], [], max(seconds, 0.0))
        if writable:
            with suppress(OSError):  # it is full after all, or broken, as reading will show
                del self._unsent[: os.write(into, self._unsent)]
        if readable:
            data = os.read(out, 1 << 16)
            if not data:
                return False
            self._last = time.monotonic()
            *lines, self._unread = (self._unread + data).split(b"\n")
            for line in lines:
                reply = msgspec.json.decode(line, type=Reply)
                self._heard[type(reply)] = reply
        return Trouble not in self._heard and Refused not in self._heard

    def _reason(self) -> str:
        said = self._heard.get(Trouble) or self._heard.get(Refused)
        return said.message if isinstance(said, Trouble | Refused) else "its process has ended"

    def _give_up(self, reason: str = "") -> None:
        """Tracking is over, the study is not: said once."""
        text = printable(
            f"warning: W&B tracking has stopped: {reason or self._reason()}; the study is not affected. Send later what there is:"
        )
        self._print(f"{text} {self._later()}", style="yellow")
        self._part(0.0)

    def _part(self, patience: float = LEAVE) -> None:
        """Lets the service end within that many seconds, or ends it, with everything that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            if select.select([process.stdout], [], [], left)[0] and not os.read(process.stdout.fileno(), 1 << 16):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(deadline - time.monotonic(), 0.0))
                break
        if process.returncode is None:  # else its number may be another's by now
            end(process.pid)
        process.wait()
        process.stdout.close()
        shutil.rmtree(self._temporary, ignore_errors=True)
