"""A method's file and its evidence: packed for a pull request, checked when it arrives, taken into the package."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.submission import bundle, candidate, install, received, request, smoke
from benchmark.submission.candidate import Candidate
from benchmark.validation import Validation, objections, validate
from benchmark.views.text import printable

FAILED = 3
"""Findings that are no pass and are named."""
SHOWN = 50
"""Lines of what is wrong with a bundle."""


def submit(path: str, *, results: Path, out: Path | None, into_package: bool) -> None:
    """Looks at everything, and only then writes: the bundle, or with ``into_package`` the file in ``methods/``, or with ``out`` both.

    Raises:
        UsageError, MethodError, StoreError: no method's file, a study that is not complete, a validation that fails, or nowhere to write.
    """
    found = candidate.read(path)
    folder = None if into_package and out is None else out or Path(f"{found.name}-submission")
    if folder is not None:
        bundle.check_free(folder, results)
    if into_package:
        install.target(found, install.package())
    evidence = smoke.gather(found, results)
    if folder is not None:
        bundle.rehearse(folder, bundle.told(found.card, found.text, evidence))
    print(f"{found.name}: {len(evidence.records)} records of suite {smoke.SUITE} are there; validating", file=sys.stderr)
    findings = _validated(found)
    found.check_unchanged()
    for line in request.told(found.name, evidence):
        print(printable(line))
    if folder is not None:
        bundle.write(folder, bundle.files(found, findings, evidence))
        print(f"wrote {printable(str(folder))}: add it to a pull request whose text is {printable(str(folder / bundle.REQUEST))}")
        print(f"look at it as its reviewer will: python -m benchmark submit --check {printable(shlex.quote(str(folder)))}")
    if into_package:
        print(f"installed as {printable(str(install.install(found, install.package())))}; now its golden traces and its documents:")
        print("\n".join(f"  {command}" for command in install.NEXT))


def _validated(found: Candidate) -> Validation:
    """Raises UsageError where validation fails."""
    made = validate(str(found.path))
    wrong = list(objections(made.findings))
    if wrong:
        raise UsageError(f"{found.given} does not pass validate: {'; '.join(wrong[:FAILED])}; see: {found.command('validate')}")
    if made.digest != found.digest:
        raise UsageError(f"{found.given} was changed while it was validated: submit again")
    return made


def check(path: str) -> int:
    """Prints what is wrong with a bundle, a line each, and 1; or what to do next, and 0.

    Raises:
        UsageError: no folder.
    """
    found = received.check(Path(path))
    if found.note:
        print(f"note: {printable(' '.join(found.note.split()))}")
    for line in found.wrong[:SHOWN]:
        print(f"wrong: {printable(' '.join(line.split()))}")
    if len(found.wrong) > SHOWN:
        print(f"wrong: and {len(found.wrong) - SHOWN:,} more")
    if found.wrong:
        return 1
    folder, file = shlex.quote(path), shlex.quote(str(Path(path, f"{found.name}.py")))
    print(f"{found.name}: the bundle is whole, and its {found.records} records are those of this very file; next:")
    for command in (
        f"validate {file}",
        f"verify {folder} --methods {file} --all",
        f"submit {file} --results {folder} --install",
    ):
        print(f"  python -m benchmark {printable(command)}")
    return 0
