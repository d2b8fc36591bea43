"""Studies: planned, run, shown."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import methods as registry
import tasks
from benchmark import executors, plan, study
from benchmark.commands import engines
from benchmark.commands.flags import DEVICES, locations, one_of
from benchmark.commands.leaderboard import print_table
from benchmark.errors import UsageError
from benchmark.executors import Resources
from benchmark.progress import PreparingProgress, StudyProgress
from benchmark.store import Store


@dataclass(frozen=True, kw_only=True)
class Request:
    """A study as the command line asks for it."""

    suite: str
    methods: str
    seeds: int | None
    budget: int
    settings: tuple[str, ...]
    problems: tuple[str, ...]
    jobs: int
    executor: str
    device: str
    timeout: float
    results: Path
    dry_run: bool
    retry: str
    baselines: bool
    data_dir: Path | None
    offline: bool
    engine: str = "eager"
    together: int = 10


def run(request: Request) -> None:
    """Plans, runs what is missing, prints the leaderboard.

    Raises:
        UsageError, MethodError, TaskError, StoreError, ExecutorError: before anything is written.
    """
    one_of("--device", request.device, DEVICES)
    one_of("--executor", request.executor, executors.names())
    one_of("--retry", request.retry, ("", "failed"))
    one_of("--engine", request.engine, engines.NAMES)
    if request.device == "cuda":
        from benchmark.machine import resolve_device

        resolve_device(request.device)
    console = Console(stderr=True)
    store = Store(request.results)
    jobs = request.jobs or _cores()
    wanted = engines.choose(planned(request, console), request.engine, request.together, store, request.device, jobs, console)
    _refuse_changed(wanted, store)
    if request.dry_run:
        _say_plan(wanted, store, retry_failed=bool(request.retry))
        return
    store.check_writable()
    resources = Resources(jobs=jobs, timeout=request.timeout)
    with StudyProgress(console) as progress, executors.create(request.executor, resources) as pool:
        try:
            tally = study.run(wanted, store, pool, [progress], device=request.device, retry_failed=bool(request.retry))
        except KeyboardInterrupt:
            console.print(f"interrupted; what finished is in {escape(str(request.results))}: the same command goes on from there")
            raise
    console.print(
        f"{tally.ran} trials run, {tally.reused} already recorded, {len(tally.failed)} failed; records in {request.results.resolve()}"
    )
    tuned = study.records_of(plan.tuning(wanted), store)
    print_table(study.records_of(plan.evaluation(wanted, tuned), store), [], "table")


def planned(request: Request, console: Console) -> plan.Study:
    """The study that was asked for, its data at hand.

    Raises:
        UsageError, MethodError, TaskError: nothing like it is known, or its data cannot be had.
    """
    problems = [p for word in request.problems for p in word.split(",")]
    suite = plan.with_overrides(tasks.suite(request.suite), problems=problems, seeds=request.seeds)
    names, sources = plan.choose_methods(request.methods, baselines=request.baselines)
    entrants = plan.choose_entrants(names, request.settings)
    for entry in suite.entries:
        problem = tasks.problem(entry.problem)
        problem.require()
        plan.check_tasks(entrants, problem.card)
    where = locations(request.data_dir, request.offline)
    fingerprints = _fingerprints(suite, where, console)
    if not problems:
        _say_on_request(tasks.suite(request.suite))
    return plan.Study(suite=suite, entrants=entrants, budget=request.budget, sources=sources, fingerprints=fingerprints, where=where)


def _refuse_changed(wanted: plan.Study, store: Store) -> None:
    for name, count in study.changed_sources(plan.evaluation(wanted), wanted.sources, store).items():
        source = registry.find(name)
        remedy = source.remedy if source else "start anew"
        raise UsageError(f"{name} is not what it was when {count} of its records were made: {remedy}, or use another --results folder")


def _cores() -> int:
    return len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def _fingerprints(suite: tasks.Suite, where: tasks.Locations, console: Console) -> dict[str, str]:
    """Of the data by problem, after decoding what was not yet: a problem without data is an error before any trial."""
    prints = {}
    for entry in suite.entries:
        problem = tasks.problem(entry.problem)
        with PreparingProgress(console) as progress:
            problem.prepare(where, progress.report)
        prints[entry.problem] = problem.fingerprint(where)
    return prints


def _say_on_request(suite: tasks.Suite) -> None:
    left = [entry.problem for entry in suite.entries if entry.on_request]
    if left:
        print(f"left out, as their data does not ship: {', '.join(left)} (run one: --problem NAME)", file=sys.stderr)


def _say_plan(wanted: plan.Study, store: Store, *, retry_failed: bool) -> None:
    """What a run would do, by problem; where tuning is not done, evaluation is counted as if the defaults had won."""
    tuning = plan.tuning(wanted)
    evaluation = plan.evaluation(wanted, study.records_of(tuning, store))
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stage", "problem", "trials", "recorded", "to run"):
        grid.add_column(column, justify="left" if column in ("stage", "problem") else "right")
    for stage, specs in (("tuning", tuning), ("evaluation", evaluation)):
        for entry in wanted.suite.entries:
            here = [spec for spec in specs if spec.problem == entry.problem]
            todo = study.missing(here, store, retry_failed=retry_failed)
            if here:
                grid.add_row(stage, entry.problem, str(len(here)), str(len(here) - len(todo)), str(len(todo)))
    console = Console()
    console.print(grid)
    console.print(f"entrants: {', '.join(entrant.label for entrant in wanted.entrants)}", markup=False, highlight=False)
    console.print("dry run: nothing was written")
