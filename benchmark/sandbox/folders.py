"""What a confined process keeps on disk: a limit on the size of a file alone would let it fill the disk file by file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MOST = 30_000
"""Files and folders that are looked at; whoever has more has too many."""
BLOCK = 512
"""Bytes of what ``st_blocks`` counts."""


def taken(folders: Iterable[Path], pids: Iterable[int], most: int) -> tuple[int, int]:
    """(bytes, files and folders) in these folders, with the removed files that these processes hold open. Stops above ``most`` bytes."""
    size = sum(map(_held, pids))
    count = 0
    todo = [str(folder) for folder in folders]
    while todo and size <= most and count <= MOST:
        with suppress(OSError), os.scandir(todo.pop()) as entries:  # it may be gone by now
            for entry in entries:
                count += 1
                if count > MOST:
                    break
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * BLOCK
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
    return size, count


def _held(pid: int) -> int:
    """Bytes of files without a name."""
    size = 0
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and not status.st_nlink:
                    size += status.st_blocks * BLOCK
    return size
