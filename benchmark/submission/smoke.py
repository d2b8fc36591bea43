"""The study that a submission must have: the suite ``smoke``, the published defaults, the baselines beside it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
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

    @property
    def records(self) -> tuple[RunRecord, ...]:
        return self.own + self.baselines


def baselines() -> list[str]:
    return [name for name in methods.names() if methods.card(name).baseline]


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
    command = candidate.command(f"run --suite {SUITE} --methods")
    if str(results) != "results":
        command += f" --results {shlex.quote(str(results))}"
    missing = [spec for spec in specs if spec.id not in found]
    if missing:
        whose = ", ".join(dict.fromkeys(spec.entrant for spec in missing))
        raise UsageError(
            f"the study of suite {SUITE} is not complete: {len(missing)} of its {len(specs)} trials have no record in {results} ({whose}); "
            f"make them: {command}"
        )
    own = [found[spec.id] for spec in specs if spec.method == candidate.name]
    others = [found[spec.id] for spec in specs if spec.method != candidate.name]
    changed = [record for record in own if record.environment.get(SOURCE) != candidate.digest]
    if changed:
        raise UsageError(
            f"{len(changed)} of {len(own)} records of {candidate.name} were made by another text of {candidate.given} than this one: "
            f"{candidate.source.remedy}, and run it again: {command}"
        )
    _refuse_failed(own, f"{command} --retry failed, once it is mended and its version raised where it computes something else")
    _refuse_failed(others, f"{command} --retry failed")
    return Evidence(tuple(own), tuple(others))


def _refuse_failed(records: Sequence[RunRecord], remedy: str) -> None:
    bad = [record for record in records if failed(record.status)]
    if bad:
        first, spec = bad[0], bad[0].spec
        raise UsageError(
            f"{len(bad)} of {len(records)} trials failed, the first of {spec.entrant} on {spec.problem}, seed {spec.seed} "
            f"({first.status}: {first.message}); run them again: {remedy}"
        )
