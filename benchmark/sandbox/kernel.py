"""What the sandbox asks of the kernel directly: Python has no functions for it."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 36, 38, 22
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2

LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """A system call by its number.

    Raises:
        OSError: it failed.
    """
    _libc.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def prctl(option: int, *arguments: int | ctypes.Array[ctypes.c_char]) -> None:
    """Raises OSError where the kernel refuses."""
    given = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    given += [ctypes.c_ulong(0)] * (4 - len(given))
    if _libc.prctl(ctypes.c_int(option), *given) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def drop_privileges(capset: int) -> None:
    """Gives up root's rights for good, but the one to pass over a file's permissions, if it is there: Landlock decides about files.

    Args:
        capset: the number of that system call.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    kept = (1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH) & permitted() if os.geteuid() == 0 else 0
    header = ctypes.create_string_buffer(b"".join(each.to_bytes(4, sys.byteorder) for each in (0x20080522, 0)), 8)
    data = ctypes.create_string_buffer(b"".join(each.to_bytes(4, sys.byteorder) for each in (kept, kept, 0, 0, 0, 0)), 24)
    call(capset, header, data)


def permitted() -> int:
    """The rights that this process may have, a bit each: in a container root may have few, or none."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm:"))
    return int(line.split()[1], 16)


def wipe(start: int, end: int) -> None:
    """Overwrites memory of this process: addresses as the kernel gives them."""
    ctypes.memset(start, 0, end - start)
