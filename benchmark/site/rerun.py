"""The command that runs again what stands behind a number, and what a reader must know before trusting it to give the same."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

import methods
import tasks
from benchmark.records import RunRecord, TrialSpec
from benchmark.selection import Search, given, pinned
from benchmark.views import printable

AGAIN = "again"
"""The folder of the new records: in the folder of the old ones there would be nothing left to run."""


@dataclass(frozen=True)
class Rerun:
    command: str
    notes: list[str]
    """What the command cannot know, one sentence each."""


def rerun(records: Sequence[RunRecord], search: Search) -> Rerun:
    """For the records of one entrant on one problem; ``search`` is that of the table that shows them."""
    spec = max((record.spec for record in records), key=lambda each: each.seed)
    words = ["python", "-m", "benchmark", "run", "--suite", spec.suite, "--problem", spec.problem, "--methods", spec.method]
    for name in sorted(pinned(spec)):
        words += ["--set", f"{spec.method}.{name}={given(spec, name) or 'VALUE'}"]
    words += ["--seeds", str(spec.seed + 1)]
    # with a search the baselines decide with which configuration the seeds are trained
    words += search.flags() or ["--no-baselines"]
    if spec.engine is not UNSET:
        words += ["--engine", str(spec.engine), "--together", str(spec.together)]
    command = shlex.join(printable(word) for word in [*words, "--results", AGAIN])
    return Rerun(command, _doubts(spec))


def _doubts(spec: TrialSpec) -> list[str]:
    """Where the code that is installed is not that of the records."""
    found = []
    if spec.suite not in tasks.suite_names():
        found.append(f"The suite {spec.suite} does not ship with LossBench: give its file, --suite FILE.toml.")
    elif (entry := next((each for each in tasks.suite(spec.suite).entries if each.problem == spec.problem), None)) is None:
        found.append(f"The suite {spec.suite} no longer has this problem.")
    else:
        now = (entry.steps, entry.batch_size, entry.eval_every, entry.selection, entry.halve_every or UNSET)
        if now != (spec.steps, spec.batch_size, spec.eval_every, spec.selection, spec.halve_every):
            found.append(f"The suite {spec.suite} has other steps, batches or evaluations now than when these records were made.")
    if spec.problem in tasks.problems() and tasks.problem(spec.problem).card.version != spec.problem_version:
        found.append(f"The records are of version {spec.problem_version} of the problem, and another one is installed.")
    if spec.method in methods.names():
        if methods.card(spec.method).version != spec.method_version:
            found.append(f"The records are of version {spec.method_version} of the method, and another one is installed.")
    elif spec.release is not UNSET:
        found.append(f"The method comes from {spec.release}.")
    else:
        found.append("The method does not ship with LossBench: give its file or object, --methods FILE.py or MODULE:OBJECT.")
    return found
