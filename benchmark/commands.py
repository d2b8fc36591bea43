"""What the commands do, once their arguments are parsed."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import methods as registry
import tasks
from benchmark import executors, plan, study
from benchmark.errors import UsageError
from benchmark.progress import PreparingProgress, StudyProgress
from benchmark.records import RunRecord
from benchmark.store import Damaged, Scan, Store
from benchmark.table import build
from benchmark.views import Format, printable, render

FORMATS = ("table", "md", "csv", "json")
DEVICES = ("auto", "cpu", "cuda")
KINDS = ("methods", "suites", "problems")


def run(
    *,
    suite: str,
    methods: str,
    seeds: int | None,
    budget: int,
    settings: Sequence[str],
    problems: Sequence[str],
    jobs: int,
    executor: str,
    device: str,
    timeout: float,
    results: Path,
    dry_run: bool,
    retry: str,
    baselines: bool,
    data_dir: Path | None,
    offline: bool,
) -> None:
    """Plans, runs what is missing, prints the leaderboard.

    Raises:
        UsageError, MethodError, TaskError, StoreError, ExecutorError: before anything is written.
    """
    _one_of("--device", device, DEVICES)
    _one_of("--executor", executor, executors.names())
    _one_of("--retry", retry, ("", "failed"))
    if device == "cuda":
        from benchmark.machine import resolve_device

        resolve_device(device)
    chosen = plan.with_overrides(tasks.suite(suite), problems=[p for word in problems for p in word.split(",")], seeds=seeds)
    names, sources = plan.choose_methods(methods, baselines=baselines)
    entrants = plan.choose_entrants(names, settings)
    for entry in chosen.entries:
        tasks.problem(entry.problem).require()
    where, console = locations(data_dir, offline), Console(stderr=True)
    wanted = plan.Study(
        suite=chosen,
        entrants=entrants,
        budget=budget,
        sources=sources,
        fingerprints=_fingerprints(chosen, where, console),
        where=where,
    )
    if not problems:
        _say_on_request(tasks.suite(suite))
    store = Store(results)
    changed = study.changed_sources(plan.evaluation(wanted), sources, store)
    for name, count in changed.items():
        source = registry.find(name)
        remedy = source.remedy if source else "start anew"
        raise UsageError(f"{name} is not what it was when {count} of its records were made: {remedy}, or use another --results folder")
    if dry_run:
        _say_plan(wanted, store, retry_failed=bool(retry))
        return
    store.check_writable()
    count = jobs or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    with StudyProgress(console) as progress, executors.create(executor, jobs=count, timeout=timeout) as pool:
        try:
            tally = study.run(wanted, store, pool, progress.watch, device=device, retry_failed=bool(retry))
        except KeyboardInterrupt:
            console.print(f"interrupted; what finished is in {escape(str(results))}: the same command goes on from there")
            raise
    console.print(f"{tally.ran} trials run, {tally.reused} already recorded, {len(tally.failed)} failed; records in {results.resolve()}")
    tuned = study.records_of(plan.tuning(wanted), store)
    _print_table(study.records_of(plan.evaluation(wanted, tuned), store), [], "table")


def prepare(*, suite: str, problems: Sequence[str], data_dir: Path | None, offline: bool) -> None:
    """Downloads, decodes or generates what problems need before they can train, and says what is there.

    Raises:
        UsageError, TaskError: nothing was named, or the data of a problem cannot be had; what was prepared before it stays.
    """
    named = [p for word in problems for p in word.split(",")]
    if not suite and not named:
        raise UsageError("prepare needs --suite NAME or --problem NAME (list them: python -m benchmark list problems)")
    if suite:
        entries = tasks.suite(suite).entries
        chosen = plan.with_overrides(tasks.suite(suite), problems=named or [entry.problem for entry in entries])
        named = [entry.problem for entry in chosen.entries]
    found = [tasks.problem(name) for name in named]
    for problem in found:
        problem.require()
    where, console = locations(data_dir, offline), Console(stderr=True)
    for problem in found:
        with PreparingProgress(console) as progress:
            said = problem.prepare(where, progress.report)
        print(printable(f"{problem.card.name}: {said}"))


def locations(data_dir: Path | None, offline: bool) -> tasks.Locations:
    """Where data may come from, as the command line says it.

    Raises:
        UsageError: ``--data-dir`` is no folder.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise UsageError(f"--data-dir {data_dir}: expected a folder that holds the data set, or a folder NAME a problem")
    return tasks.Locations(data=str(data_dir.resolve()) if data_dir else None, offline=offline)


def leaderboard(*, suite: str | None, output: str, budget: int | None, results: Path) -> None:
    """Prints the table of one suite, or of every suite that has records; by default with the largest search that was made.

    Raises:
        UsageError: an unknown format, or no record to show.
    """
    _one_of("--format", output, FORMATS)
    scan = Store(results).scan()
    suites = sorted({record.spec.suite for record in scan.records})
    if suite is not None and suite not in suites:
        known = f"there are records of: {', '.join(suites)}" if suites else f"{results.resolve()} has no records"
        hint = registry.suggestion(suite, suites)
        raise UsageError(f"no records of suite {suite!r}{hint} ({known}; make some: python -m benchmark run --suite {suite})")
    if not suites:
        raise UsageError(f"{results.resolve()} has no records (make some: python -m benchmark run --suite smoke)")
    _warn(scan)
    for name in suites if suite is None else [suite]:
        of_suite = [record for record in scan.records if record.spec.suite == name]
        records, notes = plan.shown(of_suite, plan.largest_budget(of_suite) if budget is None else budget)
        _print_table(records, scan.damaged, output, notes)


def list_(what: str) -> None:
    """Prints one table of what there is.

    Raises:
        UsageError: nothing of that kind.
    """
    _one_of("list", what, KINDS)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    if what == "methods":
        for column in ("method", "family", "what it is"):
            grid.add_column(column, no_wrap=column != "what it is")
        for name in registry.names():
            card = registry.card(name)
            grid.add_row(name, card.family, escape(printable(f"{card.title}: {card.equation}")))
    elif what == "suites":
        for column in ("suite", "problems", "seeds", "what it is"):
            grid.add_column(column, no_wrap=column != "what it is")
        for name in tasks.suite_names():
            suite = tasks.suite(name)
            seeds = sorted({entry.seeds for entry in suite.entries})
            grid.add_row(name, "\n".join(e.problem for e in suite.entries), "-".join(map(str, seeds)), escape(suite.summary))
    else:
        for column in ("problem", "tasks", "what it is"):
            grid.add_column(column, no_wrap=column != "what it is")
        for name, problem in tasks.problems().items():
            grid.add_row(
                name,
                "\n".join(t.name for t in problem.card.tasks[:3]) + ("\n..." if len(problem.card.tasks) > 3 else ""),
                escape(problem.card.summary),
            )
    Console().print(grid)


def show(name: str, results: Path) -> None:
    """Prints the card of a method, suite or problem, or a record.

    Raises:
        UsageError: nothing has that name.
    """
    if name.endswith(".py") or ":" in name:
        name = registry.load(name)[0]
    known = [*registry.names(), *tasks.suite_names(), *tasks.problems()]
    ids = Store(results).index()
    if name in registry.names() or ":" in name:
        _print_fields(_method_fields(registry.card(name)))
    elif name in tasks.suite_names():
        _print_fields(_suite_fields(tasks.suite(name)))
    elif name in tasks.problems():
        _print_fields(_problem_fields(tasks.problem(name).card))
    elif name in ids:
        print("\n".join(map(printable, ids[name].read_text(encoding="utf-8", errors="replace").splitlines())))
    else:
        raise UsageError(f"nothing is called {name!r}{registry.suggestion(name, known)} (list them: python -m benchmark list methods)")


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


def plot(
    name: str,
    *,
    methods: str,
    settings: Sequence[str],
    steps: int | None,
    seeds: int | None,
    device: str,
    out: Path | None,
    data_dir: Path | None,
    offline: bool,
) -> None:
    """Trains and draws; prints the file.

    Raises:
        UsageError, MethodError, TaskError: before any training; or a run that left nothing to draw.
    """
    _one_of("--device", device, DEVICES)
    tasks.require(["matplotlib"], "plot")
    from benchmark import plot as drawing  # torch and numpy

    path = out or Path(f"{name}.png")
    where = locations(data_dir, offline)
    drawing.plot(name, methods=methods, settings=settings, steps=steps, seeds=seeds, device=device, out=path, where=where)
    print(path)


def _method_fields(card: registry.Card) -> dict[str, str]:
    settings = []
    for h in card.hyperparameters:
        number = f"{h.low:g} to {h.high:g}" if not isinstance(h.default, str | bool) else ""
        allowed = ", ".join(h.choices) or number
        settings.append(f"{h.name} = {h.default}: {h.meaning}" + (f" ({allowed})" if allowed else ""))
    return {
        card.name: card.title,
        "paper": f"{card.paper}{f' (arXiv {card.arxiv})' if card.arxiv else ''}",
        "family": {"loss": "loss", "foreign": "known when it is made"}.get(card.family, f"{card.family}, gradients at: {card.where}"),
        "equation": card.equation,
        "scale": card.native_scale,
        "settings": "\n".join(settings) or "none",
        "claims": ", ".join(card.claims) or "none",
        "needs": ", ".join([*card.needs, *(["positive losses"] if card.positive_losses else [])]) or "the losses",
        "deviations": card.deviations or "none",
        "version": str(card.version),
        "use": f"balancer = methods.create({card.name!r}, num_tasks=T)",
    }


def _suite_fields(suite: tasks.Suite) -> dict[str, str]:
    fields = {suite.name: suite.summary}
    for entry in suite.entries:
        fields[entry.problem] = ("on request (--problem), " if entry.on_request else "") + (
            f"{entry.seeds} seeds, {entry.steps} steps of {entry.batch_size}, "
            f"learning rate {entry.learning_rate:g}{_halved(entry.halve_every)}, "
            f"evaluated every {entry.eval_every} steps, metrics of the {entry.selection} evaluation"
        )
    return fields | {"run": f"python -m benchmark run --suite {suite.name}"}


def _halved(every: int | None) -> str:
    return f" halved every {every:,} steps" if every else ""


def _problem_fields(card: tasks.ProblemCard) -> dict[str, str]:
    fields = {card.name: card.summary, "source": card.source, "licence": card.licence}
    if card.rows:
        fields["rows"] = "{:,} training, {:,} validation, {:,} test".format(*card.rows)
    for task in card.tasks:
        fields[task.name] = f"{task.kind}, {task.loss}; " + ", ".join(_metric(m) for m in task.metrics)
    if card.extra_metrics:
        fields["also"] = ", ".join(_metric(m) for m in card.extra_metrics)
    if card.model:
        fields["model"] = card.model
    return fields | {
        "run": f"{card.steps:,} steps of {card.batch_size}, learning rate {card.learning_rate:g}{_halved(card.halve_every)}",
        "needs": ", ".join(card.requires) or "torch only",
        "version": str(card.version),
    }


def _metric(metric: tasks.Metric) -> str:
    legal = f", {metric.low:g} to {metric.high:g}" if metric.low > -math.inf or metric.high < math.inf else ""
    return f"{metric.name} ({'higher' if metric.higher_is_better else 'lower'} is better{legal})"


def _print_fields(fields: dict[str, str]) -> None:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for name, text in fields.items():
        grid.add_row(escape(printable(name)), escape("\n".join(map(printable, text.split("\n")))))
    Console().print(grid)


def _print_table(records: list[RunRecord], damaged: Sequence[Damaged], output: str, notes: Sequence[str] = ()) -> None:
    console = Console()
    built = build(records, damaged=damaged)
    built = replace(built, notes=[*built.notes, *notes])
    print(render(built, cast(Format, output), width=min(console.width, 100) if console.is_terminal else 100, colour=console.is_terminal))


def _warn(scan: Scan) -> None:
    for damaged in scan.damaged:
        print(f"warning: skipped {printable(damaged.path)}: {printable(damaged.reason)}", file=sys.stderr)


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


def whole(flag: str, text: str, least: int) -> int:
    """The number of a flag; a number's own parser would not say what was given.

    Raises:
        UsageError: no whole number, or below ``least``.
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise UsageError(f"{flag} is {text!r}; expected a whole number of {least} or more")
    return int(text)


def positive(flag: str, text: str) -> float:
    """The seconds of a flag.

    Raises:
        UsageError: no finite number above 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{flag} is {text!r}; expected a number of seconds above 0")
    return value


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        words = ", ".join(word for word in allowed if word)
        raise UsageError(f"{what} is {value!r}; expected one of {words}{registry.suggestion(value, allowed)}")
