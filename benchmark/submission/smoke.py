"""The study that a submission must have: the suite ``smoke``, the published defaults, the baselines beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import methods
import tasks
from benchmark import plan, study
from benchmark.errors import UsageError
from benchmark.records import RunRecord, TrialSpec, failed
from benchmark.store import Store
from benchmark.submission.candidate import Candidate

SUITE = "smoke"
SOURCE = "method_source"
"""Of a record's environment: the digest of the file that made it."""


@dataclass(frozen=True)
class Evidence:
    """Records of the whole study, those of the submission first."""

    own: tuple[RunRecord, ...]
    baselines: tuple[RunRecord, ...]

    @staticmethod
    def of(specs: Sequence[TrialSpec], records: Mapping[str, RunRecord], name: str) -> Evidence:
        """In the order of the plan, from the records by id; ``name`` is that of the submission."""
        return Evidence(
            tuple(records[spec.id] for spec in specs if spec.method == name),
            tuple(records[spec.id] for spec in specs if spec.method != name),
        )

    @property
    def records(self) -> tuple[RunRecord, ...]:
        return self.own + self.baselines


def baselines() -> list[str]:
    return [name for name in methods.names() if methods.card(name).baseline]


def sources(name: str, digest: str) -> dict[str, str]:
    """Digest of the file of the submission, and of those of the baselines as they are here, by method."""
    known = {each: source.digest() for each in baselines() if (source := methods.find(each)) is not None}
    return {**known, name: digest}


def other_source(record: RunRecord, digest: str) -> str:
    """Why a record is of another file than that with this digest; nothing where it is of this one."""
    recorded = record.environment.get(SOURCE, "unknown")
    return "" if recorded == digest else f"made by a file with digest {recorded}; this one has {digest}"


def planned(card: methods.Card) -> list[TrialSpec]:
    """Every trial that ``run --suite smoke --methods FILE`` plans for a method with this card. Nothing is registered or run.

    Raises:
        TaskError: a problem that cannot be had.
    """
    suite = plan.with_overrides(tasks.suite(SUITE))
    where = tasks.Locations()
    entrants = tuple(map(plan.Entrant, [card, *map(methods.card, baselines())]))
    prints = {}
    for entry in suite.entries:
        problem = tasks.problem(entry.problem)
        problem.prepare(where)
        prints[entry.problem] = problem.fingerprint(where)
    return plan.evaluation(plan.Study(suite=suite, entrants=entrants, budget=1, sources=(), fingerprints=prints, where=where))


def gather(candidate: Candidate, results: Path) -> Evidence:
    """The records of the study from a folder of results.

    Raises:
        UsageError: one is missing, was made by another text of the file, or is a failure; the message has the command that mends it.
    """
    specs = planned(candidate.card)
    store = Store(results)
    found = {spec.id: record for spec in specs if (record := study.readable(spec, store)) is not None}
    fresh = candidate.command(f"run --suite {SUITE} --methods")
    command = fresh if str(results) == "results" else f"{fresh} --results {shlex.quote(str(results))}"
    missing = [spec for spec in specs if spec.id not in found]
    if missing:
        whose = ", ".join(dict.fromkeys(spec.entrant for spec in missing))
        raise UsageError(
            f"the study of suite {SUITE} is not complete: {len(missing)} of its {len(specs)} trials have no record in {results} ({whose}); "
            f"make them: {command}"
        )
    evidence = Evidence.of(specs, found, candidate.name)
    digests = sources(candidate.name, candidate.digest)
    own, others = ([r for r in each if other_source(r, digests[r.spec.method])] for each in (evidence.own, evidence.baselines))
    if own:
        raise UsageError(
            f"{len(own)} of {len(evidence.own)} records of {candidate.name} were made by another text of {candidate.given} than this one: "
            f"{candidate.source.remedy}, and run it again: {command}"
        )
    if others:
        whose = ", ".join(dict.fromkeys(record.spec.method for record in others))
        raise UsageError(
            f"{len(others)} of {len(evidence.baselines)} records of baselines ({whose}) were made by other files than this LossBench has: "
            f"run the study again in a new folder, and submit from there: {fresh} --results NEW"
        )
    _refuse_failed(evidence.own, f"{command} --retry failed, once it is mended and its version raised where it computes something else")
    _refuse_failed(evidence.baselines, f"{command} --retry failed")
    return evidence


def _refuse_failed(records: Sequence[RunRecord], remedy: str) -> None:
    bad = [record for record in records if failed(record.status)]
    if bad:
        first, spec = bad[0], bad[0].spec
        raise UsageError(
            f"{len(bad)} of {len(records)} trials failed, the first of {spec.entrant} on {spec.problem}, seed {spec.seed} "
            f"({first.status}: {first.message}); run them again: {remedy}"
        )
