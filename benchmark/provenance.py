"""Where the numbers of a row come from, and whether anybody but their author has made them again.

A record says where it was made. Whether to believe it is said by a verdict, which somebody else writes beside the records, one small file
a record: ``RESULTS/verdicts/<record id>.json``, JSON and nothing else::

    {"schema": 1, "record": "<record id>", "verdict": "reproduced", "by": "who or what made it again", "note": "optional, one line"}

``verdict`` is ``reproduced`` or ``contradicted``. Without a file the record is self-reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from benchmark.evidence import Evidence

FOLDER = "verdicts"
SCHEMA = 1
MIXED = "mixed"
SELF_REPORTED = "self-reported"

Word = Literal["reproduced", "contradicted"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of making one record again."""

    schema: int
    record: str
    verdict: Word
    by: str
    note: str = ""


@dataclass(frozen=True)
class Provenance:
    """Of one row."""

    code: str = ""
    """Version of LossBench, as in ``0.1.0``; ``mixed`` where runs differ, empty where no record tells, as that of a run that never began.
    So are the next two."""
    torch: str = ""
    device: str = ""
    status: str = SELF_REPORTED
    """``self-reported``, ``reproduced``, ``contradicted``; with a count, as in ``3/80 reproduced``, where that is not true of all."""

    @property
    def place(self) -> str:
        """Code, torch and device in one line, without what is not known."""
        parts = (self.code and f"LossBench {self.code}", self.torch and f"torch {self.torch}", self.device)
        return ", ".join(part for part in parts if part) if any(parts) else "unknown"


def of(records: Iterable[Evidence], verdicts: Mapping[str, Word]) -> Provenance:
    """The provenance of a row from the records that it is made of."""
    records = list(records)

    def common(name: str) -> str:
        found = {record.environment[name] for record in records if name in record.environment}
        return found.pop() if len(found) == 1 else MIXED if found else ""

    found = [verdicts.get(id_) for record in records for id_ in record.ids] if verdicts else []
    return Provenance(common("lossbench"), common("torch"), common("device"), _status(found))


def _status(found: Sequence[Word | None]) -> str:
    """One contradicted run outweighs any number of reproduced ones: it is what a reader must see."""
    for word in ("contradicted", "reproduced"):
        count = sum(each == word for each in found)
        if count:
            return word if count == len(found) else f"{count}/{len(found)} {word}"
    return SELF_REPORTED


def read(results: Path) -> tuple[dict[str, Word], list[str]]:
    """Verdicts by record, and what is wrong with files that are none: such a file is named, left out, and left where it is."""
    found: dict[str, Word] = {}
    wrong: list[str] = []
    for path in sorted((results / FOLDER).glob("*.json")):
        where = f"{FOLDER}/{path.name}"
        try:
            verdict = msgspec.json.decode(path.read_bytes(), type=Verdict)
        except OSError as error:
            wrong.append(f"{where}: cannot be read: {error.strerror}")
            continue
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            wrong.append(f"{where}: not a verdict: {error}")
            continue
        if verdict.schema != SCHEMA:
            wrong.append(f"{where}: schema {verdict.schema}, but this LossBench reads schema {SCHEMA}: update LossBench")
        elif verdict.record != path.stem:
            wrong.append(f"{where}: it is about record {verdict.record}, and a file is named by its record")
        else:
            found[verdict.record] = verdict.verdict
    return found, wrong
