"""From records to the score against one hyperparameter: a pure function, nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import methods
from benchmark import selection, statistics, table
from benchmark.errors import UsageError
from benchmark.plan import UNIVERSAL
from benchmark.records import FINISHED, RunRecord, TrialSpec, Value
from benchmark.runs import alternatives, one_setting, place
from benchmark.search import RATE
from benchmark.selection import Search, pinned
from benchmark.table import Estimate

TEST_DELTA = "test Δm %"
VALIDATION_DELTA = "validation Δm %"
LOSS = "normalised validation loss"

_Rest = tuple[Any, ...]
"""Of a line: whether a search chose the rest, then what else was given, as pairs of name and value."""


@dataclass(frozen=True)
class Mark:
    """The score at one value, over seeds."""

    value: Value
    score: Estimate
    """nan where no run finished; without an interval where only some did, or where there is one seed."""
    finished: int
    failed: int
    """Runs."""
    rate: float
    """Learning rate."""


@dataclass(frozen=True)
class Line:
    """What differs in the hyperparameter alone; everything else is in the label."""

    label: str
    marks: list[Mark]
    """By rising value."""


@dataclass(frozen=True)
class Panel:
    """One problem."""

    title: str
    hyperparameter: str
    score: str
    """What the numbers are; lower is better."""
    lines: list[Line]
    """Evaluation runs. Empty where there are tuning trials only, which differ in more than one thing."""
    trials: list[Mark]
    """Tuning trials, one run each; empty where there are lines."""
    default: Value | None
    """Published, or the suite's; None where it is not known."""
    log: bool
    """Whether the card says that it is searched on a log scale."""


def panels(records: Iterable[RunRecord], card: methods.Card, name: str) -> list[Panel]:
    """The score of a method against its hyperparameter ``name``, a panel a problem that was run with two values or more.

    Evaluation runs are preferred, of pinned values (a grid); where there are none, tuning trials are shown on validation scores.

    Raises:
        UsageError: no records of the method, or all with the same value, or ``task`` of a method that trains every task alone.
    """
    if card.per_task and name == "task":
        raise UsageError(f"{card.name}.task: every task is trained alone, so a score is of all of them and there is none against one")
    records = list(records)
    mine = [record for record in records if record.spec.method == card.name]
    command = f"python -m benchmark sweep --methods {card.name} --set {card.name}.{name}=V,V,V"
    if not mine:
        raise UsageError(f"there are no records of {card.name} here (make some: {command})")
    found = []
    for where in sorted({place(record) for record in mine}):
        members = [record for record in records if place(record) == where]
        found += [panel for panel in (_evaluated(members, card, name), _tuned(members, card, name)) if panel is not None][:1]
    if not found:
        values = sorted({str(value_of(record.spec, name)) for record in mine})
        raise UsageError(
            f"{card.name}.{name}: no problem has runs of two values that differ in nothing else (there is {', '.join(values)}; "
            f"a grid: {command})"
        )
    if len({panel.title.partition("/")[0] for panel in found}) == 1:
        found = [replace(panel, title=panel.title.partition("/")[2]) for panel in found]
    return found


def value_of(spec: TrialSpec, name: str) -> Value | None:
    if name == RATE:
        return spec.learning_rate
    return spec.hyperparameters.get(name, UNIVERSAL[name].default if name in UNIVERSAL else None)


def _evaluated(members: Sequence[RunRecord], card: methods.Card, name: str) -> Panel | None:
    """Lines of evaluation runs: of the configurations that were given, and of those that a search chose beside a pinned value."""
    search = selection.largest(members)
    shown, _ = selection.shown(members, search)
    chosen = selection.choose(members, search) if search.budget > 1 else {}
    built = table.build(shown)
    if not built.problems:
        return None
    label = built.problems[0].label
    relative = built.problems[0].baseline and not card.per_task
    cells = {row.entrant: row.cells[label] for row in built.rows}
    lines: dict[_Rest, list[Mark]] = {}
    for entrant in sorted({record.spec.entrant for record in shown if record.spec.method == card.name}):
        alike, _ = one_setting(label, [record for record in shown if record.spec.entrant == entrant])
        runs = _of_seeds(alike, card.per_task)
        spec = runs[0].spec
        value, searched, pins = value_of(spec, name), selection.group(spec) in chosen, pinned(spec)
        if value is None or (searched and name not in pins):
            continue
        others = {RATE: spec.learning_rate, **spec.hyperparameters}
        kept = [(key, each) for key, each in others.items() if key not in (name, "task") and (not searched or key in pins)]
        failed = sum(record.status not in FINISHED for record in runs)
        score = cells[entrant].delta_m if relative else _loss(runs)
        finished = cells[entrant].seeds if relative else len(_losses(runs))
        lines.setdefault((searched, *kept), []).append(Mark(value, score, finished, failed, spec.learning_rate))
    lines = {rest: marks for rest, marks in lines.items() if len({mark.value for mark in marks}) > 1}
    if not lines:
        return None
    differing = [key for key in dict.fromkeys(key for _, *kept in lines for key, _ in kept) if len({_get(rest, key) for rest in lines}) > 1]
    order = sorted(lines, key=lambda rest: [(isinstance(_get(rest, key), str), _get(rest, key) or 0) for key in differing])
    drawn = []
    for rest in order:
        words = [f"{key.replace('_', ' ')} {_get(rest, key)}" for key in differing if _get(rest, key) is not None]
        words += [f"everything else the best of {search.budget}"] * rest[0]
        drawn.append(Line(", ".join(words), _rising(lines[rest])))
    return Panel(_title(members), name, TEST_DELTA if relative else LOSS, drawn, [], _default(members, card, name), _log(card, name))


def _get(rest: _Rest, name: str) -> Value | None:
    return dict(rest[1:]).get(name)


def _tuned(members: Sequence[RunRecord], card: methods.Card, name: str) -> Panel | None:
    """Tuning trials of the largest search, each by its validation score."""
    mine = [r for r in members if r.spec.method == card.name and r.spec.role == "tune" and name not in pinned(r.spec)]
    search = selection.largest(mine)
    mine = [record for record in mine if search.holds(record.spec)]
    if not mine:
        return None
    mine, _ = one_setting("", mine)
    wanted = {record.id for record in mine}
    if card.per_task:  # its Δm is against itself
        search = replace(search, rule="normalised_loss")
    scores, rules = _scores(members, search, wanted)
    if len(rules) > 1:  # two scales in one picture would be none
        scores, rules = _scores(members, replace(search, rule="normalised_loss"), wanted)
    marks = []
    for _, group in groupby(sorted(mine, key=_configuration), key=_configuration):
        runs = list(group)
        value = value_of(runs[0].spec, name)
        failed = sum(record.status not in FINISHED for record in runs)
        known = [scores[record.id] for record in runs if record.id in scores]
        score = sum(known) / len(known) if len(known) == len(runs) else math.nan
        if value is not None:
            marks.append(Mark(value, Estimate(score), len(runs) - failed, failed, runs[0].spec.learning_rate))
    if len({mark.value for mark in marks}) < 2:
        return None
    score_name = VALIDATION_DELTA if rules == {"validation_delta_m"} else LOSS
    return Panel(_title(members), name, score_name, [], _rising(marks), _default(members, card, name), _log(card, name))


def _scores(members: Sequence[RunRecord], search: Search, wanted: set[str]) -> tuple[dict[str, float], set[str]]:
    """By the record's id, and the rules that gave them."""
    of_groups = selection.scored(members, search).values()
    here = [(record.id, score, of.rule) for of in of_groups for record, score in of.trials if record.id in wanted]
    return {name: score for name, score, _ in here}, {rule for _, _, rule in here}


def _configuration(record: RunRecord) -> tuple[str, int]:
    return record.spec.entrant, record.spec.trial


def _of_seeds(records: Iterable[RunRecord], partial: bool) -> list[RunRecord]:
    """One record a seed (and task, where each is trained alone): that which a table shows, where there are several."""
    seeds: dict[int, list[RunRecord]] = {}
    for record in records:
        seeds.setdefault(record.spec.seed, []).append(record)
    return [same[0] for of_seed in seeds.values() for same in alternatives(of_seed, partial).values()]


def _losses(runs: Sequence[RunRecord]) -> list[float]:
    """The normalised loss of every seed whose runs all finished; of single-task training, the mean over its tasks."""
    found = []
    for seed in sorted({record.spec.seed for record in runs}):
        losses = [selection.loss_of(record) for record in runs if record.spec.seed == seed and record.status in FINISHED]
        known = [loss for loss in losses if loss is not None]
        if known and len(known) == sum(record.spec.seed == seed for record in runs):
            found.append(sum(known) / len(known))
    return found


def _loss(runs: Sequence[RunRecord]) -> Estimate:
    losses = _losses(runs)
    if not losses:
        return Estimate()
    interval = statistics.mean_intervals([losses])
    whole = all(record.status in FINISHED for record in runs)
    ends = (float(interval.low[0]), float(interval.high[0])) if whole else (math.nan, math.nan)
    return Estimate(float(interval.value[0]), *ends)


def _default(members: Sequence[RunRecord], card: methods.Card, name: str) -> Value | None:
    if name == RATE:  # the suite's: that of any run in which nobody set it
        rates = [r.spec.learning_rate for r in members if r.spec.trial == 0 and RATE not in pinned(r.spec)]
        return rates[0] if rates else None
    return UNIVERSAL[name].default if name in UNIVERSAL else card.resolve({}).get(name)


def _log(card: methods.Card, name: str) -> bool:
    return name == RATE or any(h.log for h in card.hyperparameters if h.name == name)


def _rising(marks: Iterable[Mark]) -> list[Mark]:
    return sorted(marks, key=lambda mark: (isinstance(mark.value, str), mark.value))


def _title(members: Sequence[RunRecord]) -> str:
    return "/".join(place(members[0]))
