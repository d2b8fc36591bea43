"""Where the numbers of a row come from, and whether anybody has made them again.

A record says where it was made. Whether to believe it is said by a verdict, which ``verify`` writes beside the records, a small file each::

    RESULTS/verdicts/<record id>-<digest of the record>-<digest of what a table shows of it>-verified.json

The name alone says it all, so that a table needs no more than a listing of one folder; what is in the file says who, how and why. The
word is ``verified`` or ``failed``; a record without a verdict is self-reported. A verdict is on the content of a record, and not on its
id: once a record is edited, nobody has verified it. A table that read a record as a whole asks for the first digest. Of a packed one it
reads a few columns and asks for the second, which is of the status and the test metrics that it shows; ``verify`` always asks for the
first, and packing a record that was changed takes away the verdict on what it was.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from benchmark.evidence import Evidence, Series
from benchmark.folders import StoreError
from benchmark.records import RunRecord

FOLDER = "verdicts"
MIXED = "mixed"
SELF_REPORTED = "self-reported"
NAME = re.compile(r"([0-9a-f]{20})-([0-9a-f]{20})-([0-9a-f]{20})-(verified|failed)\.json")

Word = Literal["verified", "failed"]
WORDS: tuple[Word, ...] = ("failed", "verified")
"""The worse first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of checking one record: all that the name of its file says."""

    content: str
    """Digest of the record, as :func:`content` gives it."""
    shown: str
    """Digest of what a table shows of it, as :func:`shown` gives it."""
    word: Word


Verdicts = Mapping[str, Sequence[Verdict]]
"""By the record's id; several where it was changed and looked at again."""


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the file of a verdict, for people."""

    by: str
    """Versions and device that it was checked on."""
    how: str
    """Such as ``run again: identical``."""
    note: str = ""
    """What was wrong."""


@dataclass(frozen=True)
class Provenance:
    """Of one row."""

    code: str = ""
    """Version of LossBench, as in ``0.1.0``; ``mixed`` where runs differ, empty where no record tells, as that of a run that never began.
    So are the next two."""
    torch: str = ""
    device: str = ""
    status: str = SELF_REPORTED
    """``self-reported``, ``verified``, ``failed``; with a count, as in ``verified 3/80``, where that is not true of all."""

    @property
    def place(self) -> str:
        """Code, torch and device in one line, without what is not known."""
        parts = (self.code and f"LossBench {self.code}", self.torch and f"torch {self.torch}", self.device)
        return ", ".join(part for part in parts if part) if any(parts) else "unknown"


def content(record: RunRecord) -> str:
    """Digest of a record as a whole, the clock and the place included: any edit changes it, packing does not."""
    return hashlib.blake2b(msgspec.json.encode(record), digest_size=10).hexdigest()


def shown(id_: str, status: str, test: Mapping[str, float]) -> str:
    """Digest of what a table shows of a record; the trial itself is in the id."""
    return hashlib.blake2b(msgspec.json.encode([id_, status, sorted(test.items())]), digest_size=10).hexdigest()


def of(records: Iterable[Evidence], verdicts: Verdicts) -> Provenance:
    """The provenance of a row from the records that it is made of."""
    records = list(records)

    def common(name: str) -> str:
        found = {record.environment[name] for record in records if name in record.environment}
        return found.pop() if len(found) == 1 else MIXED if found else ""

    found = [word for record in records for word in _words(record, verdicts)] if verdicts else []
    return Provenance(common("lossbench"), common("torch"), common("device"), _status(found))


def word(record: RunRecord, verdicts: Verdicts) -> Word | None:
    """What the verdict on a record is that was read as a whole; None where there is none, or it is on what the record was before."""
    given = verdicts.get(record.id)
    digest = content(record) if given else ""
    return _worst(each.word for each in given or () if each.content == digest)


def _words(record: Evidence, verdicts: Verdicts) -> Iterator[Word | None]:
    """One a record."""
    if isinstance(record, RunRecord):
        yield word(record, verdicts)
        return
    if isinstance(record, Series) and not any(id_ in verdicts for id_ in record.ids):
        yield from [None] * record.count
        return
    for each in record.singles() if isinstance(record, Series) else [record]:
        given = verdicts.get(each.id)
        digest = shown(each.id, each.status, each.test) if given else ""
        yield _worst(verdict.word for verdict in given or () if verdict.shown == digest)


def _worst(words: Iterable[Word]) -> Word | None:
    return min(words, key=WORDS.index, default=None)


def _status(found: Sequence[Word | None]) -> str:
    """One failed run outweighs any number of verified ones: it is what a reader must see."""
    for each in WORDS:
        count = found.count(each)
        if count:
            return each if count == len(found) else f"{each} {count}/{len(found)}"
    return SELF_REPORTED


def read(results: Path) -> tuple[dict[str, list[Verdict]], list[str]]:
    """Verdicts by record, and what is wrong with files that are none: such a file is named, left out, and left where it is."""
    found: dict[str, list[Verdict]] = {}
    wrong: list[str] = []
    try:
        names = sorted(os.listdir(results / FOLDER))
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except OSError as error:
        return {}, [f"{FOLDER}: cannot be listed: {error.strerror}"]
    for name in names:
        parts = NAME.fullmatch(name)
        if parts is not None:
            found.setdefault(parts[1], []).append(Verdict(parts[2], parts[3], "failed" if parts[4] == "failed" else "verified"))
        elif not name.startswith("."):
            wrong.append(
                f"{FOLDER}/{name}: not a verdict: expected ID-CONTENT-SHOWN-verified.json or ...-failed.json, as verify writes them"
            )
    return found, wrong


def path_of(results: Path, id_: str, verdict: Verdict) -> Path:
    return results / FOLDER / f"{id_}-{verdict.content}-{verdict.shown}-{verdict.word}.json"


def on(record: RunRecord, found: Word) -> Verdict:
    """The verdict that a record as it is now would have."""
    return Verdict(content(record), shown(record.id, record.status, record.test), found)


def write(results: Path, record: RunRecord, found: Word, why: Why, before: Sequence[Verdict] = ()) -> Path:
    """Writes the verdict on a record, whole or not at all, in place of those ``before`` on a record of that id.

    Raises:
        StoreError: the disk refuses.
    """
    verdict = on(record, found)
    path = path_of(results, record.id, verdict)
    temporary = path.with_name(f".{record.id}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(why), indent=1) + b"\n")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        for other in before:
            if other != verdict:
                path_of(results, record.id, other).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def carry(theirs: Path, ours: Path, known: Verdicts, record: RunRecord, kept: RunRecord) -> bool:
    """Takes a verdict on ``record`` along with it, as one on ``kept``: what stands here for it, the same but for the clock and the place.

    Whether there was one to take. A verdict that is here already stays.

    Raises:
        StoreError: the disk refuses.
    """
    found = word(record, known)
    if found is None or any(path_of(ours, kept.id, on(kept, each)).exists() for each in WORDS):
        return False
    try:
        why = msgspec.json.decode(path_of(theirs, record.id, on(record, found)).read_bytes(), type=Why)
    except (OSError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False  # gone meanwhile, or it does not say why it was given
    write(ours, kept, found, why)
    return True
