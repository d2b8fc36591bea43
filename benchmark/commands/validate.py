"""A submission, check by check."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmark.commands.flags import positive
from benchmark.errors import UsageError
from benchmark.validation import DEFAULT, Validation, summaries
from benchmark.validation import validate as examined
from benchmark.views.text import printable
from methods.contract import Finding

MARKS = {"passed": ("✓", "green"), "note": ("✓", "yellow"), "failed": ("✗", "bold red"), "skipped": ("–", "dim")}
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
WIDTH = 140
"""Columns where the output is no terminal."""
LEAST = 500_000_000
"""Bytes that Python and torch want before any method is there."""


def validate(path_or_name: str, *, as_json: bool, time: str, memory: str) -> int:
    """Prints the findings as they come, or one JSON document at the end; 0 where it passed, else 1.

    Raises:
        UsageError: a flag that cannot be followed, or nothing of that name.
    """
    limits = replace(DEFAULT, seconds=seconds("--time", time), memory=size("--memory", memory))
    if as_json:
        import msgspec

        found = examined(path_or_name, limits)
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
        return 0 if found.passed else 1
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    found = _shown(console, lambda report: examined(path_or_name, limits, report))
    failed = [finding.check for finding in found.findings if finding.status == "failed"]
    verdict = f"failed: {', '.join(failed)}" if failed else "passed"
    console.print(Text(f"{printable(found.name)}: {verdict}", style="bold red" if failed else "bold green"))
    return 1 if failed else 0


def _shown(console: Console, work: Callable[[Callable[[Finding], None]], Validation]) -> Validation:
    findings: dict[str, Finding] = {}
    if not console.is_terminal:
        found = work(lambda finding: None)
        console.print(_table({finding.check: finding for finding in found.findings}))
        return found
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:

        def report(finding: Finding) -> None:
            findings[finding.check] = finding
            live.update(_table(findings), refresh=True)

        found = work(report)
        live.update(_table({finding.check: finding for finding in found.findings}), refresh=True)
    return found


def _table(findings: dict[str, Finding]) -> Table:
    about = summaries()
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "check", "finding", "s"):
        grid.add_column(column, justify="right" if column == "s" else "left", no_wrap=column in ("", "check", "s"))
    for finding in findings.values():
        mark, style = MARKS[finding.status]
        says = finding.message or about.get(finding.check, "")
        taken = f"{finding.seconds:.1f}" if finding.seconds >= 0.05 else ""
        grid.add_row(Text(mark, style=style), Text(finding.check, style=style), Text(printable(says)), taken)
    return grid


def seconds(flag: str, text: str) -> float:
    """``120s``, ``2m``, or a number of seconds.

    Raises:
        UsageError: anything else.
    """
    scale = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
    return positive(flag, text[:-1], "time such as 120s or 5m") * scale if scale else positive(flag, text, "time such as 120s or 5m")


def size(flag: str, text: str) -> int:
    """``4GB``, ``512MB``, or a number of bytes.

    Raises:
        UsageError: anything else, or less than an interpreter with torch needs.
    """
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]*)", text)
    unit = UNITS.get(match.group(2).upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"{flag} is {text!r}; expected a size such as 4GB or 512MB")
    found = int(positive(flag, match.group(1), "size such as 4GB or 512MB") * unit)
    if found < LEAST:
        raise UsageError(f"{flag} is {text!r}; expected at least {LEAST // 10**6} MB, which Python and torch need by themselves")
    return found
