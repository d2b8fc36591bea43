"""From an experiment to its trials, which are those of a study like any other; and what they will cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import methods as registry
import tasks
from benchmark import plan
from benchmark.errors import UsageError
from benchmark.records import TrialSpec
from benchmark.reproduction import Experiment
from benchmark.store import Store
from benchmark.study import readable


@dataclass(frozen=True, slots=True)
class Planned:
    """An experiment with everything that its trials need."""

    experiment: Experiment
    study: plan.Study
    """All entrants; the trials are ``specs``, as not every entrant is on every problem."""
    specs: tuple[TrialSpec, ...]
    labels: dict[str, str]
    """The entrant of our records, by row."""


def planned(experiment: Experiment, fingerprints: Mapping[str, str], where: tasks.Locations, rows: Collection[str] = ()) -> Planned:
    """The trials of these rows; of all where none is named.

    Args:
        fingerprints: of the data, by problem.
        rows: names of rows as the file has them; see :func:`chosen`.

    Raises:
        UsageError: an entrant that is not known or cannot be set so; one line with the file and the key.
    """
    sources = tuple(dict.fromkeys(source for file in experiment.files for source in _load(experiment, file)))
    told = experiment.told
    entrants = {row: _entrant(experiment, row) for row in told.entrants if not rows or row in rows}
    assert experiment.suite is not None  # the command has dealt with experiments that train nothing
    whole = plan.Study(experiment.suite, tuple(entrants.values()), 1, sources, dict(fingerprints), where)
    specs: list[TrialSpec] = []
    for entry in experiment.suite.entries:
        here = {row: entrants[row] for row in experiment.rows(entry.problem) if row in entrants}
        for row, entrant in here.items():
            try:
                plan.check_tasks([entrant], tasks.problem(entry.problem).card)
            except UsageError as error:
                raise UsageError(f"{experiment.path}: entrants.{row}.set: {error}") from error
        part = replace(whole, suite=replace(experiment.suite, entries=(entry,)), entrants=tuple(dict.fromkeys(here.values())))
        specs += plan.evaluation(part)
    return Planned(experiment, whole, tuple(specs), {row: entrant.label for row, entrant in entrants.items()})


def _load(experiment: Experiment, file: str) -> tuple[str, ...]:
    try:
        return plan.choose_methods(file, baselines=False)[1]
    except registry.MethodError as error:
        raise UsageError(f"{experiment.path}: methods: {error}") from error


def _entrant(experiment: Experiment, row: str) -> plan.Entrant:
    told = experiment.told.entrants[row]
    where = f"{experiment.path}: entrants.{row}"
    try:
        name = registry.card(told.method).name
    except registry.MethodError as error:
        raise UsageError(f"{where}.method: {error}") from error
    try:
        (entrant,) = plan.choose_entrants([name], [f"{name}.{key}={value}" for key, value in told.set.items()])
    except (registry.MethodError, UsageError) as error:
        raise UsageError(f"{where}.set: {error}") from error
    except ValueError as error:
        raise UsageError(f"{where}.set: a value has a comma, which makes several entrants; write one section each") from error
    return entrant


def chosen(experiment: Experiment, words: str) -> list[str]:
    """The rows that ``--methods a,b`` means: by their own name or by their method's, whatever the case.

    Raises:
        UsageError: there is none of that name.
    """
    entrants = experiment.told.entrants
    found: list[str] = []
    for word in filter(None, (word.strip() for word in words.split(","))):
        meant = [row for row, told in entrants.items() if word.casefold() in (row.casefold(), told.method.casefold())]
        if not meant:
            hint = registry.suggestion(word, [*entrants, *(told.method for told in entrants.values())])
            raise UsageError(f"--methods {word!r} is not in {experiment.name}{hint} (it has: {', '.join(entrants)})")
        found += meant
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a problem's missing trials take."""

    problem: str
    trials: int
    recorded: int
    steps: int
    """Of one trial."""
    passes: int
    """Backward, of what is missing."""
    seconds: float | None
    """Of one worker, for what is missing; None where nothing tells."""


def costs(wanted: Planned, store: Store) -> list[Cost]:
    """An estimate by problem: from what is recorded of the same problem and entrant, or of the problem, or from the file's figure."""
    found = []
    assert wanted.experiment.suite is not None
    for entry in wanted.experiment.suite.entries:
        specs = [spec for spec in wanted.specs if spec.problem == entry.problem]
        records = {spec.id: record for spec in specs if (record := readable(spec, store)) is not None}
        rates: dict[str, list[float]] = {}
        for record in records.values():
            if record.cost is not None and record.cost.steps:
                seconds = record.cost.train + record.cost.method + record.cost.evaluation
                rates.setdefault(record.spec.entrant, []).append(seconds / record.cost.steps)
        every = [rate for each in rates.values() for rate in each]
        figure = wanted.experiment.told.step_seconds.get(entry.problem)
        total: float | None = 0.0
        todo = [spec for spec in specs if spec.id not in records]
        for spec in todo:
            known = rates.get(spec.entrant) or every
            rate = (
                _mean(known) if known else None if figure is None else figure * (1 + 2 * _passes(spec)) / 3
            )  # a backward pass takes two forward passes
            total = None if rate is None or total is None else total + rate * spec.steps
        passes = sum(_passes(spec) * spec.steps for spec in todo)
        found.append(Cost(entry.problem, len(specs), len(records), entry.steps, passes, total))
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _passes(spec: TrialSpec) -> int:
    """Backward passes of a step: of a method that looks at gradients, one a task."""
    return 1 if registry.card(spec.method).family == "loss" else len(tasks.problem(spec.problem).card.tasks)
