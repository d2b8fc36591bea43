"""Puts a submitted file into the registry of a checkout."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import methods
from benchmark.errors import UsageError
from benchmark.submission.candidate import Candidate

NEXT = ("python -m tests.golden.test_weight_traces", "python scripts/docs.py")
"""What a method of the package needs beside its file."""
SIGNS = ("CONTRIBUTING.md", "tests/golden", "scripts/docs.py")
"""What a checkout has, and an installed package has not."""


def package() -> Path:
    return Path(methods.__file__).resolve().parent


def target(candidate: Candidate, folder: Path) -> Path:
    """Where the file is to be, in the package ``folder``.

    Raises:
        UsageError: that is no checkout, has such a file, or cannot be written.
    """
    lacking = [sign for sign in SIGNS if not (folder.parent / sign).exists()]
    if lacking:
        raise UsageError(f"--install: {folder.parent} is no checkout, as it has no {lacking[0]}: call this from a clone of LossBench")
    path = folder / f"{candidate.name}.py"
    _check_new(path)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(candidate.text)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def install(candidate: Candidate, folder: Path) -> Path:
    """Puts the file there whole or not at all, and never over another: it is written under a name that nobody reads, and then linked.

    Raises:
        UsageError: no checkout, a name that is taken, or a folder that cannot be written.
    """
    path = target(candidate, folder)
    temporary = folder / f".{candidate.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        try:
            with temporary.open("xb") as file:
                file.write(candidate.text)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        _check_new(path)
        raise _unwritable(path, error) from error
    return path


def _check_new(path: Path) -> None:
    if os.path.lexists(path):
        raise UsageError(f"--install: {path} is there already, and is left alone: choose another name")


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"--install: {path} cannot be written: {error.strerror}; mend that, or copy the file there yourself")
