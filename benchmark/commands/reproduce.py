"""Runs what is missing of a published experiment, and says cell by cell whether ours is what was printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import tasks
from benchmark import executors, study
from benchmark.beacon import Beacon, key_of
from benchmark.commands.flags import locations, one_of
from benchmark.commands.published import meant
from benchmark.commands.run import fingerprints_of
from benchmark.errors import UsageError
from benchmark.executors import ExecutorError, Resources
from benchmark.progress import StudyProgress
from benchmark.published.facts import load as load_published
from benchmark.reproduction import Experiment, find, shipped
from benchmark.reproduction_plan import Planned, chosen, costs, planned
from benchmark.reproduction_read import load
from benchmark.reproduction_verdict import Outcome, judge, recomputed
from benchmark.reproduction_views import as_json, render
from benchmark.store import Store, StoreError
from benchmark.views.text import printable

FORMATS = ("table", "md", "json")


@dataclass(frozen=True, kw_only=True)
class Request:
    """An experiment as the command line asks for it."""

    name: str
    results: Path
    jobs: int
    methods: str
    data_dir: Path | None
    offline: bool
    dry_run: bool
    output: str


def reproduce(request: Request) -> int:
    """Prints the verdicts; 1 where a cell that is not counted apart is not matched or contradicted, or a run with a printed number is
    missing or failed.

    Raises:
        UsageError, MethodError, TaskError, StoreError, ExecutorError: before anything is written.
    """
    one_of("--format", request.output, FORMATS)
    if not request.name:
        _list()
        return 0
    experiment = load(find(request.name))
    if experiment.suite is None:
        if request.methods:
            raise UsageError(
                f"--methods does not go with {experiment.name}, which recomputes what is printed and trains nothing; leave it out"
            )
        outcomes = recomputed_of(experiment)
    else:
        rows = chosen(experiment, request.methods)
        if request.dry_run:
            _say_plan(experiment, request, rows)
            return 0
        _refuse_missing(experiment, request)
        where = locations(request.data_dir, request.offline)
        wanted = planned(experiment, fingerprints_of(experiment.suite, where, Console(stderr=True)), where, rows)
        _run(wanted, request)
        outcomes = outcomes_of(wanted, Store(request.results), rows)
    if request.output == "json":
        print(as_json(experiment, outcomes), end="")
    else:
        console = Console()
        width, colour = min(console.width, 140) if console.is_terminal else 120, console.is_terminal
        print(render(experiment, outcomes, "md" if request.output == "md" else "table", width=width, colour=colour), end="")
    undone = any(outcome.verdict in ("failed", "not run") for outcome in outcomes)
    denied = any(outcome.verdict in ("not matched", "contradicted") and not outcome.apart for outcome in outcomes)
    return int(undone or denied)


def outcomes_of(wanted: Planned, store: Store, rows: Sequence[str] = ()) -> list[Outcome]:
    """The verdicts on what is recorded."""
    records = study.records_of(wanted.specs, store)
    runs = {
        (problem, row): [record for record in records if (record.spec.problem, record.spec.entrant) == (problem, label)]
        for problem in {record.spec.problem for record in records}
        for row, label in wanted.labels.items()
    }
    published = load_published() if wanted.experiment.told.printed else {}
    return judge(wanted.experiment, runs, published, rows)


def recomputed_of(experiment: Experiment) -> list[Outcome]:
    """The verdicts of an experiment that trains nothing.

    Raises:
        UsageError: a published table that is not there.
    """
    tables = load_published()
    named = {table.name: table for name in experiment.told.published for table in meant(name, tables, f"{experiment.path}: published")}
    return [outcome for table in named.values() for outcome in recomputed(table)]


def _list() -> None:
    """What there is; nothing is planned, and torch is not imported."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "what it is", "needs"):
        grid.add_column(column, no_wrap=column == "name")
    for name, path in shipped().items():
        experiment = load(path)
        entries = experiment.suite.entries if experiment.suite else ()
        data = [entry.problem for entry in entries if not tasks.problem(entry.problem).embedded]
        needs = ["CUDA"] if experiment.told.device == "cuda" else []
        needs += [f"data of {', '.join(data)}"] if data else []
        grid.add_row(*(Text(printable(text)) for text in (name, experiment.summary, ", ".join(needs) or "nothing")))
    Console().print(grid)
    print("Reproduce one: python -m benchmark reproduce NAME (--dry-run says what it would train and what that takes)")


def _missing(experiment: Experiment, where: tasks.Locations) -> list[str]:
    """What an experiment needs and is not here. Data is looked for where that takes no time: not in the user's files."""
    found = []
    if experiment.told.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            found.append("CUDA (torch sees no such device)")
    assert experiment.suite is not None
    for entry in experiment.suite.entries:
        problem = tasks.problem(entry.problem)
        if not problem.embedded and where.data is None:
            try:
                problem.fingerprint(replace(where, offline=True))
            except tasks.TaskError as error:
                found.append(str(error))
    return found


def _refuse_missing(experiment: Experiment, request: Request) -> None:
    """Raises UsageError where the experiment cannot run here; data that can be fetched is no reason, unless something else is missing."""
    missing = _missing(experiment, locations(request.data_dir, request.offline))
    unreachable = [each for each in missing if each.startswith("CUDA")]
    if unreachable or (missing and request.offline):
        raise UsageError(f"{experiment.name} needs what is not here: {'; '.join(missing)}")


def _run(wanted: Planned, request: Request) -> None:
    """Trains what is missing, as any study does: every finished trial is in the store before the next thing happens."""
    store, told = Store(request.results), wanted.experiment.told
    todo = study.missing(wanted.specs, store)
    if not todo:
        return
    stale = study.changed_sources(wanted.specs, wanted.study.sources, store)
    if stale:
        raise UsageError(
            f"{next(iter(stale))} is not what it was when its records in {request.results} were made: use another --results folder"
        )
    store.check_writable(study.room(todo))
    console = Console(stderr=True)
    jobs = request.jobs or executors.cores()
    name = wanted.experiment.name
    beacon = Beacon(store.root, name, key_of(name, sorted(wanted.labels.values())), jobs, lambda: wanted.specs)
    with (
        StudyProgress(console, jobs) as progress,
        beacon,
        executors.create("local", Resources(jobs=jobs, timeout=told.timeout)) as pool,
    ):
        try:
            study.stage("evaluation", wanted.specs, wanted.study, store, pool, [progress, beacon], told.device, False, 1)
        except KeyboardInterrupt:
            kept = f"interrupted; what finished is in {request.results}: the same command goes on from there"
            console.print(kept, markup=False, highlight=False, soft_wrap=True)
            raise
        except (StoreError, ExecutorError) as error:
            raise type(error)(
                f"{error}; what finished is in {request.results}: once that is mended, the same command goes on from there"
            ) from error


def _say_plan(experiment: Experiment, request: Request, rows: Sequence[str]) -> None:
    """What would be trained and what that takes; works without the data, whose fingerprint then decides no record."""
    where = locations(request.data_dir, request.offline)
    missing = _missing(experiment, where)
    assert experiment.suite is not None
    prints = {}
    for entry in experiment.suite.entries:
        problem = tasks.problem(entry.problem)
        try:
            prints[entry.problem] = problem.fingerprint(replace(where, offline=True))
        except tasks.TaskError:
            prints[entry.problem] = "unknown"
    wanted = planned(experiment, prints, where, rows)
    print(printable(f"{experiment.name}: {experiment.title}. {experiment.summary}"))
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("problem", "steps a trial", "trials", "recorded", "to run", "backward passes", "about"):
        grid.add_column(column, justify="left" if column == "problem" else "right")
    for cost in costs(wanted, Store(request.results)):
        left = cost.trials - cost.recorded
        about = "nothing" if not left else "unknown" if cost.seconds is None else _time(cost.seconds)
        grid.add_row(cost.problem, f"{cost.steps:,}", str(cost.trials), str(cost.recorded), str(left), f"{cost.passes:,}", about)
    Console().print(grid)
    print(printable(f"rows: {', '.join(row for row in experiment.told.entrants if row in wanted.labels)}"))
    figure = experiment.told.step_source
    origin = f"else from {figure}" if figure else "else unknown: nobody has timed it, and the first finished trial will tell"
    print(printable(f"about: the time of one worker, from records where there are some, {origin}"))
    for each in missing:
        print(printable(f"missing: {each}"))
    print("dry run: nothing was written", file=sys.stderr)


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.2g} min" if seconds >= 90 else f"{seconds:.2g} s"
