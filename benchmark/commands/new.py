"""The first of four commands: a method's file that runs as it is."""

from __future__ import annotations

import re
import shlex
from datetime import date
from pathlib import Path

import methods
from benchmark import blank
from benchmark.commands.flags import one_of
from benchmark.errors import UsageError


def new(name: str, family: str, out: Path) -> None:
    """Writes ``out/NAME.py`` and says what comes next.

    Raises:
        UsageError: a name that no method can have or that is taken, an unknown family, a folder that is not there, a file that is.
    """
    one_of("--family", family, tuple(blank.PARTS))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name, re.ASCII) or len(name) > LONGEST:
        raise UsageError(f"a method cannot be called {name!r}; expected up to {LONGEST} of a-z, 0-9 and _, a letter first")
    if name in methods.names():
        raise UsageError(f"{name!r} is the name of a method already (python -m benchmark show {name}): choose another")
    path = out / f"{name}.py"
    if not out.is_dir():
        raise UsageError(f"--out {str(out)!r} is no folder: make it first")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(blank.text(name, family, date.today().year))
    except FileExistsError as error:
        raise UsageError(f"{path} exists already: choose another name, or another folder with --out") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    shown = shlex.quote(str(path))
    print(f"{path}: a {family} method that runs as it is; put your equation where its own stands. Then")
    for command in (f"validate {shown}", f"run --suite smoke --methods {shown}", f"submit {shown}"):
        print(f"    python -m benchmark {command}")


LONGEST = 60
"""Letters of a name: it becomes a column, a file and a module."""
