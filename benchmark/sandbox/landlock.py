"""Landlock: the kernel lets a process give up rights to files, TCP and signals, for itself and all that it starts. Any user may.

https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from ctypes import create_string_buffer
from pathlib import Path

from benchmark.sandbox import kernel

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
VERSION = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = EXECUTE | READ_FILE | READ_DIR
RIGHTS = {1: (1 << 13) - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
"""Of files, by the version that brought them: 13 with the first."""
TCP = {4: 0b11}
"""To bind and to connect."""
SCOPES = {6: 0b11}
"""Abstract Unix sockets and signals: nothing of the kind reaches processes outside."""


def version() -> int:
    """Of Landlock in this kernel; 0 where there is none."""
    if not kernel.LINUX:
        return 0
    try:
        return kernel.call(CREATE_RULESET, None, 0, VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def restrict(readable: Iterable[Path], writable: Iterable[Path], listed: Iterable[Path] = ()) -> int:
    """Leaves this thread, and all that it starts, no files but these and what is in these folders; returns the version that did so.

    Of the folders ``listed`` names can be seen, and of those in them.

    What does not exist is left out. Only to be called after the privileges were dropped.

    Raises:
        OSError: the kernel has no Landlock, or refuses.
    """
    found = version()
    if not found:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    files, tcp, scopes = (sum(bits for since, bits in table.items() if since <= found) for table in (RIGHTS, TCP, SCOPES))
    sizes = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}
    attributes = struct.pack("=QQQ", files, tcp, scopes)[: sizes.get(found, 24)]
    ruleset = kernel.call(CREATE_RULESET, create_string_buffer(attributes, len(attributes)), len(attributes), 0)
    try:
        for paths, rights in ((readable, READ), (writable, files), (listed, READ_DIR)):
            for path in paths:
                _allow(ruleset, path, rights & files)
        kernel.call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return found


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(file).st_mode):
                rights &= OF_FILES
            rule = struct.pack("=Qi", rights, file)
            kernel.call(ADD_RULE, ruleset, 1, create_string_buffer(rule, len(rule)), 0)
        finally:
            os.close(file)
