"""Trains a problem, or the problems with known fronts of a suite, and draws what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from msgspec import UNSET
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import methods as registry
import tasks
from benchmark import pictures, plan
from benchmark.errors import UsageError
from benchmark.machine import resolve_device
from benchmark.plan import Entrant
from benchmark.records import TrialSpec
from benchmark.train import Diverged, Run
from benchmark.trial import one_thread
from tasks.gallery import Panel, Trajectory
from tasks.known_front import KnownFront

EXAMPLES = 8
SHORTENED = 4000
"""Steps of a run on a known front unless said otherwise. The learning rate grows as the steps shrink, so that the way is as long."""
POINTS = 250
"""Of a drawn way."""
METHODS, SEEDS = "equal,pcgrad,mgda,cagrad,nash_mtl,famo", 5
"""What is drawn of a known front."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One run, what its session has to show, and why it ended early if it did."""

    spec: TrialSpec
    rows: list[list[Panel]]
    diverged: str


def plot(
    name: str,
    *,
    methods: str,
    settings: Sequence[str],
    steps: int | None,
    seeds: int | None,
    device: str,
    out: Path,
    where: tasks.Locations,
) -> None:
    """Draws ``name``, a problem or a suite, to ``out``.

    Raises:
        UsageError, MethodError, TaskError: before any training; or a run that left nothing to draw.
    """
    problems = chosen(name)
    fronts = [problem for problem in problems if isinstance(problem, KnownFront)]
    names, sources = plan.choose_methods(methods or (METHODS if fronts else "equal"), baselines=False)
    for source in sources:
        registry.load(source)
    entrants = plan.choose_entrants(names, settings)
    for problem in problems:
        problem.require()
    pictures.check(out)
    device = resolve_device(device)
    runs = range(seeds or (SEEDS if fronts else 1))
    specs = [specification(p, entrant, seed, steps, where) for p in problems for entrant in entrants for seed in runs]
    with _progress(sum(spec.steps for spec in specs)) as advance, one_thread():
        shown = [train(spec, device, where, advance) for spec in specs]
    if fronts:
        _draw_fronts(name, fronts, shown, out)
    else:
        _draw_galleries(shown, out)


def chosen(name: str) -> Sequence[tasks.Problem]:
    """The problem of that name, or the problems with known fronts of the suite.

    Raises:
        UsageError: neither is known, or the suite has no such problem.
    """
    if ":" in name or name in tasks.problems():
        return [tasks.problem(name)]
    known = [*tasks.problems(), *tasks.suite_names()]
    if name not in known:
        raise UsageError(
            f"nothing to plot is called {name!r}{registry.suggestion(name, known)} (list them: python -m benchmark list problems)"
        )
    entries = [entry.problem for entry in tasks.suite(name).entries]
    problems = [problem for problem in map(tasks.problem, entries) if isinstance(problem, KnownFront)]
    if not problems:
        raise UsageError(f"suite {name!r} has no problem with a known front; plot one of its problems: {', '.join(entries)}")
    return problems


def specification(problem: tasks.Problem, entrant: Entrant, seed: int, steps: int | None, where: tasks.Locations) -> TrialSpec:
    """A run as the problem's card has it, or in other ``steps``; it ends where it ends, and no test data is seen."""
    card = problem.card
    front = isinstance(problem, KnownFront)
    count = steps or (min(card.steps, SHORTENED) if front else card.steps)
    pinned = dict(entrant.pinned)
    rate = float(pinned.pop("learning_rate", card.learning_rate * (card.steps / count if front else 1.0)))
    scale = {"scale": pinned.pop("scale")} if "scale" in pinned else {}
    return TrialSpec(
        suite="plot",
        problem=card.name,
        problem_version=card.version,
        data=problem.fingerprint(where),
        method=entrant.card.name,
        method_version=entrant.card.version,
        entrant=entrant.label,
        hyperparameters=entrant.card.resolve(pinned) | scale,
        learning_rate=rate,
        role="tune",
        seed=seed,
        steps=count,
        batch_size=card.batch_size,
        halve_every=card.halve_every or UNSET,
        eval_every=max(1, count // (POINTS if front else 20)),
        selection="last",
    )


def train(spec: TrialSpec, device: str, where: tasks.Locations, advance: Callable[[str, int], None]) -> Shown:
    """Runs one trial; ``advance`` is told the run and its new steps, again and again."""
    problem, done, diverged = tasks.problem(spec.problem), 0, ""

    def watch(steps: int) -> None:
        nonlocal done
        advance(f"{spec.entrant} on {spec.problem}, seed {spec.seed}", steps - done)
        done = steps

    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(tasks.derive(spec.seed, "training"))
        session = problem.open(spec.seed, spec.batch_size, device, where)
        watch(0)
        try:
            Run(spec, problem.card, watch=watch).train_model(session)
        except Diverged as error:
            diverged = str(error)
        watch(spec.steps)
        return Shown(spec, session.gallery("validation", EXAMPLES), diverged)


def _draw_fronts(name: str, problems: Sequence[KnownFront], shown: Sequence[Shown], out: Path) -> None:
    """A row a plane of a single problem; of several, a row each in its first plane."""
    rows: list[dict[str, list[Trajectory]]] = []
    for problem in problems:
        here = [each for each in shown if each.spec.problem == problem.card.name]
        for plane in range(len(here[0].rows) if len(problems) == 1 else 1):
            row: dict[str, list[Trajectory]] = {}
            for each in here:
                (panel,) = each.rows[plane]
                assert isinstance(panel, Trajectory)  # a known front's session shows ways alone
                row.setdefault(each.spec.entrant, []).append(panel)
            rows.append(row)
    steps = sorted({each.spec.steps for each in shown})
    counted = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    diverged = sorted({each.spec.entrant for each in shown if each.diverged})
    notes = f"; diverged: {', '.join(diverged)}" if diverged else ""
    starts = len({each.spec.seed for each in shown})
    pictures.trajectories(rows, f"{name}: {counted} steps of Adam from {starts} start{'s' if starts > 1 else ''}{notes}", out)


def _draw_galleries(shown: Sequence[Shown], out: Path) -> None:
    for each in shown:
        if each.diverged or not each.rows:
            raise UsageError(f"{each.spec.entrant} on {each.spec.problem}: {each.diverged or 'the problem has nothing to show'}")
    pictures.gallery(
        [
            pictures.Block(f"{s.problem} under {s.entrant}: {s.steps} steps, seed {s.seed}, validation split", each.rows)
            for each in shown
            for s in [each.spec]
        ],
        out,
    )


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar of steps in a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("", total=total)
        yield lambda what, steps: bars.update(bar, advance=steps, description=what)
