"""From records and their table to what the pages show: frozen, and with nothing of HTML in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import methods
import tasks
from benchmark.cards import method_fields, problem_fields
from benchmark.field import assemble, evaluations
from benchmark.records import FINISHED, RunRecord
from benchmark.runs import Problem, alternatives, one_setting, place
from benchmark.selection import Search
from benchmark.site.courses import Course, course
from benchmark.site.rerun import Rerun, rerun
from benchmark.table import Cell, Row, Table

if TYPE_CHECKING:
    from benchmark.statistics import Floats

Fields = dict[str, str]
"""A card as text; a field may have several lines."""

UNKNOWN = "not in the registry"
"""The family of a method that only the records know."""


@dataclass(frozen=True)
class Trial:
    """A record as a line of a page."""

    id: str
    seed: int
    task: str
    """The one that it trained, where each is trained alone."""
    status: str
    message: str
    path: str
    """Of its file, relative to the folder of results."""
    test: dict[str, float]
    seconds: float | None
    """Of a step."""
    memory: int | None
    """Bytes at the peak."""
    selected: int | None
    """The step whose model was tested."""
    events: dict[str, int]


@dataclass(frozen=True)
class Result:
    """One entrant on one problem."""

    problem: Problem
    cell: Cell
    trials: list[Trial]
    course: Course
    rerun: Rerun
    settings: Fields
    """Hyperparameters and learning rate."""


@dataclass(frozen=True)
class Entrant:
    """A row of the table and everything behind it."""

    name: str
    row: Row
    method: str
    family: str
    baseline: bool
    """Its card says that every study contains it."""
    style: int
    """Place among the rows: decides colour, marker and dashes in every figure."""
    card: Fields
    results: dict[str, Result]
    """By the problem's label; problems without any record of this entrant are absent."""


@dataclass(frozen=True)
class Board:
    """The leaderboard of one suite and what its pages show."""

    suite: str
    summary: str
    """Of the suite, where it ships."""
    table: Table
    entrants: list[Entrant]
    """In the order of the table's rows."""
    cards: dict[str, Fields]
    """Of the problems that are installed, by label."""
    fronts: dict[str, list[list[tuple[float, float]]]] = field(default_factory=dict)
    """Known Pareto fronts as polylines of (L1, L2), by label."""

    scores: Floats | None = None
    """Δm % of single runs, ``[entrants, problems, seeds]``; None where no problem has a baseline."""

    @property
    def problems(self) -> list[Problem]:
        return self.table.problems

    def shown_first(self, count: int = 5) -> list[str]:
        """Whom a figure with a line an entrant shows before its reader chooses: the best, and the baselines."""
        best = [each.name for each in self.entrants if each.row.rank is not None][:count]
        return best + [each.name for each in self.entrants if each.baseline and each.name not in best]


def board(records: Sequence[RunRecord], table: Table, search: Search, where: Callable[[RunRecord], str]) -> Board:
    """Args:
    records: those that the table was made of, of one suite.
    table: what was made of them.
    search: what they were chosen by.
    where: tells of a record its file, relative to the folder of results.
    """
    behind = _behind(records, table)
    entrants = []
    for index, row in enumerate(table.rows):
        mine = {problem.label: behind.get((row.entrant, problem.label), []) for problem in table.problems}
        results = {
            problem.label: _result(problem, row.cells[problem.label], mine[problem.label], search, where)
            for problem in table.problems
            if mine[problem.label]
        }
        first = next((record for members in mine.values() for record in members), None)
        if first is None:  # all its records are of other settings, and none is compared
            first = next(record for record in records if record.spec.role == "eval" and record.spec.entrant == row.entrant)
        card = methods.card(first.spec.method) if first.spec.method in methods.names() else None
        entrants.append(
            Entrant(
                name=row.entrant,
                row=row,
                method=first.spec.method,
                family=card.family if card else UNKNOWN,
                baseline=card is not None and card.baseline,
                style=index,
                card=method_fields(card) if card else _from_records(first),
                results=results,
            )
        )
    suite = ", ".join(table.suites)
    summary = tasks.suite(suite).summary if suite in tasks.suite_names() else ""
    known = {problem.label: tasks.problem(problem.name) for problem in table.problems if problem.name in tasks.problems()}
    return Board(
        suite=suite,
        summary=summary,
        table=table,
        entrants=entrants,
        cards={label: problem_fields(each.card) for label, each in known.items()},
        fronts=_fronts(known),
        scores=_scores(records, [row.entrant for row in table.rows]),
    )


def _scores(records: Iterable[RunRecord], names: Sequence[str]) -> Floats | None:
    """Problems without a baseline are left out, and where an entrant lacks any run of a problem, all are nan."""
    from benchmark import scoring, statistics

    field = assemble(evaluations(records, None))
    samples = [scoring.score(group, field).sample for group in field.groups]
    known = [sample.scores() for sample in samples if sample is not None]
    return statistics.stack(known)[[field.entrants.index(name) for name in names]] if known else None


def _behind(records: Iterable[RunRecord], table: Table) -> dict[tuple[str, str], list[RunRecord]]:
    """The records behind every cell, failures included: those that the table compares, by entrant and problem."""
    labels = {(problem.suite, problem.name): problem.label for problem in table.problems}
    members = sorted((r for r in records if r.spec.role == "eval"), key=lambda r: (place(r), r.spec.entrant, r.spec.seed, r.id))
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for where, group in groupby(members, key=place):
        if where in labels:
            for record in one_setting(labels[where], list(group))[0]:
                found.setdefault((record.spec.entrant, labels[where]), []).append(record)
    return found


def _result(problem: Problem, cell: Cell, records: list[RunRecord], search: Search, where: Callable[[RunRecord], str]) -> Result:
    partial = any(len(record.trained) == 1 < len(record.tasks) for record in records)
    runs: dict[int, Sequence[RunRecord]] = {}
    for seed, of_seed in groupby(sorted(records, key=lambda record: record.spec.seed), key=lambda record: record.spec.seed):
        chosen = [same[0] for same in alternatives(of_seed, partial).values()]
        trained = {task for record in chosen for task in record.trained}
        if all(record.status in FINISHED for record in chosen) and len(trained) == len(problem.tasks):
            runs[seed] = chosen
    trials = [_trial(record, problem.tasks if partial else [], where) for record in records]
    return Result(problem, cell, trials, course(problem.tasks, runs, problem.metrics), rerun(records, search), _settings(records))


def _trial(record: RunRecord, tasks: Sequence[str], where: Callable[[RunRecord], str]) -> Trial:
    """``tasks`` are the names of the problem's tasks where each is trained alone."""
    cost = record.cost
    return Trial(
        id=record.id,
        seed=record.spec.seed,
        task=", ".join(tasks[index] for index in record.trained if index < len(tasks)),
        status=record.status,
        message=record.message,
        path=where(record),
        test=record.test,
        seconds=(cost.train + cost.method) / cost.steps if cost and cost.steps else None,
        memory=cost.peak_memory if cost else None,
        selected=record.selected_step,
        events=record.events,
    )


def _settings(records: Sequence[RunRecord]) -> Fields:
    """What the runs were set to; several values where they differ."""
    values: dict[str, list[str]] = {}
    for record in records:
        spec = record.spec
        pairs: Mapping[str, object] = {"learning rate": spec.learning_rate, **spec.hyperparameters}
        fixed = {"steps": spec.steps, "batch size": spec.batch_size, "metrics of": f"the {spec.selection} evaluation"}
        for name, value in {**pairs, **fixed}.items():
            values.setdefault(name, []).append(str(value))
    return {name: " or ".join(dict.fromkeys(found)) for name, found in values.items() if name != "task"}


def _from_records(record: RunRecord) -> Fields:
    """What can be said of a method whose card is not at hand."""
    spec = record.spec
    return {
        spec.method: "known from its records alone",
        "settings": "\n".join(f"{name} = {value}" for name, value in spec.hyperparameters.items()) or "none",
        "version": spec.release if isinstance(spec.release, str) else str(spec.method_version),
    }


def _fronts(problems: Mapping[str, tasks.Problem]) -> dict[str, list[list[tuple[float, float]]]]:
    from tasks.known_front import KnownFront

    found = {}
    for label, problem in problems.items():
        if isinstance(problem, KnownFront):
            pieces = []
            for piece in problem.front():
                every = max(1, len(piece) // 100)
                pieces.append([(float(f"{x:.4g}"), float(f"{y:.4g}")) for x, y in [*piece.tolist()[:-1:every], piece.tolist()[-1]]])
            found[label] = pieces
    return found
