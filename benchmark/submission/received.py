"""Checks a bundle that somebody sent. What is wrong with it is said a line each; nothing in it is run."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from pathlib import Path

import msgspec

import methods
from benchmark import provenance
from benchmark.folders import StoreError, place
from benchmark.records import BadRecord, RunRecord, TrialSpec, decode, failed
from benchmark.submission import bundle, folder
from benchmark.submission.candidate import unfitness
from benchmark.submission.smoke import SUITE, Evidence, other_source, planned, sources
from benchmark.validation import LARGEST, Validation, objections
from benchmark.verification_record import contradictions
from methods import registry
from methods.contract import Finding
from methods.registry import Source

SHOWN = 60
"""Characters of a line that differs."""
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


@dataclass(frozen=True)
class Received:
    """What a bundle is found to be.

    Attributes:
        name: of its method; empty where that cannot be told.
        records: that could be read.
        wrong: a line for each thing.
        note: what else there is to say.
    """

    name: str
    records: int
    wrong: tuple[str, ...]
    note: str = ""


def check(path: Path) -> Received:
    """Reads a bundle and says what is wrong with it.

    Raises:
        UsageError: no folder.
        TaskError: the data of the smoke study cannot be had here.
    """
    files, wrong = folder.read(path)
    own = [name for name in files if name.endswith(".py") and "/" not in name]
    if len(own) != 1:
        wrong.append(f"{len(own)} files of Python ({', '.join(own) or 'none'}); expected one, the method's")
        return Received("", 0, tuple(wrong))
    text = files[own[0]]
    source = _source(own[0], text)
    if isinstance(source, str):
        return Received("", 0, (*wrong, f"{own[0]}: {source}"))
    card, digest = source
    wrong += [f"{name}: missing" for name in bundle.FILES if name not in files]
    findings = _findings(files.get(bundle.FINDINGS), wrong)
    records = _records(files, wrong)
    specs = planned(card)
    wrong += _study(card, digest, specs, records)
    verdicts = {name: data for name, data in files.items() if name.startswith(f"{provenance.FOLDER}/")}
    note = _verdicts(verdicts, records, wrong)
    if not wrong:
        evidence = Evidence.of(specs, records, card.name)
        validation = Validation(card.name, own[0], digest, findings, passed=True)
        wrong += _differences(bundle.content(card, digest, text, validation, evidence), files, but=verdicts)
    return Received(card.name, len(records), tuple(wrong), note)


def _differences(expected: bundle.Files, files: bundle.Files, but: Collection[str]) -> Iterator[str]:
    """What is not, to the byte, what ``submit`` makes of the method's file, the findings and the records."""
    for name, data in files.items():
        if name in but:
            continue
        if name not in expected:
            yield f"{name}: has no place in a bundle"
        elif data != expected[name]:
            yield f"{name}: not what submit of this LossBench makes of the file, findings and records: {_where(data, expected[name])}"


def _where(found: bytes, expected: bytes) -> str:
    own, other = (data.decode(errors="backslashreplace").splitlines() for data in (found, expected))
    for line, (here, there) in enumerate(zip_longest(own, other, fillvalue=""), 1):
        if here != there:
            return f"line {line} is {here.strip()[:SHOWN]!r}; expected {there.strip()[:SHOWN]!r}"
    return "it differs in its line breaks"


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
        except methods.MethodError as error:
            return f"{error}".replace(f"{own}/", "")
    if len(found) != 1:
        return f"registers {len(found)} methods ({', '.join(found) or 'none'}); expected one"
    card = next(iter(found.values())).card
    if card.name in methods.names():
        taken = methods.find(card.name)
        same = taken is not None and taken.digest() == digest
        return f"method name {card.name!r} is taken{', by this very method, which is installed already' if same else ''}"
    if unfit or name != f"{card.name}.py":
        return unfit or f"registers {card.name!r}; expected the file to be called {card.name}.py"
    return card, digest


def _findings(data: bytes | None, wrong: list[str]) -> tuple[Finding, ...]:
    """Those of the validation: what it found is the sender's word, and must at least be a pass."""
    if data is None:
        return ()
    try:
        found = msgspec.json.decode(data, type=Validation).findings
    except _UNREADABLE as error:
        wrong.append(f"{bundle.FINDINGS}: not findings: {error}")
        return ()
    wrong += [f"{bundle.FINDINGS}: {line}" for line in objections(found)]
    return found


def _verdicts(files: bundle.Files, records: Mapping[str, RunRecord], wrong: list[str]) -> str:
    """What ``verify`` left in the folder, here or where it comes from: nobody can tell which."""
    known = {
        str(provenance.path_of(Path(), record.id, provenance.on(record, word))): (word, record)
        for record, word in product(records.values(), provenance.WORDS)
    }
    by: Counter[str] = Counter()
    for name, data in files.items():
        if name not in known:
            wrong.append(f"{name}: not a verdict on a record as it is in here")
            continue
        word, record = known[name]
        try:
            why = msgspec.json.decode(data, type=provenance.Why)
        except _UNREADABLE as error:
            wrong.append(f"{name}: not a verdict: {error}")
            continue
        if word == "failed":
            wrong.append(f"record {record.id} of {record.spec.entrant}: verify found that it fails: {why.note or why.how}")
        by[why.by] += 1
    told = ", ".join(f"{count} of {len(records)} records on {place}" for place, count in by.items())
    return f"{provenance.FOLDER}/ tells of {told}; unless you ran verify on it yourself, remove {provenance.FOLDER}/ and do" if told else ""


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


def _study(card: methods.Card, digest: str, planned: Sequence[TrialSpec], records: Mapping[str, RunRecord]) -> Iterator[str]:
    """The records are those of the smoke study of this very file and of the baselines as they are here, all of them and no others."""
    specs, digests = {spec.id: spec for spec in planned}, sources(card.name, digest)
    for id_, record in records.items():
        spec = record.spec
        who = f"record {id_} of {spec.entrant} on {spec.problem}, seed {spec.seed}:"
        if spec.method not in digests:
            yield f"{who} neither {card.name} nor a baseline"
        elif id_ not in specs:
            yield f"{who} no trial of suite {SUITE} as it is planned here"
        elif failed(record.status):
            yield f"{who} {record.status}: {record.message}"
        elif why := other_source(record, digests[spec.method]):
            yield f"{who} {why}"
    lacking = [spec for id_, spec in specs.items() if id_ not in records]
    if lacking:
        whose = ", ".join(dict.fromkeys(spec.entrant for spec in lacking))
        yield f"{bundle.RECORDS}: {len(lacking)} of {len(specs)} trials of suite {SUITE} are missing ({whose})"
