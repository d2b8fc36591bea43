"""Small programs run to see whether they can be: each in a process of its own, side by side, as a broken library may end it or hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tried:
    """How a program went."""

    printed: str
    wrong: str = ""
    """One line; empty where it went well."""
    late: bool = False
    """It was still running, and was killed."""


def tried(programs: Mapping[str, str], seconds: float) -> dict[str, Tried]:
    """Runs texts of Python, which find the modules that this program finds, and says of each how it went, by its name.

    Args:
        seconds: on the clock, for all of them together.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    end = time.monotonic() + seconds
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        for name, text in programs.items():
            running[name] = subprocess.Popen(
                [sys.executable, "-c", text],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        return {name: _ended(program, end) for name, program in running.items()}
    finally:
        for program in running.values():
            _kill(program)


def _ended(program: subprocess.Popen[str], end: float) -> Tried:
    try:
        printed, errors = program.communicate(timeout=max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return Tried("", late=True)
    if program.returncode == 0:
        return Tried(printed)
    if program.returncode < 0:
        return Tried(printed, f"ended by signal {-program.returncode} ({signal.strsignal(-program.returncode)})")
    lines = [line for line in errors.splitlines() if line.strip()]
    return Tried(printed, lines[-1].strip() if lines else f"exit code {program.returncode}")


def _kill(program: subprocess.Popen[str]) -> None:
    """All that it started, too: whoever holds its output would be waited for."""
    if program.poll() is None:
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    for stream in (program.stdout, program.stderr):
        if stream is not None:
            stream.close()
