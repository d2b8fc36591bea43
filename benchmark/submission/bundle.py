"""The bundle: one folder with everything that a maintainer needs. It is a folder of results too, which ``verify`` and ``leaderboard`` read.

NAME.py  card.json  findings.json  environment.json  leaderboard.md  PULL_REQUEST.md  records/<suite>/<problem>/<method>/<id>.json
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import msgspec

import methods
from benchmark import provenance
from benchmark.errors import UsageError
from benchmark.folders import place
from benchmark.records import RunRecord, encode
from benchmark.submission import request
from benchmark.submission.candidate import Candidate
from benchmark.submission.smoke import SUITE, Evidence
from benchmark.table import build
from benchmark.validation import Validation
from benchmark.views import document, sections
from benchmark.views.text import printable

CARD, FINDINGS, ENVIRONMENT = "card.json", "findings.json", "environment.json"
LEADERBOARD, REQUEST, RECORDS = "leaderboard.md", "PULL_REQUEST.md", "records"
FILES = (CARD, FINDINGS, ENVIRONMENT, LEADERBOARD, REQUEST)
"""Beside the method's file and the records."""
TOLD = ("lossbench", "python", "torch", "numpy", "system", "cpu", "processor", "device", "threads")
"""What is told of a record's environment: versions and platform, and nothing that says whose it is."""

Files = Mapping[str, bytes]
"""Contents by path within the bundle, with ``/``."""


def files(candidate: Candidate, validation: Validation, evidence: Evidence) -> Files:
    """All of a bundle.

    Raises:
        UsageError: something other than the method's own text has a path of this machine in it.
    """
    found = content(candidate.card, candidate.digest, candidate.text, _impersonal(validation, candidate.path), evidence)
    for name, data in found.items():
        for folder in places(candidate.path) if name != f"{candidate.name}.py" else ():
            if f"{folder}/".encode() in data:
                raise UsageError(
                    f"{name} of the bundle would tell a path of this machine, {folder}: run the study again from another folder"
                )
    return found


def content(card: methods.Card, digest: str, text: bytes, validation: Validation, evidence: Evidence) -> Files:
    """What a bundle is, from the method's file, its findings and its records alone: the same here and wherever it is checked."""
    return {
        **told(card, text, evidence),
        FINDINGS: as_json(validation),
        LEADERBOARD: leaderboard(evidence.records).encode(),
        REQUEST: request.text(card, digest, validation, evidence).encode(),
    }


def told(card: methods.Card, text: bytes, evidence: Evidence) -> Files:
    """As much of it as is known before anything is validated: nearly all of its bytes."""
    found = {f"{card.name}.py": text, CARD: as_json(asdict(card)), ENVIRONMENT: as_json(environments(evidence))}
    return found | {"/".join((RECORDS, *place(record.spec))): encode(record) for record in evidence.records}


def write(out: Path, found: Files) -> None:
    """Writes the folder whole or not at all.

    Raises:
        UsageError: there is something of that name, or it cannot be written.
    """
    with _staged(out, found) as folder:
        out.parent.mkdir(parents=True, exist_ok=True)
        _check_new(out)  # a folder with something in it cannot be renamed over, an empty one could
        folder.rename(out)


def rehearse(out: Path, found: Files) -> None:
    """Writes that much, and takes it away again: what is found to be read-only or full now is not found so after minutes of validation.

    Raises:
        UsageError: it cannot be written.
    """
    with _staged(out, found):
        pass


@contextmanager
def _staged(out: Path, found: Files) -> Iterator[Path]:
    """A folder with these files on the disk that ``out`` is to be on, removed afterwards unless it was moved."""
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    temporary = above / f".{out.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir()
        try:
            for name, data in found.items():
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}; give another --out DIR") from error


def check_free(out: Path, results: Path) -> None:
    """Raises UsageError where there is something already, whoever made it, or where a store keeps what nobody else may write."""
    _check_new(out)
    for kept in (RECORDS, provenance.FOLDER, "packed"):
        if (results / kept).resolve() in out.resolve().parents:
            raise UsageError(f"{out} would be among the records of {results}, where only records belong: give another --out DIR")


def _check_new(out: Path) -> None:
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already, and is left alone: give another --out DIR, or remove it")


def as_json(content: object) -> bytes:
    """Indented; numbers that are not finite are null."""
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def leaderboard(records: Sequence[RunRecord]) -> str:
    """The page of these records alone; the same records give the same page."""
    return document([sections.of_method(build(records))], f"--suite {SUITE} --format md")


def environments(evidence: Evidence) -> dict[str, list[dict[str, str | int]]]:
    """Where the records were made, and how many of them; the submission's and the baselines' apart."""

    def counted(records: Sequence[RunRecord]) -> list[dict[str, str | int]]:
        places = (tuple((key, printable(r.environment[key])) for key in TOLD if key in r.environment) for r in records)
        return [{"records": count, **dict(place)} for place, count in Counter(places).items()]

    return {"own": counted(evidence.own), "baselines": counted(evidence.baselines)}


def places(path: Path) -> list[str]:
    """Folders of this machine that must not be told: those of the file, of the call, of the user, of temporary files. Longest first."""
    known = {str(path.parent), str(path.resolve().parent), str(Path.cwd()), os.path.expanduser("~"), tempfile.gettempdir()}
    return sorted((place for place in known if place.startswith("/") and len(place) > 1), key=len, reverse=True)


def _impersonal(validation: Validation, path: Path) -> Validation:
    """Without paths of this machine."""

    def told(text: str) -> str:
        for folder in places(path):
            text = text.replace(f"{folder}/", "")
        return text

    return replace(
        validation, path=path.name, findings=tuple(replace(finding, message=told(finding.message)) for finding in validation.findings)
    )
