"""Foreign code in a child process: with a limit on everything, without network and secrets, and unable to write outside a folder.

What holds, on Linux with Landlock and seccomp (5.13 and later, any user; :func:`confine` says what a system lacks):

- nothing outside the writable folders can be written, renamed or removed, and nothing outside the readable ones can be opened: home
  folders, their tokens and the store's surroundings included. Folders can be listed and files' sizes seen. What lies
  beside the file of a user's problem can be read, hidden things left out.
- no socket can be opened, no process outside can be traced, nor (from 6.12) signalled.
- processor time, memory, files (each, and all together), the number of processes and the time on the clock are limited; a guard outside
  measures them and kills all that was started at once: nothing inside can leave its process group, or become its own grandparent.
- modes, owners, times and attributes of files, and the priority of processes, stay as they are, here and everywhere; memory that would
  outlive it, or that no process maps, cannot be had.
- the environment holds names from a list and nothing else, and the bytes of the old one are overwritten.

What does not hold, and what is done about it:

- Foreign code runs in the same interpreter as the checks on it. It can change them and say anything it likes. What comes out is
  therefore bounded, decoded to a type, and signed with a key that only the child's sender has, which stops whoever writes to every open
  file but not whoever searches the interpreter's memory, or the frames that called it. A verdict of ``validate`` is good evidence against
  mistakes and cheap tricks; the guard against the rest is that the harness makes the records of a submission, and that ``verify`` makes
  them again.
- Copies of a secret that this process made before it was confined may be left in memory that was freed.
- Kernels have bugs, and a shared machine has side channels. Run what is likely to attack you in a virtual machine of its own.
- The command lines of other processes can be read, as by every user of the system.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Send = Callable[[bytes], None]
"""What work in a sandbox tells the outside with."""
Work = Callable[[bytes, Send], None]
"""What runs in a sandbox: ``work(argument, send)``."""


@dataclass(frozen=True)
class Limits:
    """What foreign code may take.

    Attributes:
        seconds: on the clock; infinite where somebody else looks at it.
        memory: bytes of all its processes together, and of data in each; None for no limit.
        processes: programs that may run besides it at once, such as a compiler; 0 forbids any. It can never copy itself (``fork``).
        file_size: bytes of any file it writes.
        disk: bytes of all its files together. They are looked at once a second: until then it may write what the disk takes.
        local_sockets: whether it may open Unix sockets, which drivers of a GPU may want.
    """

    seconds: float = math.inf
    memory: int | None = None
    processes: int = 0
    file_size: int = 1 << 28
    disk: int = 1 << 32
    local_sockets: bool = False


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        status: ``ok`` (the work returned), ``error`` (it raised), ``timeout``, ``memory``, ``killed`` (it died, left in the middle, or was
            killed for something else than time and memory).
        message: one line; empty where it is ok.
        seconds: on the clock.
        output: what it printed, bounded; foreign text.
        trespasses: what it tried that is not allowed, as far as Python sees it: for the reader, since what is not seen is forbidden too.
        notes: what this system could not confine.
    """

    status: Literal["ok", "error", "timeout", "memory", "killed"]
    message: str
    seconds: float
    output: str = ""
    trespasses: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def run(
    work: str,
    argument: bytes,
    limits: Limits,
    on_message: Callable[[bytes], None] = lambda message: None,
    readable: Sequence[Path] = (),
    writable: Sequence[Path] = (),
) -> Ended:
    """Runs ``module:function`` as :data:`Work` in a confined child, and waits for it.

    The first call in a program takes the seconds that importing torch takes, the next ones some hundredths.

    Args:
        on_message: told of each message as it arrives, here. What it raises ends the child and comes through.
        readable: files and folders that may be read besides Python, its packages and the system's libraries.
        writable: folders, or files that exist, that may be written; a scratch folder that is removed afterwards is always there.

    Raises:
        ExecutorError: no child process can be started, or it cannot import the work.
    """
    from benchmark.sandbox.host import run

    return run(work, argument, limits, on_message, readable, writable)


def confine(writable: Sequence[Path], limits: Limits, readable: Sequence[Path] = (), scratch: Path | None = None) -> list[str]:
    """Confines this process for the rest of its life, before it loads foreign code; returns what the system did not allow, a line each.

    The environment is replaced by a short one in which home and temporary folder are ``scratch``, the first of ``writable`` by default.
    """
    from benchmark.sandbox.confinement import confine

    return confine(writable, limits, readable, scratch)
