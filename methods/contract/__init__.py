"""The contract: what every method promises, as checks that anybody can run on a method, and that the tests run on ours.

``examine`` runs them all on one method and reports what each found. A check is executed in full or says that it was skipped, and why.
Importing this package is instant; torch is imported with the checks.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection

from methods.contract.outcome import Broken, Check, Finding, Status, one_line
from methods.errors import MethodError, suggestion

__all__ = ["Broken", "Check", "Finding", "checks", "examine"]


def checks() -> tuple[Check, ...]:
    """All checks, in the order in which ``examine`` makes them."""
    from methods.contract.table import CHECKS

    return CHECKS


def examine(name: str, report: Callable[[Finding], None], skip: Collection[str] = ()) -> tuple[Finding, ...]:
    """Makes all checks on a method that the registry knows, in this process.

    Args:
        name: of the method; ``MODULE:OBJECT`` and ``FILE.py:OBJECT`` for an object to adapt.
        report: is told each finding as it comes.
        skip: names of checks to leave out; they are reported as skipped.

    Raises:
        MethodError: a name in ``skip`` that no check has. Whatever a check raises is a failed finding.
    """
    known = [check.name for check in checks()]
    for unknown in sorted(set(skip) - set(known)):
        raise MethodError(f"there is no check {unknown!r} to skip{suggestion(unknown, known)} (there are: {', '.join(known)})")
    found: list[Finding] = []
    unbuilt = ""
    for check in checks():
        if check.name in skip:
            finding = Finding(check.name, "skipped", "left out, as was asked", 0.0)
        elif check.needs_a_step and unbuilt:
            finding = Finding(check.name, "skipped", f"{unbuilt} failed", 0.0)
        else:
            finding = _made(check, name)
        if not check.needs_a_step and finding.status == "failed":
            unbuilt = check.name
        report(finding)
        found.append(finding)
    return tuple(found)


def _made(check: Check, name: str) -> Finding:
    """One check; what the method warned of stands behind what the check found."""
    started = time.perf_counter()
    from methods.contract.surroundings import kept  # what one check leaves changed must not change the next

    with warnings.catch_warnings(record=True) as warned, kept():
        warnings.simplefilter("always")
        try:
            reason = check.unless(name) if check.unless else ""
            message = reason or check.run(name)
            status: Status = "skipped" if reason else "note" if message else "passed"
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a finding, whatever it is)
            status, message = "failed", one_line(error)
    if warned and status != "skipped":
        message = "; ".join(filter(None, [message, f"warned: {' '.join(str(warned[0].message).split())[:200]}"]))
        status = "note" if status == "passed" else status
    return Finding(check.name, status, message, time.perf_counter() - started)
