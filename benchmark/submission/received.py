"""Checks a bundle that somebody sent. What is wrong with it is said a line each; nothing in it is run."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

import methods
from benchmark.folders import StoreError, place
from benchmark.records import BadRecord, RunRecord, decode, failed
from benchmark.submission import bundle, folder
from benchmark.submission.candidate import unfitness
from benchmark.submission.smoke import SOURCE, SUITE, baselines, planned
from benchmark.validation import LARGEST, Validation, summaries
from benchmark.verification_record import contradictions
from methods import registry
from methods.registry import Source

_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


@dataclass(frozen=True)
class Received:
    """What a bundle is found to be.

    Attributes:
        name: of its method; empty where that cannot be told.
        records: that could be read.
        wrong: a line for each thing.
    """

    name: str
    records: int
    wrong: tuple[str, ...]


def check(path: Path) -> Received:
    """Reads a bundle and says what is wrong with it.

    Raises:
        UsageError: no folder.
        TaskError: the data of the smoke study cannot be had here.
    """
    files, wrong = folder.read(path)
    sources = [name for name in files if name.endswith(".py") and "/" not in name]
    if len(sources) != 1:
        wrong.append(f"{len(sources)} files of Python ({', '.join(sources) or 'none'}); expected one, the method's")
        return Received("", 0, tuple(wrong))
    source = _source(sources[0], files[sources[0]])
    if isinstance(source, str):
        return Received("", 0, (*wrong, f"{sources[0]}: {source}"))
    card, digest = source
    known = {sources[0], *bundle.FILES}
    wrong += [f"{name}: has no place in a bundle" for name in files if name not in known and not name.startswith(f"{bundle.RECORDS}/")]
    wrong += [f"{name}: missing" for name in bundle.FILES if name not in files]
    wrong += _card(card, files.get(bundle.CARD))
    wrong += _findings(card, digest, files.get(bundle.FINDINGS))
    wrong += _environment(files.get(bundle.ENVIRONMENT))
    wrong += [f"{name}: not UTF-8" for name in (bundle.REQUEST, bundle.LEADERBOARD) if name in files and not _is_text(files[name])]
    records = _records(files, wrong)
    wrong += _study(card, digest, records)
    if not wrong and bundle.leaderboard(list(records.values())).encode() != files[bundle.LEADERBOARD]:
        wrong.append(f"{bundle.LEADERBOARD}: not what the records say")
    return Received(card.name, len(records), tuple(wrong))


def _source(name: str, text: bytes) -> tuple[methods.Card, str] | str:
    """Card and digest of the method's file, or why it is none. It is parsed from a copy of what was read, which nobody else can change."""
    if len(text) > LARGEST:
        return f"has {len(text):,} bytes; expected at most {LARGEST:,}"
    with tempfile.TemporaryDirectory() as own:
        copy = Path(own, name)
        copy.write_bytes(text)
        try:
            found: dict[str, Source] = registry.read(copy)
            digest = next(iter(found.values())).digest() if found else ""
            unfit = next((line for each in found.values() if (line := unfitness(each.card, text))), "")
        except (methods.MethodError, RecursionError, MemoryError) as error:
            return f"{error or type(error).__name__}".replace(f"{own}/", "")
    if len(found) != 1:
        return f"registers {len(found)} methods ({', '.join(found) or 'none'}); expected one"
    card = next(iter(found.values())).card
    if card.name in methods.names():
        return f"method name {card.name!r} is taken"
    if unfit or name != f"{card.name}.py":
        return unfit or f"registers {card.name!r}; expected the file to be called {card.name}.py"
    return card, digest


def _card(card: methods.Card, data: bytes | None) -> Iterator[str]:
    if data is None:
        return
    try:
        told = msgspec.json.decode(data)
    except _UNREADABLE as error:
        yield f"{bundle.CARD}: not JSON: {error}"
        return
    own = msgspec.json.decode(bundle.as_json(bundle.card_fields(card)))
    if not isinstance(told, dict):
        yield f"{bundle.CARD}: expected the fields of a card"
    elif told != own:
        differ = [key for key in [*own, *(key for key in told if key not in own)] if told.get(key, ...) != own.get(key, ...)]
        yield f"{bundle.CARD}: differs from the card of the file in {', '.join(differ[:5])}"


def _findings(card: methods.Card, digest: str, data: bytes | None) -> Iterator[str]:
    if data is None:
        return
    try:
        told = msgspec.json.decode(data, type=Validation)
    except _UNREADABLE as error:
        yield f"{bundle.FINDINGS}: not findings: {error}"
        return
    where = f"{bundle.FINDINGS}:"
    if told.name != card.name:
        yield f"{where} of {told.name}, not of {card.name}"
    if told.digest != digest:
        yield f"{where} of a file with digest {told.digest}; this one has {digest}"
    bad = [finding.check for finding in told.findings if finding.status == "failed"]
    if bad or not told.passed:
        yield f"{where} validation failed ({', '.join(bad) or 'no check is named'})"
    made = {finding.check for finding in told.findings}
    if lacking := [name for name in summaries() if name not in made]:
        yield f"{where} lacks {', '.join(lacking)}: validate with this LossBench"


def _environment(data: bytes | None) -> Iterator[str]:
    try:
        if data is not None:
            msgspec.json.decode(data, type=dict[str, list[dict[str, str | int]]])
    except _UNREADABLE as error:
        yield f"{bundle.ENVIRONMENT}: not what submit writes: {error}"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _records(files: Mapping[str, bytes], wrong: list[str]) -> dict[str, RunRecord]:
    """Those that can be believed, by id."""
    found = {}
    for name, data in files.items():
        if not name.startswith(f"{bundle.RECORDS}/"):
            continue
        try:
            record = decode(data)
            home = "/".join((bundle.RECORDS, *place(record.spec)))
            if name != home:
                raise BadRecord(f"misplaced: it belongs at {home}")
            if odd := list(contradictions(record)):
                raise BadRecord(odd[0])
            found[record.id] = record
        except (BadRecord, StoreError) as error:
            wrong.append(f"{name}: {error}")
    return found


def _study(card: methods.Card, digest: str, records: Mapping[str, RunRecord]) -> Iterator[str]:
    """The records are those of the smoke study of this very file, all of them and no others."""
    specs = {spec.id: spec for spec in planned(card)}
    for id_, record in records.items():
        spec = record.spec
        who = f"record {id_} of {spec.entrant} on {spec.problem}, seed {spec.seed}:"
        if spec.method not in (card.name, *baselines()):
            yield f"{who} neither {card.name} nor a baseline"
        elif id_ not in specs:
            yield f"{who} no trial of suite {SUITE} as it is planned here"
        elif failed(record.status):
            yield f"{who} {record.status}: {record.message}"
        elif spec.method == card.name and record.environment.get(SOURCE) != digest:
            yield f"{who} {_other_source(record, digest)}"
    lacking = [spec for id_, spec in specs.items() if id_ not in records]
    if lacking:
        whose = ", ".join(dict.fromkeys(spec.entrant for spec in lacking))
        yield f"{bundle.RECORDS}: {len(lacking)} of {len(specs)} trials of suite {SUITE} are missing ({whose})"


def _other_source(record: RunRecord, digest: str) -> str:
    there, here = record.environment.get("python", "unknown"), platform.python_version()
    found = f"made by a file with digest {record.environment.get(SOURCE, 'unknown')}; this one has {digest}"
    if there.split(".")[:2] != here.split(".")[:2]:
        return f"{found}, under Python {here}, and a digest depends on it: check this bundle with Python {there}"
    return found
