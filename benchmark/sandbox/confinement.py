"""A process gives up its rights: what :func:`benchmark.sandbox.confine` does, in this order."""

from __future__ import annotations

import math
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmark.sandbox import Limits, environment, kernel, landlock, places, seccomp

OPEN_FILES = 4096
"""Each may hold some memory of the kernel's: what a pipe or a pair of sockets has in it."""


def confine(
    writable: Sequence[Path], limits: Limits, readable: Sequence[Path] = (), scratch: Path | None = None, listed: Sequence[Path] = ()
) -> list[str]:
    """As :func:`benchmark.sandbox.confine` says; of the folders ``listed`` names can be seen.

    Only the calling thread is confined, and those that it starts: to be called while there is no other.

    Raises:
        ValueError: no folder to be home and temporary folder.
    """
    if scratch is None and not writable:
        raise ValueError("writable is empty; expected a scratch folder")
    home = scratch or writable[0]
    may_write = (home, *writable, *places.devices(limits.local_sockets))
    may_read = (*map(Path, places.SYSTEM), *places.packages(), *readable)
    may_list = (*places.listed(), *listed)
    environment.replace(home)
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    set_limits(limits)
    if not kernel.LINUX:
        return [f"{sys.platform} can limit time and memory here, but neither files nor the network"]
    notes = []
    number = seccomp.number("capset")
    if number >= 0:
        kernel.drop_privileges(number)
    else:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        notes.append("privileges are not dropped: this architecture's system calls are not known")
    try:
        version = landlock.restrict(may_read, may_write, may_list)
        if version < 6:
            notes.append("processes outside can be signalled: Landlock of this kernel is older than Linux 6.12")
    except OSError as error:
        notes.append(f"files are not protected: {error.strerror or error}")
    try:
        seccomp.restrict(processes=limits.processes > 0, local_sockets=limits.local_sockets)
    except OSError as error:
        notes.append(f"network and programs are not forbidden: {error.strerror or error}")
    return notes


def set_limits(limits: Limits) -> None:
    """Those of the kernel on a process.

    Of memory it is the data segment: private pages that can be written, reserved or used. The address space would also count files that
    are mapped and the hundreds of gigabytes that CUDA reserves without ever using them. Memory that is shared is in neither, and is
    measured by the guard.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, limits.file_size)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    if limits.memory is not None:
        _lower(resource.RLIMIT_DATA, limits.memory)
    if not math.isinf(limits.seconds):
        _lower(resource.RLIMIT_CPU, math.ceil(limits.seconds) * (os.cpu_count() or 1) + 1)


def _lower(what: int, value: int) -> None:
    """Never above what holds already."""
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))
