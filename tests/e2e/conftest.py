"""What end-to-end tests share: the command line, called here or in a process of its own, and a suite that finishes in seconds."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.executors import process
from methods import registry
from methods.foreign import source
from tasks import outside

TINY = """
name = "tiny"
version = 1
summary = "a few steps of two small problems"

[protocol]
seeds = 2
evaluations = 3
selection = "best"

[[problems]]
name = "wine"
steps = 12

[[problems]]
name = "gradnorm_toy"
steps = 6
"""

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A suite file."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An empty folder to call from."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture
def program(elsewhere: Path) -> Cli:
    """Runs ``python -m benchmark ARGUMENTS`` in an empty folder, in a process of its own: for what only a program has (an environment, a
    path of its own, a start, an end)."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "benchmark", *map(str, arguments)],
            cwd=elsewhere,
            env={**os.environ, "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def cli(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The same in this process, which has imported torch and started its fork server already: seconds less a call.

    What an earlier call has made known of users' files is forgotten first, as it is between programs; an exception that would be a
    traceback is raised, and a warning is an error.
    """
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        if arguments[0] in ("run", "sweep", "reproduce") and "inline" not in arguments:
            start_fork_server()
        out, err = io.StringIO(), io.StringIO()
        with as_between_programs(), chdir(elsewhere), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_:
            main([*map(str, arguments)])
        code = exit_.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return run


def called(*arguments: object) -> int:
    """The exit code of the command line in this process, for fixtures that outlive a test; what it learns of users' files stays known."""
    with pytest.raises(SystemExit) as exit_:
        main([*map(str, arguments)])
    return int(exit_.value.code or 0)


@cache
def start_fork_server() -> None:
    """Ahead of the first pool, which would start it as well, but without what every worker on a small problem imports then."""
    process._ensure_server("tests.e2e.workers:")


@contextmanager
def as_between_programs() -> Iterator[None]:
    """Nothing is known of users' files inside, and nothing that was learnt there outside."""
    known = (registry._loaded, registry._defined, source._known, outside.loaded)
    before = [dict(each) for each in known]
    modules = {name: module for name, module in sys.modules.items() if name.startswith(LOOSE)}
    for each in known:
        each.clear()
    for name in modules:
        del sys.modules[name]
    try:
        yield
    finally:
        for each, earlier in zip(known, before, strict=True):
            each.clear()
            each.update(earlier)
        for name in [name for name in sys.modules if name.startswith(LOOSE)]:
            del sys.modules[name]
        sys.modules.update(modules)


LOOSE = ("lossbench_method_", "lossbench_problem_")
"""What the module of a user's file is called."""
