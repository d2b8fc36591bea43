"""Names what foreign code tries: messages for the reader, from Python's audit events. It is not the border, which is the kernel's.

Whoever calls the system past Python is not seen here, and stopped all the same; and code that wants to can silence this.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MOST = 16
"""Trespasses that are told; more say nothing more."""
LONGEST = 300
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

KINDS = {
    "opened": "files", "changed": "files", "read": "files", "connected": "network", "asked": "network", "started": "programs",
    "signalled": "programs", "unpickled": "pickle",
}  # fmt: skip
"""The check that a trespass is of, by its first word."""

_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.link", "os.symlink", "os.utime")
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
_FORKS = ("os.fork", "os.forkpty")


def kind(trespass: str) -> str:
    """The name of the check that it breaks."""
    return KINDS[trespass.partition(" ")[0]]


def watch(readable: Sequence[Path], writable: Sequence[Path], tell: Callable[[str], None], *, processes: bool = False) -> None:
    """From here on, tells once of everything that is not allowed. It cannot be undone.

    Args:
        tell: given one line. It must not raise.
        processes: whether starting a program is allowed.
    """
    inside = tuple(os.path.realpath(path) for path in writable)
    visible = (*(os.path.realpath(path) for path in readable), *inside)
    told: set[str] = set()
    busy = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy or len(told) >= MOST:
            return
        busy = True
        try:
            line = _trespass(event, arguments, visible, inside, processes)
            if line and line not in told:
                told.add(line)
                tell(line[:LONGEST])
        finally:
            busy = False

    sys.addaudithook(hook)


def _trespass(event: str, arguments: tuple[Any, ...], visible: tuple[str, ...], inside: tuple[str, ...], processes: bool) -> str:
    """One line; empty where the event is allowed."""
    if event == "open":
        path, _, flags = arguments
        place = _place(path)
        if not place:
            return ""
        if isinstance(flags, int) and flags & WRITING:
            return "" if _in(place, inside) else f"opened {place} for writing"
        return "" if _in(place, visible) or not os.path.isfile(place) else f"read {place}"
    if event in _CHANGES:
        outside = [place for place in map(_place, arguments[:2]) if place and not _in(place, inside)]
        return f"changed {outside[0]} ({event})" if outside else ""
    if event in _STARTS:
        return "" if processes else f"started a process ({event}{_words(arguments[:2])})"
    if event in _FORKS:
        return f"started a process ({event})"
    if event in ("socket.connect", "socket.bind", "socket.sendto"):
        return f"connected to {arguments[-1]!r} ({event})"
    if event == "socket.__new__":
        return "connected to nothing yet, but opened a socket (socket.socket)"
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return f"asked for the address of {arguments[0]!r}"
    if event in ("os.kill", "os.killpg"):
        return "" if arguments[0] in (os.getpid(), 0) else f"signalled process {arguments[0]!r}"
    if event == "pickle.find_class":
        return f"unpickled an object ({arguments[0]}.{arguments[1]})"
    return ""


def _place(path: object) -> str:
    """The real path; nothing for an open file, or what is no path."""
    if isinstance(path, (str, bytes, os.PathLike)):
        try:
            return os.path.realpath(os.fsdecode(path))
        except (ValueError, OSError):
            return ""
    return ""


def _in(place: str, folders: tuple[str, ...]) -> bool:
    return any(place == folder or place.startswith(folder.rstrip("/") + "/") for folder in folders)


def _words(arguments: tuple[Any, ...]) -> str:
    return "".join(f", {argument!r}" for argument in arguments if argument)
