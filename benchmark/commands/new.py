"""The first of four commands: a method's file that runs as it is."""

from __future__ import annotations

import shlex
from datetime import date
from pathlib import Path

import methods
from benchmark import blank
from benchmark.commands.flags import one_of
from benchmark.errors import UsageError
from methods import registry
from methods.card import check_name


def new(name: str, family: str, out: Path) -> None:
    """Writes ``out/NAME.py`` and says what comes next.

    Raises:
        UsageError: a name that is taken, an unknown family, a folder that is not there, a file that is.
        MethodError: a name that no method can have.
    """
    one_of("--family", family, tuple(blank.PARTS))
    check_name(name)
    if name in methods.names():
        raise UsageError(f"{name!r} is the name of a method already (python -m benchmark show {name}): choose another")
    if why := registry.reserved(name):
        raise UsageError(f"no method can be called {name!r}, {why}: choose another")
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
