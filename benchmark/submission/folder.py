"""Reads a folder that came from anywhere: only plain files, under plain names, few and small. Nothing is followed, run or unpickled."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmark.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
MOST_FILES = 2_000
"""A submission has some seventy."""
MOST_NAMES = 200
"""In one folder; the longest has some ten."""
MOST_BYTES = 1 << 26
LARGEST = 1 << 22
"""Bytes of one file; a record has some ten thousand."""
DEEPEST = 4
"""Folders within each other."""


def read(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Contents by path within the folder, with ``/``, and a line for whatever has no place in a bundle and was not read.

    Raises:
        UsageError: no folder, or one that cannot be listed.
    """
    if folder.is_symlink() or not folder.is_dir():
        what = "a link" if folder.is_symlink() else "a file" if folder.exists() else "not there"
        raise UsageError(f"{folder} is {what}; expected a bundle: the folder that submit writes, unpacked")
    found: dict[str, bytes] = {}
    wrong: list[str] = []
    room = MOST_BYTES
    try:
        for count, (path, name) in enumerate(_walk(folder, "", 0, wrong)):
            if count >= MOST_FILES:
                wrong.append(f"more than {MOST_FILES:,} files: the rest was not read")
                break
            data = _contents(path, min(LARGEST, room))
            if isinstance(data, str):
                wrong.append(f"{name}: {data}")
            else:
                found[name] = data
                room -= len(data)
    except OSError as error:
        raise UsageError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    return found, wrong


def _walk(folder: Path, prefix: str, depth: int, wrong: list[str]) -> Iterator[tuple[Path, str]]:
    """Plain files in the order of their names. No more names of a folder are held, and no more folders entered, than there may be."""
    with os.scandir(folder) as listing:
        entries = list(islice(listing, MOST_NAMES + 1))
    if len(entries) > MOST_NAMES:
        wrong.append(f"{prefix or 'the folder'}: more than {MOST_NAMES} names")
        return
    for entry in sorted(entries, key=lambda each: each.name):
        name = f"{prefix}{entry.name}"
        if not NAME.fullmatch(entry.name) or ".." in entry.name:
            wrong.append(f"{name}: expected a name of letters, digits, '_', '-' and single '.', not starting with '.'")
        elif entry.is_symlink():
            wrong.append(f"{name}: a link; expected a file")
        elif entry.is_dir(follow_symlinks=False):
            if depth < DEEPEST:
                yield from _walk(folder / entry.name, f"{name}/", depth + 1, wrong)
            else:
                wrong.append(f"{name}: folders deeper than {DEEPEST}")
        elif entry.is_file(follow_symlinks=False):
            yield folder / entry.name, name
        else:
            wrong.append(f"{name}: no plain file")
        if len(wrong) > MOST_NAMES:
            return


def _contents(path: Path, most: int) -> bytes | str:
    """What is in a file, or why it is not read. It is opened so that a link or a pipe put there meanwhile does nothing."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return "no plain file"
        data = file.read(most + 1)
    return data if len(data) <= most else f"larger than {most:,} bytes, or than what is left of {MOST_BYTES:,} for all"
