"""Studies: planned, run, shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import tasks
from benchmark import executors, plan, selection, study
from benchmark.beacon import Beacon, key_of
from benchmark.commands import engines, places
from benchmark.commands.flags import DEVICES, locations, one_of, proposer, selection_rule
from benchmark.commands.leaderboard import print_table
from benchmark.doctor import bounded, cheap
from benchmark.errors import UsageError
from benchmark.executors import ExecutorError, Resources
from benchmark.progress import PreparingProgress, StudyProgress
from benchmark.records import TrialSpec
from benchmark.search import ADAPTIVE
from benchmark.store import Store, StoreError
from benchmark.tracking import Options
from benchmark.tracking.watcher import Tracker
from methods.registry import left_out


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
    address: str | None
    cpus_per_trial: float | None
    gpus_per_trial: float | None
    device: str
    timeout: float
    results: Path
    dry_run: bool
    retry: str
    retries: int
    baselines: bool
    data_dir: Path | None
    offline: bool
    search: str = "quasi-random"
    scheduler: str = ""
    study_seed: int = 0
    selection_rule: str = selection.DEFAULT
    engine: str = "eager"
    together: int = 10
    tracking: Options = field(default_factory=Options)


def run(request: Request) -> None:
    """Plans, runs what is missing, prints the leaderboard.

    Raises:
        UsageError, MethodError, TaskError, StoreError, ExecutorError: before anything is written.
    """
    one_of("--device", request.device, DEVICES)
    one_of("--executor", request.executor, executors.names())
    one_of("--retry", request.retry, ("", "failed"))
    one_of("--engine", request.engine, engines.NAMES)
    request.tracking.check()
    resources, device = places.resources(request), places.device(request)
    console = Console(stderr=True)
    store = Store(request.results)
    if request.dry_run:
        wanted = planned(request, console)
        wanted = engines.choose(wanted, request.engine, request.together, store, device, resources.jobs or 1, console)
        _refuse_changed(wanted, store)
        _say_plan(wanted, store, retry_failed=bool(request.retry))
        return
    with Tracker(request.tracking, store, console) as tracker:
        tracker.log_in()
        _run(request, store, tracker, resources, device, console)


def _run(request: Request, store: Store, tracker: Tracker, resources: Resources, device: str, console: Console) -> None:
    wanted = engines.choose(planned(request, console), request.engine, request.together, store, device, resources.jobs or 1, console)
    _refuse_changed(wanted, store)

    def trials() -> list[TrialSpec]:
        return _trials(wanted, store)  # of the study as it is by then

    for check in bounded([("folders", lambda: cheap(request.results))]):
        if check.status == "problem" and check.name != "results":  # the store checks that itself
            raise UsageError(f"{check.name}: {check.message}; {check.fix}")
    store.check_writable(study.room(study.missing(trials(), store, retry_failed=bool(request.retry))))
    tracker.begin(wanted)
    if wanted.budget > 1:
        console.print("\n".join(_protocol(wanted)), markup=False, highlight=False)
    beacon = Beacon(store.root, wanted.suite.name, _key(wanted), resources.jobs or 0, trials)
    with StudyProgress(console, resources.jobs or 0) as progress, beacon, executors.create(request.executor, resources) as pool:
        watchers: list[study.Watcher] = [progress, beacon, tracker]
        try:
            if wanted.kind in ADAPTIVE:
                wanted = _explored(wanted, store, request, resources, device, watchers)
            tally = study.run(wanted, store, pool, watchers, device=device, retry_failed=bool(request.retry), retries=request.retries)
        except KeyboardInterrupt:
            console.print(f"interrupted; what finished is in {escape(str(request.results))}: the same command goes on from there")
            raise
        except (StoreError, ExecutorError) as error:
            kept = f"the study stopped, and what finished is in {request.results}: once that is mended, the same command goes on from there"
            raise type(error)(f"{error}; {kept}") from error
    console.print(
        f"{tally.ran} trials run, {tally.reused} already recorded, {len(tally.failed)} failed; records in {request.results.resolve()}"
    )
    tuned = study.tuned(wanted, store)
    evaluated = study.records_of(plan.evaluation(wanted, tuned), store)
    tracker.end(tuned, evaluated)
    notes = selection.describe(wanted.search, selection.choose(tuned, wanted.search).values()) if wanted.budget > 1 else []
    print_table(evaluated, [], notes)


def _explored(
    wanted: plan.Study, store: Store, request: Request, resources: Resources, device: str, watchers: Sequence[study.Watcher]
) -> plan.Study:
    """The study with the trials of its adaptive search: first the defaults, wherever trials run, then what Ray Tune makes of them."""
    from benchmark.explore import explored  # torch

    with executors.create(request.executor, resources) as pool:
        defaults = plan.defaults(wanted, "tune", plan.TUNING_SEED)
        study.stage("tuning", defaults, wanted, store, pool, watchers, device, bool(request.retry), request.retries)
    return explored(wanted, store, resources.jobs or 1, watchers, device=device, timeout=request.timeout, retries=request.retries)


def planned(request: Request, console: Console) -> plan.Study:
    """The study that was asked for, its data at hand.

    Raises:
        UsageError, MethodError, TaskError: nothing like it is known, or its data cannot be had.
    """
    kind, rule = proposer(request.search, request.scheduler, request.budget), selection_rule(request.selection_rule)
    problems = [p for word in request.problems for p in word.split(",")]
    suite = plan.with_overrides(tasks.suite(request.suite), problems=problems, seeds=request.seeds)
    names, sources = plan.choose_methods(request.methods, baselines=request.baselines)
    entrants = plan.choose_entrants(names, request.settings, searched=request.budget > 1)
    for entry in suite.entries:
        problem = tasks.problem(entry.problem)
        problem.require()
        plan.check_tasks(entrants, problem.card)
    where = locations(request.data_dir, request.offline)
    fingerprints = fingerprints_of(suite, where, console)
    if not problems:
        _say_on_request(tasks.suite(request.suite))
    if "all" in request.methods.split(","):
        _say_left_out()
    return plan.Study(
        suite=suite,
        entrants=entrants,
        budget=request.budget,
        sources=sources,
        fingerprints=fingerprints,
        where=where,
        kind=kind,
        seed=request.study_seed,
        rule="normalised_loss" if kind in ADAPTIVE else rule,
    )


def _trials(wanted: plan.Study, store: Store) -> list[TrialSpec]:
    """All that the study is made of, as far as its tuning has decided it."""
    tuning = plan.tuning(wanted)
    return tuning + plan.evaluation(wanted, study.tuned(wanted, store))


def _key(wanted: plan.Study) -> str:
    entries = [(entry.problem, entry.seeds, entry.steps) for entry in wanted.suite.entries]
    entrants = [entrant.label for entrant in wanted.entrants]
    engine = (wanted.together, sorted(wanted.vectorized)) if wanted.vectorized else ()
    return key_of(wanted.suite.name, entries, entrants, wanted.budget, wanted.kind, wanted.seed, wanted.rule, engine)


def _refuse_changed(wanted: plan.Study, store: Store) -> None:
    for name, (count, remedy) in study.changed_sources(_trials(wanted, store), wanted.sources, store).items():
        raise UsageError(f"{name} is not what it was when {count} of its records were made: {remedy}, or use another --results folder")


def fingerprints_of(suite: tasks.Suite, where: tasks.Locations, console: Console) -> dict[str, str]:
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


def _say_left_out() -> None:
    """Where all methods take part, that some do not; whoever is asked for by name and is not there is an error that says why."""
    if left_out():
        print(f"left out: {len(left_out())} entry points of other packages (why: python -m benchmark list methods)", file=sys.stderr)


def _protocol(wanted: plan.Study) -> list[str]:
    """What a study with a search does, in two lines."""
    entries = wanted.suite.entries
    adaptive = wanted.kind in ADAPTIVE
    tuning = wanted.budget * len(plan.defaults(wanted, "tune", plan.TUNING_SEED)) if adaptive else len(plan.tuning(wanted))
    evaluation = len(plan.evaluation(wanted))
    seeds = sorted({entry.seeds for entry in entries})
    ends = f"{seeds[0] - 1}" if len(seeds) == 1 else f"{seeds[0] - 1} to {seeds[-1] - 1}"
    origin = wanted.kind if wanted.kind == "grid" else f"{wanted.kind}, study seed {wanted.seed}"
    return [
        f"tuning: {wanted.budget} configurations of each of {len(wanted.entrants)} entrants on {len(entries)} problem"
        f"{'' if len(entries) == 1 else 's'} ({origin}; the first is the published defaults), {tuning} trials on a seed of their own",
        f"evaluation: the best of each by {wanted.rule} on validation data, {evaluation} trials on seeds 0 to {ends}",
    ]


def _say_plan(wanted: plan.Study, store: Store, *, retry_failed: bool) -> None:
    """What a run would do, by problem; where tuning is not done, evaluation is counted as if the defaults had won."""
    tuning = plan.tuning(wanted)
    evaluation = plan.evaluation(wanted, study.tuned(wanted, store))
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
    if wanted.budget > 1:
        console.print("\n".join(_protocol(wanted)), markup=False, highlight=False)
    console.print(f"entrants: {', '.join(entrant.label for entrant in wanted.entrants)}", markup=False, highlight=False)
    console.print("dry run: nothing was written")
