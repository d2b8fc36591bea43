"""The process outside: it starts the confined one, listens, measures, and ends it with all that it started."""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NoReturn

from benchmark.sandbox import Ended, Limits, audit, channel, folders, kernel, places
from benchmark.sandbox.confinement import confine

TICK = 0.05
"""Seconds between two measurements."""
LOOK = 1.0
"""Seconds between two looks at its files, and for processes that it started, unless the machine has many more than before."""
LEAVING = 1.0
"""Seconds between closing the pipe and being gone."""
DYING = 0.005
"""Seconds to wait for processes that were killed."""
NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "std::bad_alloc", "out of memory")
"""What errors say, other than MemoryError, where memory ran out."""
LONGEST = 2000
"""Characters of a message."""

Status = Literal["ok", "error", "timeout", "memory", "killed"]
Inside = Callable[[Callable[[bytes], None]], None]


def guarded(
    inside: Inside,
    limits: Limits,
    hear: Callable[[bytes], None],
    *,
    readable: Sequence[Path] = (),
    writable: Sequence[Path] = (),
    listed: Sequence[Path] = (),
    ends: Sequence[int] = (),
    folder: str | None = None,
) -> Ended:
    """Runs ``inside(send)`` in a confined child of this process, which must have one thread and must not have used a GPU.

    Args:
        hear: given what is sent, here.
        listed: folders whose names of files can be seen.
        ends: open files; when the other end of one is closed, the run is over.
        folder: where the scratch folder is made.
    """
    kernel_adopts = _adopt_orphans()
    scratch = Path(tempfile.mkdtemp(prefix="lossbench-scratch-", dir=folder)).resolve()
    start = time.monotonic()
    ours, theirs = os.pipe()
    key = channel.key()
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _live(inside, limits, readable, writable, listed, scratch, theirs, key, guard)
    os.close(theirs)
    with suppress(OSError):
        os.setpgid(child, child)  # the child does the same: whoever is first, it is done before anybody needs it
    watched = _Run(child, limits, channel.Receiver(key), hear, (scratch, *(folder for folder in writable if folder.is_dir())))
    try:
        watched.follow(ours, ends, start)
    finally:
        os.close(ours)
        code = _end(child, kernel_adopts)
        shutil.rmtree(scratch, ignore_errors=True)
    status, message = watched.verdict(code)
    notes = tuple(watched.notes)
    return Ended(status, message, time.monotonic() - start, trespasses=tuple(watched.trespasses), notes=notes)


class _Run:
    """What is known of a run so far."""

    def __init__(
        self, child: int, limits: Limits, receiver: channel.Receiver, hear: Callable[[bytes], None], writable: Sequence[Path]
    ) -> None:
        self.child, self.limits, self.receiver, self.hear, self.writable = child, limits, receiver, hear, writable
        self.trespasses: list[str] = []
        self.notes: list[str] = []
        self.end: tuple[Status, str] | None = None
        self._family, self._counted, self._looked, self._before = [child], time.monotonic(), time.monotonic(), _threads()

    def follow(self, pipe: int, ends: Sequence[int], start: float) -> None:
        """Until it has said how it ended, has died, or had to be stopped."""
        sources = select.poll()
        sources.register(pipe, select.POLLIN)
        for file in ends:
            sources.register(file, 0)  # what is always reported: that the other end is closed
        measured = start
        while self.end is None:
            for file, event in sources.poll(TICK * 1000):
                if file != pipe:
                    self.end = "killed", "nobody waits for it any more"
                elif not (event & select.POLLIN and self._read(pipe)):
                    self._leaves()
                    return
            now = time.monotonic()
            if now - start > self.limits.seconds:
                self.end = self.end or ("timeout", f"still running after {now - start:.1f} s: killed")
            if now - measured > TICK:
                measured = now
                self._measure()
                if self.end is None and _gone(self.child):
                    self._read_rest(pipe)
                    return

    def verdict(self, code: int) -> tuple[Status, str]:
        """How it ended; ``code`` as :func:`os.waitstatus_to_exitcode` gives it."""
        if self.end is not None:
            return self.end
        if code == -signal.SIGXCPU:
            return "timeout", "all its processor time is used up: killed"
        if code < 0:
            name = f" ({signal.Signals(-code).name})" if -code in signal.valid_signals() else ""
            return "killed", f"died: signal {-code}{name}{'; out of memory?' if -code == signal.SIGKILL else ''}"
        return "killed", f"left in the middle, with exit code {code}"

    def _leaves(self) -> None:
        """It is over, or every process inside has closed the pipe: then nothing more can be heard of it."""
        since = time.monotonic()
        while self.end is None and not _gone(self.child):
            if time.monotonic() - since > LEAVING:
                self.end = "killed", "closed the pipe that it reports through, and went on: killed"
            time.sleep(DYING)

    def _read(self, pipe: int) -> bool:
        """Takes in what is there; whether anything is or may yet be."""
        data = os.read(pipe, 1 << 20)
        try:
            messages = self.receiver.feed(data)
        except channel.Garbled as error:
            self.end = "killed", f"wrote {error}"
            return False
        for kind, payload in messages:
            text = payload[: 4 * LONGEST].decode(errors="replace")[:LONGEST] if kind != channel.MESSAGE else ""
            if kind == channel.MESSAGE:
                self.hear(payload)
            elif kind == channel.TRESPASS:
                if len(self.trespasses) < audit.MOST:
                    self.trespasses.append(text)
            elif kind == channel.NOTE:
                self.notes.append(text)
            elif kind == channel.DONE:
                self.end = "ok", ""
            else:
                self.end = ("memory" if kind == channel.NO_MEMORY else "error"), text
            if self.end:
                return False
        return bool(data)

    def _read_rest(self, pipe: int) -> None:
        """What the dead has sent. A descendant may still hold the pipe, so that its end never comes."""
        while select.select([pipe], [], [], 0)[0] and self._read(pipe):
            pass

    def _measure(self) -> None:
        if not kernel.LINUX or self.end is not None:
            return
        many = _threads() > self._before + self.limits.processes
        now = time.monotonic()
        if self.limits.processes and (many or now - self._counted > LOOK):
            self._family, self._counted = _family(self.child), now
        family = self._family
        if now - self._looked > LOOK:
            self._look(family)
            self._looked = time.monotonic()
        if len(family) - 1 > self.limits.processes:
            self.end = "killed", f"had {len(family) - 1} processes running, more than the {self.limits.processes} allowed: killed"
        elif self.limits.memory is not None and sum(map(_resident, family)) > self.limits.memory:
            taken = sum(map(_share, family))
            if taken > self.limits.memory:
                self.end = "memory", f"took {taken / 1e9:.2f} GB of memory, more than the {self.limits.memory / 1e9:.2f} GB allowed: killed"

    def _look(self, family: Sequence[int]) -> None:
        most = self.limits.disk
        size, count = folders.taken(self.writable, family, most)
        if size > most:
            self.end = "killed", f"wrote files of {size / 1e9:.2f} GB, more than the {most / 1e9:.2f} GB allowed: killed"
        elif count > folders.MOST:
            self.end = "killed", f"made more than {folders.MOST:,} files: killed"


def _live(
    inside: Inside,
    limits: Limits,
    readable: Sequence[Path],
    writable: Sequence[Path],
    listed: Sequence[Path],
    scratch: Path,
    pipe: int,
    key: bytes,
    guard: int,
) -> NoReturn:
    """The child's life: confined first, then whatever it is for. It never returns to what its parent was doing."""
    try:
        send = channel.sender(pipe, key)
        try:
            os.setpgid(0, 0)
            _die_with(guard)
            _close_all_but(pipe)
            for note in confine(writable, limits, readable, scratch, listed):
                send(channel.NOTE, note.encode())
            may_read = (*map(Path, places.SYSTEM), *places.packages(), *readable)
            may_write = (scratch, *writable, *places.devices(limits.local_sockets))
            audit.watch(
                may_read, may_write, lambda line: send(channel.TRESPASS, line.encode(errors="replace")), processes=limits.processes > 0
            )
            os.chdir(scratch)
            inside(lambda message: send(channel.MESSAGE, message))
            sys.stdout.flush()
            send(channel.DONE, b"")
        except BaseException as error:  # noqa: BLE001 - whatever it raises, sys.exit included, is its outcome
            short = isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)
            send(channel.NO_MEMORY if short else channel.RAISED, _one_line(error).encode(errors="replace"))
    finally:
        os._exit(1)


def _one_line(error: BaseException) -> str:
    """What the traceback would end with, and where."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())[:LONGEST]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else text


def _die_with(guard: int) -> None:
    if kernel.LINUX:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)


def _close_all_but(pipe: int) -> None:
    """Standard streams and the pipe stay: a connection to the driver, or to a helper of multiprocessing, must not be found in here."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.closerange(3, pipe)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    os.closerange(pipe + 1, 1 << 20 if limit == resource.RLIM_INFINITY else limit)


def _adopt_orphans() -> bool:
    """Makes this process the parent of all whose own has ended; whether it is."""
    if not kernel.LINUX:
        return False
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    return True


def _end(child: int, adopted: bool) -> int:
    """Kills the whole group at once, then whoever left it where that was not forbidden, and gives the child's exit code."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # before the child is waited for, so that its number is not another's
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    while adopted:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            break
        for orphan in _family(child):
            with suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        time.sleep(DYING)
    return code


def _gone(child: int) -> bool:
    """Whether it has ended; its exit code can still be asked for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _threads() -> int:
    """Of the whole machine; 0 where the system does not say. Cheaper by far than looking for those of one process."""
    with suppress(OSError):
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    return 0


def _family(group: int) -> list[int]:
    """The processes of a group, and those that this one has adopted; zombies are none."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            state, parent, its = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:3]
            if state not in "ZX" and (int(its) == group or int(parent) == os.getpid()):
                found.append(int(name))
    return found


def _resident(pid: int) -> int:
    """Bytes in memory that are its own or shared with others, and the kernel's tables of them, which what is mapped and never written takes
    as well; 0 of the dead. Cheap, and too much after a fork."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:", "VmPTE:")))
    return 0


def _share(pid: int) -> int:
    """The same, with what is shared divided by the number of those who share it."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        own = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in [*lines, *own] if line.startswith(("Pss_Anon:", "Pss_Shmem:", "VmPTE:")))
    return 0
