"""What a verification comes to: a line a row, a line a failure, and whether anything failed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from benchmark.verification import Changed, Examined
from benchmark.verification_compare import SPREAD, TOLERANCE


@dataclass(slots=True)
class Line:
    """Of one row of the leaderboard."""

    suite: str
    entrant: str
    records: int = 0
    checked: int = 0
    """Of them, those whose method, problem and data are here at the versions that they name; of others only what they say of themselves."""
    again: int = 0
    """Run again in this call."""
    verified: int = 0
    """In this call or before."""
    failed: int = 0
    impossible: int = 0
    """Records that cannot be run again here."""


@dataclass(frozen=True, slots=True)
class Failure:
    record: str
    """Id of a record, a file that is none, or a method."""
    row: str
    message: str


@dataclass(frozen=True)
class Summary:
    """All of it."""

    rows: list[Line]
    failures: list[Failure]
    impossible: dict[str, list[str]]
    """Records that cannot be run again here and stay as they are, by the reason."""
    notes: list[str]

    @property
    def passed(self) -> bool:
        return not self.failures


def summarise(found: Examined) -> Summary:
    """Counts what was found and done."""
    rows: dict[tuple[str, str], Line] = {}
    impossible: dict[str, list[str]] = defaultdict(list)
    wrong = found.suspicions() | found.failed | found.condemned
    for id_, entry in found.entries.items():
        line = rows.setdefault(entry.row, Line(*entry.row))
        line.records += 1
        line.checked += entry.checked
        line.again += entry.again
        line.failed += id_ in wrong
        line.verified += entry.word == "verified" and id_ not in wrong
        if entry.obstacle and id_ not in wrong and entry.word is None:
            line.impossible += 1
            impossible[entry.obstacle].append(id_)
    failures = [Failure(each.path, "", each.reason) for each in found.damaged]
    failures += [Failure(id_, "/".join(found.entries[id_].row), message) for id_, message in wrong.items()]
    notes = list(found.notes)
    if found.within:
        some = ", ".join(found.within[:4]) + (", ..." if len(found.within) > 4 else "")
        notes.append(
            f"{len(found.within):,} of the records run again agree within a tolerance, not to the last digit: another platform made them, "
            f"or --tolerance was given. Allowed are {TOLERANCE:g} relative (or what was given) at the first point, and {SPREAD:g} standard "
            f"deviations over seeds for the metrics at the end ({some})"
        )
    before = sum(entry.word == "verified" and not entry.again and id_ not in wrong for id_, entry in found.entries.items())
    if before:
        notes.append(
            f"{before:,} records are verified by the word of an earlier call, which this one takes as it is: --again runs them again"
        )
    for source, ids in found.changed.items():
        message, settled = _changed(found, source, ids)
        if settled:
            notes.append(f"{source.method}: {message}")
        else:
            failures.append(Failure(source.method, "", message))
    return Summary(sorted(rows.values(), key=lambda line: (line.suite, line.entrant)), failures, dict(impossible), notes)


def _changed(found: Examined, source: Changed, ids: list[str]) -> tuple[str, bool]:
    """What to say of a method that changed, and whether that is all right: what was run again came out the same, on every problem."""
    verified = [id_ for id_ in ids if found.entries[id_].word == "verified"]
    wrong = [id_ for id_ in ids if id_ in found.failed]
    problems = {found.entries[id_].problem for id_ in ids}
    text = f"its source is not the one that made {len(ids):,} of its records, at the same version {source.version}"
    if wrong:
        return (
            f"{text}, and {len(wrong)} of {len(wrong) + len(verified)} that were run again came out otherwise: raise version= on its card",
            False,
        )
    if {found.entries[id_].problem for id_ in verified} == problems:
        return f"{text}, yet {len(verified)} that were run again came out the same, one a problem or more", True
    return f"{text}: a changed method needs another version= on its card, or to be run again with the same outcome on every problem", False
