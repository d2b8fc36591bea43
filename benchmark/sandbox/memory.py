"""How much memory there is to share out."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LEAST = 1 << 30
"""Bytes that a job is given however many there are: torch alone needs a fifth of it."""


def share(parts: float) -> int:
    """Bytes for one of so many that run at once."""
    return max(LEAST, int(total() / max(parts, 1.0)))


def total() -> int:
    """Bytes of memory of this machine, or of the container that this runs in."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # not there, or the word max
            found = min(found, int(Path(limit).read_text()))
    return found
