"""Puts a submitted file into the registry of a checkout."""

from __future__ import annotations

from pathlib import Path

import methods
from benchmark.errors import UsageError
from benchmark.submission.candidate import Candidate
from methods import registry

NEXT = ("python -m tests.golden.test_weight_traces", "python scripts/docs.py")
"""What a method of the package needs beside its file."""
SIGNS = ("CONTRIBUTING.md", "tests/golden", "scripts/docs.py")
"""What a checkout has, and an installed package has not."""


def package() -> Path:
    return Path(methods.__file__).resolve().parent


def target(candidate: Candidate, folder: Path) -> Path:
    """Where the file is to be, in the package ``folder``.

    Raises:
        UsageError: that is no checkout, or has such a file.
    """
    lacking = [sign for sign in SIGNS if not (folder.parent / sign).exists()]
    if lacking:
        raise UsageError(f"--install: {folder.parent} is no checkout, as it has no {lacking[0]}: call this from a clone of LossBench")
    path = folder / f"{candidate.name}.py"
    if path.exists():
        raise UsageError(f"--install: {path} is there already, and is left alone: choose another name")
    return path


def install(candidate: Candidate, folder: Path) -> Path:
    """Copies the file, and makes sure that its records belong to the copy: the same card and digest, of which their ids and source are.

    Raises:
        UsageError: no checkout, a name that is taken, or a folder that cannot be written.
    """
    path = target(candidate, folder)
    try:
        with path.open("xb") as file:
            try:
                file.write(candidate.text)
            except OSError:
                path.unlink()
                raise
        copy = registry.read(path, f"{folder.name}.{path.stem}")[candidate.name]
        belongs = copy.card == candidate.card and copy.digest() == candidate.digest
    except OSError as error:
        raise UsageError(f"--install: {path} cannot be written: {error.strerror}") from error
    if not belongs:
        path.unlink()
        raise UsageError(f"--install: {path} came out as another file than {candidate.given}, and was removed: try again")
    return path
