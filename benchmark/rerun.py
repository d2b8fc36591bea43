"""The command that makes the records of a table again, read off the records themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import methods
import tasks
from benchmark.evidence import Evidence, Setting
from benchmark.search import ADAPTIVE
from benchmark.selection import Search, given, pinned

_WORD = re.compile(r"[\w.:/+-]+", re.ASCII)
"""What may stand in a command as it is: records come from anywhere, and a reader will paste the command into a shell."""


def command(records: Iterable[Evidence], search: Search) -> str:
    """``python -m benchmark run --suite ...`` for the evaluation records of one suite; empty where a name is not fit for a shell.

    A study is fixed by its suite, methods, what is pinned of them, seeds, problems and search. A suite or a method that came from a file is
    named as such, as no record knows where the file was.
    """
    evaluated = [record for record in records if record.spec.role == "eval"]
    specs = [record.spec for record in evaluated]
    if not specs:
        return ""
    flags = [*_suite(specs), "--methods", _methods(specs), *_settings(specs), *_seeds(evaluated)]
    if search.budget > 1 and search.kind not in ADAPTIVE:
        flags = ["sweep", *flags, *search.flags()]
    else:
        flags = ["run", *flags]
    if not all(_WORD.fullmatch(part) for flag in flags for part in re.split(r"[,=]", flag)):
        return ""
    return f"python -m benchmark {' '.join(flags)}"


def _suite(specs: Sequence[Setting]) -> list[str]:
    """The suite, and its problems where they are not those that it runs by itself."""
    name = specs[0].suite
    ran = sorted({spec.problem for spec in specs})
    entries = tasks.suite(name).entries if name in tasks.suite_names() else ()
    if not set(ran) <= {entry.problem for entry in entries}:  # a file of the same name
        return ["--suite", f"{name}.toml"]
    usual = sorted(entry.problem for entry in entries if not entry.on_request)
    return ["--suite", name] + (["--problem", ",".join(ran)] if ran != usual else [])


def _methods(specs: Sequence[Setting]) -> str:
    """Names, without the baselines that take part by themselves where others are named."""
    named = sorted({spec.method for spec in specs})
    known = methods.names()
    if set(named) >= set(known):
        return ",".join(["all", *(name for name in named if name not in known)])
    others = [name for name in named if name not in known or not methods.card(name).baseline]
    return ",".join(others or named)


def _settings(specs: Sequence[Setting]) -> list[str]:
    """What was pinned, ``--set METHOD.NAME=V,V``; of a method that takes part without as well, its own value is one of them."""
    names: dict[str, set[str]] = {}
    for spec in specs:
        names.setdefault(spec.method, set()).update(pinned(spec))
    values: dict[tuple[str, str], set[str]] = {}
    for spec in specs:
        for name in names[spec.method]:
            value = given(spec, name)
            if value is not None:
                values.setdefault((spec.method, name), set()).add(value)
    return [word for (method, name), found in sorted(values.items()) for word in ("--set", f"{method}.{name}={','.join(sorted(found))}")]


def _seeds(records: Sequence[Evidence]) -> list[str]:
    """Their number; nothing where problems differ, which is then the suite's doing."""
    seeds: dict[str, set[int]] = {}
    for record in records:
        seeds.setdefault(record.spec.problem, set()).update(record.seeds)
    counts = {len(each) for each in seeds.values()}
    return ["--seeds", str(counts.pop())] if len(counts) == 1 else []
