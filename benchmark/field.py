"""The field of a comparison: who takes part, on which problems, with which runs, and what everyone is measured against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import methods
from benchmark import provenance
from benchmark.errors import UsageError
from benchmark.evidence import Evidence, first
from benchmark.provenance import Provenance
from benchmark.runs import Group, Problem, one_setting, place, runs_of, settle


@dataclass(frozen=True)
class Field:
    """All that statistics are made of, and what the reader must be told of it."""

    groups: list[Group]
    """A problem each."""
    entrants: list[str]
    partial: set[str]
    """Those that train every task alone: they are not ranked."""
    baseline: str | None
    """That which Δm is measured against."""
    baseline_name: str
    """The same in words."""
    equal: str | None
    """Equal weights."""
    provenance: dict[str, Provenance]
    """By entrant."""
    notes: list[str]

    def ranked(self, entrant: str) -> bool:
        return entrant not in self.partial and entrant != self.baseline


def evaluations(records: Iterable[Evidence], suite: str | None) -> list[Evidence]:
    """The evaluation records of a suite, each once, in an order of their own.

    Raises:
        UsageError: they are of several versions of the protocol, and their numbers cannot be compared.
    """
    unique = {first(record)[1]: record for record in records if record.spec.role == "eval" and suite in (None, record.spec.suite)}
    one_protocol(unique.values())
    return sorted(unique.values(), key=lambda record: (place(record), record.spec.entrant, *first(record)))


def one_protocol(records: Iterable[Evidence]) -> None:
    """Raises UsageError where records are of several versions of the protocol: the same spec gave other numbers under another one."""
    counts: Counter[int] = Counter()
    where: dict[int, set[str]] = {}
    for record in records:
        counts[record.spec.protocol] += record.count
        where.setdefault(record.spec.protocol, set()).add(record.spec.suite)
    if len(counts) > 1:
        found = " and ".join(f"{counts[each]} of protocol {each} (suite {', '.join(sorted(where[each]))})" for each in sorted(counts))
        again = f"python -m benchmark run --suite {min(where[min(counts)])}"
        raise UsageError(
            f"records of several protocols cannot be compared: {found}; show one of them with --protocol {max(counts)}, "
            f"or make the older ones again ({again})"
        )


def assemble(members: list[Evidence], baseline: str | None = None, verdicts: provenance.Verdicts | None = None) -> Field:
    """Problem by problem.

    Args:
        members: as :func:`evaluations` gives them.
        baseline: the entrant that everyone is measured against, in place of single-task training.
        verdicts: on records, by id.

    Raises:
        UsageError: nobody of that name takes part.
    """
    suites = {record.spec.suite for record in members}
    entrants = sorted({record.spec.entrant for record in members})
    if baseline is not None and baseline not in entrants:
        hint = methods.suggestion(baseline, entrants)
        where = f"suite {', '.join(sorted(suites))}"
        raise UsageError(f"--baseline {baseline!r} has no evaluation records in {where}{hint} (there are: {', '.join(entrants)})")
    partial = {record.spec.entrant for record in members if len(record.trained) == 1 < len(record.tasks)}
    groups: list[Group] = []
    compared: dict[str, list[Evidence]] = {entrant: [] for entrant in entrants}
    notes: list[str] = []
    for (of, name), group in groupby(members, key=place):
        label = name if len(suites) == 1 else f"{of}/{name}"
        alike, left_out = one_setting(label, list(group))
        for record in alike:
            compared[record.spec.entrant].append(record)
        runs, metrics, doubts = runs_of(label, alike, partial)
        tasks = next((record.tasks for record in alike if record.tasks), [])
        groups.append(Group(Problem(label, of, name, tasks, metrics, [], False), runs))
        notes += left_out + doubts
    of_entrant = {record.spec.entrant: record.spec.method for record in members}
    reference = baseline
    if reference is None:
        finished = {each: sum(run.done for group in groups for run in group.runs.get(each, {}).values()) for each in sorted(partial)}
        reference = max(finished, key=finished.__getitem__, default=None)
        if len(partial) > 1:
            notes.append(f"several entrants train single tasks ({', '.join(sorted(partial))}); the baseline is {reference}")
    words = "single-task training" if baseline is None else baseline
    method = of_entrant[reference] if reference is not None else "single_task"
    for index, each in enumerate(groups):
        groups[index], lacks = settle(each, reference, partial, method, words)
        notes += lacks
    sources = {entrant: provenance.of(found, verdicts or {}) for entrant, found in compared.items()}
    return Field(groups, entrants, partial, reference, words, equal_weights(of_entrant), sources, notes)


def equal_weights(entrants: Mapping[str, str]) -> str | None:
    """Of entrants with their methods, that which gives every loss the same weight: the baseline of a study that trains all tasks together
    and draws nothing. One without a pinned value before others; None where it takes no part."""
    known = set(methods.names())
    found = []
    for entrant, method in entrants.items():
        if method in known:
            card = methods.card(method)
            if card.baseline and not card.per_task and not card.randomised:
                found.append((entrant != method, entrant))
    return min(found)[1] if found else None
